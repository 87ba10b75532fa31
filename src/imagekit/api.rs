//! The one client: sends requests and sorts what comes back.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::body;
use super::echo::{self, FileState};
use super::failure::Failure;
use super::fields::FileFields;
use super::listing::{Listing, PAGE_FILES_MAX, Place, believable};
use crate::account::is_loopback;
use crate::ledger::Recorded;
use crate::outcome::Code;
use crate::request::{AtMostOnce, Call, Idempotent, LostResponse, Sendable};
use crate::row::{FileId, Schema};

/// The most that is read of an answer about one file, which has a few kilobytes…
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// …and of a list of a thousand.
const LIST_BYTES_MAX: usize = 64 << 20;
/// So much of an answer that is no JSON is looked at for people.
const EXCERPT_BYTES: usize = 1000;
/// The most headers that a request has, with those that the HTTP library adds.
const HEADERS_MAX: usize = 12;
/// How the headers of an answer call the id of the request.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-ik-requestid");
/// An idle connection is given up before the servers and proxies on the way do it silently.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// What a client is made of.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Where the API is: `https://api.imagekit.io`, or plain http on this machine only.
    pub endpoint: Url,
    /// The private key.
    pub key: SecretString,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long an answer may take, from sending to its last byte.
    pub timeout: Duration,
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// There is none.
    #[error("the private key is empty")]
    NoKey,
    /// The key cannot be a header.
    #[error(
        "the private key contains characters that no key has; check for a line end or space in it"
    )]
    Key,
    /// Plain http to another machine would show the key to everyone on the way.
    #[error("the endpoint {0} is not https; plain http is for this machine only")]
    Plain(Url),
    /// The HTTP library failed, most often for want of certificates.
    #[error(
        "cannot set up HTTPS; does this machine have CA certificates (package ca-certificates)?"
    )]
    Client(#[source] reqwest::Error),
}

/// A client for one account at one endpoint.
#[derive(Debug, Clone)]
pub struct Api {
    /// Keeps connections open between requests.
    pooled: reqwest::Client,
    /// Opens a connection for each request. A pooled one may be closed by the other end at the moment
    /// at which a request goes out on it, and then it is unknown whether the request arrived.
    unpooled: reqwest::Client,
    endpoint: Url,
    headers: HeaderMap,
}

/// An answer that says yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// 200, or 207 for a bulk call.
    pub http_status: u16,
    /// `x-ik-requestid`.
    pub request_id: Option<Box<str>>,
    /// The body.
    pub body: Bytes,
}

impl Accepted {
    /// The failure of an answer that says yes and cannot be read.
    pub(crate) fn unreadable(&self, why: &str) -> Failure {
        let is_json = serde_json::from_slice::<IgnoredAny>(&self.body).is_ok();
        let message = if is_json {
            why.to_owned()
        } else {
            let body = String::from_utf8_lossy(&self.body[..self.body.len().min(EXCERPT_BYTES)]);
            format!("the answer is not ImageKit's: {why}: {body}")
        };
        Failure::unreadable(&message, self.http_status, self.request_id.clone())
    }
}

/// What became of a request that must not be repeated. It comes back whole only where it is
/// certain that nothing was done.
#[derive(Debug)]
pub enum Fate {
    /// ImageKit accepted it.
    Accepted(AtMostOnce, Accepted),
    /// It was not carried out.
    NotDone(AtMostOnce, Failure),
    /// Nobody knows.
    Lost(LostResponse, Failure),
}

impl Api {
    /// Makes a client. Nothing is sent yet.
    ///
    /// # Errors
    /// The key cannot be sent, the endpoint would expose it, or HTTPS cannot be set up.
    pub fn new(settings: &ApiSettings) -> Result<Self, BuildError> {
        let plain = settings.endpoint.scheme() != "https";
        if plain && !is_loopback(&settings.endpoint) {
            return Err(BuildError::Plain(settings.endpoint.clone()));
        }
        let builder = || {
            let builder = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .https_only(!plain)
                .connect_timeout(settings.connect_timeout)
                .timeout(settings.timeout)
                .tcp_nodelay(true);
            if plain { builder.no_proxy() } else { builder }
        };
        let pooled = builder().pool_idle_timeout(POOL_IDLE).build().map_err(BuildError::Client)?;
        // A connection of HTTP/2 serves many requests at once, whatever the pool.
        let unpooled = builder().pool_max_idle_per_host(0).http1_only().build();
        let unpooled = unpooled.map_err(BuildError::Client)?;
        let headers = headers(&pooled, settings)?;
        Ok(Self { pooled, unpooled, endpoint: settings.endpoint.clone(), headers })
    }

