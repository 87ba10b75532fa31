//! The HTTP client: sends requests and classifies responses.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::body;
use super::echo::{self, FileState};
use super::failure::Failure;
use super::listing::{Listing, PAGE_FILES_MAX, Place, consistent_entries};
use super::usage::{self, Analytics, ChargedUnits};
use crate::account::is_loopback;
use crate::file_fields::FileFields;
use crate::ledger::Recorded;
use crate::outcome::Code;
use crate::request::{AtMostOnce, Call, Idempotent, LostResponse, Sendable};
use crate::row::{FileId, SavedExtension, Schema};
use crate::usage::Period;

/// Maximum size of a response about one file, in bytes; usually a few kilobytes.
const RESPONSE_BYTES_MAX: usize = 4 << 20;
/// Maximum size of a list response (up to 1,000 files), in bytes.
const LIST_BYTES_MAX: usize = 64 << 20;
/// Maximum bytes of a non-JSON body to quote in a message.
const EXCERPT_BYTES: usize = 1000;
/// Maximum headers of a request, including those that the HTTP library adds.
const HEADERS_MAX: usize = 12;
/// Response header with the request id.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-ik-requestid");
/// Close idle connections before servers and proxies drop them silently.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// Settings of a client.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Base URL of the API: `https://api.imagekit.io`, or plain http on a loopback address.
    pub endpoint: Url,
    /// The private API key.
    pub key: SecretString,
    /// Timeout for connecting.
    pub connect_timeout: Duration,
    /// Timeout for the whole request, until the last byte of the response.
    pub timeout: Duration,
}

/// Why a client could not be created.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The key is empty.
    #[error("the private key is empty")]
    NoKey,
    /// The key cannot be sent in a header.
    #[error("the private key contains invalid characters; check for a line break or a space in it")]
    Key,
    /// Plain http to another machine would expose the key.
    #[error("the endpoint {0} is not https; plain http is only allowed to this machine")]
    Plain(Url),
    /// The HTTP library failed, usually because CA certificates are missing.
    #[error(
        "cannot set up HTTPS; check that CA certificates are installed (package ca-certificates)"
    )]
    Client(#[source] reqwest::Error),
}

/// A client for one account at one endpoint.
#[derive(Debug, Clone)]
pub struct Api {
    /// Reuses connections.
    pooled: reqwest::Client,
    /// Opens a new connection for each request. The server may close a pooled connection just as a
    /// request is sent, and then it is unknown whether the request arrived.
    unpooled: reqwest::Client,
    endpoint: Url,
    headers: HeaderMap,
}

/// A successful response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// 200, or 207 for a bulk call.
    pub http_status: u16,
    /// `x-ik-requestid`.
    pub request_id: Option<Box<str>>,
    /// The response body.
    pub body: Bytes,
}

impl Accepted {
    /// Turns a successful response into a failure because its body cannot be read.
    pub(crate) fn unreadable(&self, why: &str) -> Failure {
        let is_json = serde_json::from_slice::<IgnoredAny>(&self.body).is_ok();
        let message = if is_json {
            why.to_owned()
        } else {
            let body = String::from_utf8_lossy(&self.body[..self.body.len().min(EXCERPT_BYTES)]);
            format!("the response is not from ImageKit: {why}: {body}")
        };
        Failure::unreadable(&message, self.http_status, self.request_id.clone())
    }
}

/// The result of sending an at-most-once request. [`Self::NotDone`] returns the request for a
/// retry; [`Self::Lost`] does not.
#[derive(Debug)]
pub enum SendResult {
    /// ImageKit accepted the request.
    Accepted(AtMostOnce, Accepted),
    /// The request certainly had no effect.
    NotDone(AtMostOnce, Failure),
    /// The response was lost; the outcome is unknown.
    Lost(LostResponse, Failure),
}

impl Api {
    /// Creates a client. Sends nothing.
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
                // Without a maximum of 0, each request would be copied for a retry that never comes.
                .retry(reqwest::retry::never().max_retries_per_request(0))
                .https_only(!plain)
                .connect_timeout(settings.connect_timeout)
                .timeout(settings.timeout)
                .tcp_nodelay(true);
            // A server without TLS is on this machine; reading the system's certificates takes 10 ms.
            if plain { builder.no_proxy().tls_certs_only([]) } else { builder }
        };
        let pooled = builder().pool_idle_timeout(POOL_IDLE).build().map_err(BuildError::Client)?;
        // HTTP/2 would share one connection between concurrent requests even without a pool.
        let unpooled = builder().pool_max_idle_per_host(0).http1_only().build();
        let unpooled = unpooled.map_err(BuildError::Client)?;
        let headers = headers(&pooled, settings)?;
        Ok(Self { pooled, unpooled, endpoint: settings.endpoint.clone(), headers })
    }

    /// Sends an idempotent request.
    ///
    /// # Errors
    /// Anything except a successful response.
    pub async fn send(&self, request: &Idempotent) -> Result<Accepted, Failure> {
        self.call(&self.pooled, request).await
    }

    /// Sends an at-most-once request over a new connection, and consumes it.
    pub async fn send_at_most_once(&self, recorded: Recorded) -> SendResult {
        let request = recorded.into_request();
        match self.call(&self.unpooled, &request).await {
            Ok(accepted) => SendResult::Accepted(request, accepted),
            Err(failure @ Failure::Lost { .. }) => SendResult::Lost(request.lost(), failure),
            Err(failure) => SendResult::NotDone(request, failure),
        }
    }

    /// Reads the state of a file that extensions and publishing change:
    /// `GET /v1/files/{fileId}/details`.
    ///
    /// # Errors
    /// Anything except the details of this file.
    pub async fn file_state(&self, file: &FileId) -> Result<FileState, Failure> {
        self.details(file).await
    }

    /// Reads the account's custom metadata fields; also returns the raw response to be stored:
    /// `GET /v1/customMetadataFields`.
    ///
    /// # Errors
    /// Anything except an array of fields.
    pub async fn schema(&self) -> Result<(Schema, Bytes), Failure> {
        let accepted = self.get("/v1/customMetadataFields").await?;
        let schema = parse(&accepted, Schema::from_json)?;
        Ok((schema, accepted.body))
    }

    /// Reads the custom metadata fields that the path policy of a folder selects, as JSON:
    /// `GET /v1/customMetadataFields?folderPath=…`.
    ///
    /// # Errors
    /// Anything except an array of fields.
    pub(crate) async fn fields_of_folder(&self, folder: &str) -> Result<String, Failure> {
        let folder = utf8_percent_encode(folder, NON_ALPHANUMERIC);
        let accepted = self.get(&format!("/v1/customMetadataFields?folderPath={folder}")).await?;
        parse(&accepted, Schema::from_json)?;
        Ok(String::from_utf8_lossy(&accepted.body).into_owned())
    }

    /// Reads the account's saved extensions: `GET /v1/saved-extensions`.
    ///
    /// # Errors
    /// Anything except an array of saved extensions.
    pub async fn saved_extensions(&self) -> Result<Vec<SavedExtension>, Failure> {
        let accepted = self.get("/v1/saved-extensions").await?;
        parse(&accepted, |body| serde_json::from_slice(body))
    }

    /// Reads the units that extensions were charged: `GET /v1/accounts/usage`.
    ///
    /// # Errors
    /// Anything except a usage report.
    pub(crate) async fn charged_units(&self, period: Period) -> Result<ChargedUnits, Failure> {
        let accepted = self.get(&usage::units_path(period)).await?;
        parse(&accepted, |body| serde_json::from_slice(body))
    }

    /// Reads how often extensions ran: `GET /v1/accounts/usage-analytics`.
    ///
    /// # Errors
    /// Anything except an analytics report.
    pub(crate) async fn analytics(&self, period: Period) -> Result<Analytics, Failure> {
        let accepted = self.get(&usage::analytics_path(period)).await?;
        parse(&accepted, |body| serde_json::from_slice(body))
    }

    /// Reads the editable fields of a file: `GET /v1/files/{fileId}/details`.
    ///
    /// # Errors
    /// Anything except the details of this file.
    pub async fn file_fields(&self, file: &FileId) -> Result<FileFields, Failure> {
        self.details(file).await
    }

    /// Reads a page of a listing, after the first `skip` files: `GET /v1/files`. `limit` is at most
    /// [`super::PAGE_FILES_MAX`].
    ///
    /// # Errors
    /// Anything except an array of files.
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

    /// Reads these files by search, at most [`super::IDS_MAX`]: `GET /v1/files`. Omits files that
    /// are missing from the response or have contradictory entries in it.
    ///
    /// # Errors
    /// Anything except an array of files.
    pub async fn list_by_ids(&self, files: &[FileId]) -> Result<Vec<FileFields>, Failure> {
        let listed = self.list(&Listing::by_ids(files), 0, PAGE_FILES_MAX).await?;
        Ok(consistent_entries(listed, files))
    }

    /// Reads the path and URL of a file: `GET /v1/files/{fileId}/details`.
    ///
    /// # Errors
    /// Anything except the details of this file.
    pub async fn place(&self, file: &FileId) -> Result<Place, Failure> {
        self.details(file).await
    }

    /// Checks whether the service is available, with the smallest request: `GET /v1/files?limit=1`.
    /// Uses a new connection, because a pooled one may be broken.
    ///
    /// # Errors
    /// Anything except an array. A 404 means that the endpoint has a wrong path, so it counts as
    /// unreadable, not as a rejection.
    pub async fn probe(&self) -> Result<(), Failure> {
        let page = "/v1/files?limit=1";
        let result =
            self.execute(&self.unpooled, Method::GET, page, None, RESPONSE_BYTES_MAX).await;
        match result {
            Ok(accepted) => {
                parse(&accepted, |body| serde_json::from_slice::<Vec<IgnoredAny>>(body)).map(drop)
            }
            Err(Failure::Rejected {
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

    /// Reads the details of a file; details of another file count as an unreadable response.
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
            Call::AddTags(_) | Call::RemoveTags(_) | Call::RemoveAiTags(_) => Method::POST,
            Call::ReadBack(_) => return self.get(&path).await,
        };
        let body = Some(body::encode(call, files));
        self.execute(client, method, &path, body, RESPONSE_BYTES_MAX).await
    }

    async fn get(&self, path: &str) -> Result<Accepted, Failure> {
        self.execute(&self.pooled, Method::GET, path, None, RESPONSE_BYTES_MAX).await
    }

    async fn execute(
        &self,
        client: &reqwest::Client,
        method: Method,
        path_and_query: &str,
        body: Option<Vec<u8>>,
        bytes_max: usize,
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
        let response = client.execute(request).await.map_err(Failure::from_transport_error)?;
        let status = response.status();
        let request_id = request_id(response.headers());
        if matches!(status.as_u16(), 200 | 207) {
            let body = read(response, bytes_max).await?;
            return Ok(Accepted { http_status: status.as_u16(), request_id, body });
        }
        let headers = response.headers().clone();
        // An unreadable body is treated as empty, and so not as ImageKit's.
        let body = read(response, bytes_max).await.unwrap_or_default();
        Err(Failure::from_response(status, &headers, request_id, &body))
    }
}

fn parse<T>(
    accepted: &Accepted,
    read: impl FnOnce(&[u8]) -> serde_json::Result<T>,
) -> Result<T, Failure> {
    read(&accepted.body).map_err(|error| accepted.unreadable(&error.to_string()))
}

/// Headers of every request: HTTP Basic with the key as user name and an empty password.
fn headers(client: &reqwest::Client, settings: &ApiSettings) -> Result<HeaderMap, BuildError> {
    let key = settings.key.expose_secret();
    if key.is_empty() {
        return Err(BuildError::NoKey);
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(BuildError::Key);
    }
    let request = client.get(settings.endpoint.clone()).basic_auth(key, Some("")).build();
    // Each request clones the map, and the HTTP library adds headers: reserve room so that no clone
    // reallocates.
    let mut headers = HeaderMap::with_capacity(HEADERS_MAX);
    headers.extend(request.map_err(BuildError::Client)?.headers().clone());
    if let Some(authorization) = headers.get_mut(AUTHORIZATION) {
        authorization.set_sensitive(true);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Set here once, so that the HTTP library need not add them to each request.
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("ikbulk/", env!("CARGO_PKG_VERSION"))),
    );
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    Ok(headers)
}