    /// Sends a request that may be repeated.
    ///
    /// # Errors
    /// Everything but an answer that says yes.
    pub async fn send(&self, request: &Idempotent) -> Result<Accepted, Failure> {
        self.call(&self.pooled, request).await
    }

    /// Sends an at-most-once request, over a connection of its own, and uses it up.
    pub async fn send_at_most_once(&self, recorded: Recorded) -> Fate {
        let once = recorded.into_request();
        match self.call(&self.unpooled, &once).await {
            Ok(accepted) => Fate::Accepted(once, accepted),
            Err(failure @ Failure::Lost { .. }) => Fate::Lost(once.lost(), failure),
            Err(failure) => Fate::NotDone(once, failure),
        }
    }

    /// Reads what a file is like: `GET /v1/files/{fileId}/details`.
    ///
    /// # Errors
    /// Everything but the object of that file.
    pub async fn file_state(&self, file: &FileId) -> Result<FileState, Failure> {
        self.details(file).await
    }

    /// The account's custom metadata fields, and the answer as it came, to be kept:
    /// `GET /v1/customMetadataFields`.
    ///
    /// # Errors
    /// Everything but an array of fields.
    pub async fn schema(&self) -> Result<(Schema, Bytes), Failure> {
        let accepted = self.get("/v1/customMetadataFields").await?;
        let schema = parse(&accepted, Schema::from_json)?;
        Ok((schema, accepted.body))
    }

    /// Reads the fields of a file that can be changed: `GET /v1/files/{fileId}/details`.
    ///
    /// # Errors
    /// Everything but the object of that file.
    pub async fn file_fields(&self, file: &FileId) -> Result<FileFields, Failure> {
        self.details(file).await
    }