/// The request id of a response, cut to 100 characters; ImageKit's have 36.
fn request_id(headers: &HeaderMap) -> Option<Box<str>> {
    const LENGTH_MAX: usize = 100;
    // `to_str` only accepts ASCII, so the id can be cut at any byte.
    let id = headers.get(&REQUEST_ID)?.to_str().ok()?;
    Some(id.get(..LENGTH_MAX).unwrap_or(id).into())
}

/// Reads a body of at most `bytes_max`. A body in a single chunk is not copied.
async fn read(mut response: reqwest::Response, bytes_max: usize) -> Result<Bytes, Failure> {
    let Some(first) = response.chunk().await.map_err(Failure::from_transport_error)? else {
        return Ok(Bytes::new());
    };
    let Some(second) = response.chunk().await.map_err(Failure::from_transport_error)? else {
        return Ok(first);
    };
    let mut body = BytesMut::from(&first[..]);
    let mut next = Some(second);
    while let Some(chunk) = next {
        if body.len() + chunk.len() > bytes_max {
            let message = format!("the response is longer than {} MiB", bytes_max >> 20);
            return Err(Failure::unreadable(&message, response.status().as_u16(), None));
        }
        body.extend_from_slice(&chunk);
        next = response.chunk().await.map_err(Failure::from_transport_error)?;
    }
    Ok(body.freeze())
}