    /// A page of the library, from behind so many files: `GET /v1/files`. `limit` is at most
    /// [`super::PAGE_FILES_MAX`].
    ///
    /// # Errors
    /// Everything but an array of files.
    pub async fn list<F: DeserializeOwned>(
        &self,
        listing: &Listing,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<F>, Failure> {
        let page = listing.page(skip, limit);
        let accepted = self.execute(&self.pooled, Method::GET, &page, None, LIST_BYTES_MAX).await?;
        parse(&accepted, |body| serde_json::from_slice(body))
    }

    /// What a list shows of these files, at most [`super::IDS_MAX`]: `GET /v1/files`. Those that it
    /// does not show, or shows twice in different ways, are left out.
    ///
    /// # Errors
    /// Everything but an array of files.
    pub async fn list_by_ids(&self, files: &[FileId]) -> Result<Vec<FileFields>, Failure> {
        let listed = self.list(&Listing::of_ids(files), 0, PAGE_FILES_MAX).await?;
        Ok(believable(listed, files))
    }

    /// Where a file is: `GET /v1/files/{fileId}/details`.
    ///
    /// # Errors
    /// Everything but the object of that file.
    pub async fn place(&self, file: &FileId) -> Result<Place, Failure> {
        self.details(file).await
    }

    /// Asks for as little as can be asked, to learn whether the service answers at all:
    /// `GET /v1/files?limit=1`. A connection of its own keeps a broken pooled one out of the answer.
    ///
    /// # Errors
    /// Everything but an array. That there is no such list is said by no ImageKit, but where the
    /// endpoint has a wrong path.
    pub async fn probe(&self) -> Result<(), Failure> {
        let page = "/v1/files?limit=1";
        let answer = self.execute(&self.unpooled, Method::GET, page, None, ANSWER_BYTES_MAX).await;
        match answer {
            Ok(accepted) => {
                parse(&accepted, |body| serde_json::from_slice::<Vec<IgnoredAny>>(body)).map(drop)
            }
            Err(Failure::Refused {
                code: Code::NotFound,
                message,
                http_status,
                request_id,
                ..
            }) => {
                let message = format!("the endpoint has no {page}: {message}");
                Err(Failure::unreadable(&message, http_status, request_id))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Reads the object of a file; an object of another file is an unreadable answer.
    async fn details<F: DeserializeOwned>(&self, file: &FileId) -> Result<F, Failure> {
        let accepted = self.get(&body::details_path(file)).await?;
        echo::check_id(&accepted.body, file).map_err(|why| accepted.unreadable(&why))?;
        parse(&accepted, |body| serde_json::from_slice(body))
    }

    async fn call(
        &self,
        client: &reqwest::Client,
        request: &impl Sendable,
    ) -> Result<Accepted, Failure> {
        let (call, files) = (request.call(), request.files());
        let (_, path) = body::target(call, files);
        let method = match call {
            Call::Details(_) | Call::Publish(_) => Method::PATCH,
            Call::AddTags(_) | Call::RemoveTags(_) => Method::POST,
            Call::ReadBack(_) => return self.get(&path).await,
        };
        let body = Some(body::encode(call, files));
        self.execute(client, method, &path, body, ANSWER_BYTES_MAX).await
    }

    async fn get(&self, path: &str) -> Result<Accepted, Failure> {
        self.execute(&self.pooled, Method::GET, path, None, ANSWER_BYTES_MAX).await
    }

    async fn execute(
        &self,
        client: &reqwest::Client,
        method: Method,
        path_and_query: &str,
        body: Option<Vec<u8>>,
        answer_bytes_max: usize,
    ) -> Result<Accepted, Failure> {
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let mut url = self.endpoint.clone();
        match self.endpoint.path().trim_end_matches('/') {
            "" => url.set_path(path),
            base => url.set_path(&format!("{base}{path}")),
        }
        url.set_query(query);
        let mut request = reqwest::Request::new(method, url);
        request.headers_mut().clone_from(&self.headers);
        *request.body_mut() = body.map(Into::into);
        let response = client.execute(request).await.map_err(Failure::of_error)?;
        let status = response.status();
        let request_id = request_id(response.headers());
        if matches!(status.as_u16(), 200 | 207) {
            let body = read(response, answer_bytes_max).await?;
            return Ok(Accepted { http_status: status.as_u16(), request_id, body });
        }
        let headers = response.headers().clone();
        // A body that cannot be read is one that is not ImageKit's.
        let body = read(response, answer_bytes_max).await.unwrap_or_default();
        Err(Failure::of_answer(status, &headers, request_id, &body))
    }
}

fn parse<T>(
    accepted: &Accepted,
    read: impl FnOnce(&[u8]) -> serde_json::Result<T>,
) -> Result<T, Failure> {
    read(&accepted.body).map_err(|error| accepted.unreadable(&error.to_string()))
}

/// The headers of every request: HTTP Basic with the key as the user name and an empty password.
fn headers(client: &reqwest::Client, settings: &ApiSettings) -> Result<HeaderMap, BuildError> {
    let key = settings.key.expose_secret();
    if key.is_empty() {
        return Err(BuildError::NoKey);
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(BuildError::Key);
    }
    let request = client.get(settings.endpoint.clone()).basic_auth(key, Some("")).build();
    // Each request gets a copy, to which the HTTP library adds its own: with room for those, none of
    // the copies has to grow.
    let mut headers = HeaderMap::with_capacity(HEADERS_MAX);
    headers.extend(request.map_err(BuildError::Client)?.headers().clone());
    if let Some(authorization) = headers.get_mut(AUTHORIZATION) {
        authorization.set_sensitive(true);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Named here, they come with the copy that each request gets, and need not be added to it.
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("ikbulk/", env!("CARGO_PKG_VERSION"))),
    );
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    Ok(headers)
}

/// `x-ik-requestid`, if it can be one: ImageKit's have 36 characters.
fn request_id(headers: &HeaderMap) -> Option<Box<str>> {
    const LENGTH_MAX: usize = 100;
    // What can be shown as it is is ASCII, so that it can be cut anywhere.
    let id = headers.get(&REQUEST_ID)?.to_str().ok()?;
    Some(id.get(..LENGTH_MAX).unwrap_or(id).into())
}

/// Reads a body up to a length. One that comes in one piece is not copied.
async fn read(mut response: reqwest::Response, bytes_max: usize) -> Result<Bytes, Failure> {
    let Some(first) = response.chunk().await.map_err(Failure::of_error)? else {
        return Ok(Bytes::new());
    };
    let Some(second) = response.chunk().await.map_err(Failure::of_error)? else {
        return Ok(first);
    };
    let mut whole = BytesMut::from(&first[..]);
    let mut next = Some(second);
    while let Some(chunk) = next {
        if whole.len() + chunk.len() > bytes_max {
            let message = format!("the answer is over {} MiB long", bytes_max >> 20);
            return Err(Failure::unreadable(&message, response.status().as_u16(), None));
        }
        whole.extend_from_slice(&chunk);
        next = response.chunk().await.map_err(Failure::of_error)?;
    }
    Ok(whole.freeze())
}
