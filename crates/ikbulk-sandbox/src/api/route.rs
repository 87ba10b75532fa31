//! Maps method and path to a call.

use std::borrow::Cow;

use axum::http::{Method, Uri};
use percent_encoding::percent_decode_str;

use crate::rate_limit::limit::Kind;

/// Target of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Api(Call),
    Internal(Internal),
}

/// A call of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    /// PATCH details: an update or a publish, depending on the body.
    Update(String),
    Get(String),
    List,
    Bulk(Bulk),
    Fields,
    /// Saved extensions.
    Saved(Collection),
    /// Webhooks of the account.
    Webhooks(Collection),
    Report(Report),
    /// A file id that is not UTF-8, or empty.
    NoFileId,
    /// A known path with a method that it does not have.
    NoMethod,
    NoEndpoint,
}

/// The three bulk calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bulk {
    /// addTags
    Add,
    /// removeTags
    Remove,
    /// removeAITags
    RemoveAi,
}

/// A call of a collection of the account, such as its saved extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Collection {
    List,
    Create,
    Get(String),
    Update(String),
    Delete(String),
}

/// The two usage reports of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Report {
    Usage,
    Analytics,
}

/// An internal request: without authentication, rate limits, faults and statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Internal {
    Stats,
    Library,
    History(String),
    /// Billed runs.
    Runs,
    Reset,
    NotFound,
}

impl Call {
    /// Kind of the call; `None` for invalid calls, which are not limited.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Update(_) | Self::Bulk(_) => Some(Kind::Write),
            Self::Get(_) | Self::List | Self::Fields | Self::Report(_) => Some(Kind::Read),
            Self::Saved(collection) | Self::Webhooks(collection) => Some(collection.kind()),
            Self::NoFileId | Self::NoMethod | Self::NoEndpoint => None,
        }
    }

    /// Whether its request has a JSON body.
    pub(crate) fn has_body(&self) -> bool {
        match self {
            Self::Update(_) | Self::Bulk(_) => true,
            Self::Saved(collection) | Self::Webhooks(collection) => {
                matches!(collection, Collection::Create | Collection::Update(_))
            }
            _ => false,
        }
    }
}

impl Collection {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::List | Self::Get(_) => Kind::Read,
            Self::Create | Self::Update(_) | Self::Delete(_) => Kind::Write,
        }
    }
}

/// Finds the route. Paths are not normalized: `..` has no meaning, and an encoded slash is part of a
/// file id.
pub(crate) fn route(method: &Method, uri: &Uri) -> Route {
    let path = uri.path();
    match path.strip_prefix("/__sandbox/") {
        Some(rest) => Route::Internal(internal(method, rest)),
        None => Route::Api(api(method, path)),
    }
}

fn internal(method: &Method, rest: &str) -> Internal {
    let history = |rest: &str| {
        let id = rest.strip_prefix("files/")?.strip_suffix("/history")?;
        Some(decoded(id)?.into_owned())
    };
    match (method.as_str(), rest) {
        ("GET", "stats") => Internal::Stats,
        ("GET", "library") => Internal::Library,
        ("GET", "runs") => Internal::Runs,
        ("POST", "reset") => Internal::Reset,
        ("GET", rest) => history(rest).map_or(Internal::NotFound, Internal::History),
        _ => Internal::NotFound,
    }
}

fn api(method: &Method, path: &str) -> Call {
    let (expected, call) = match path {
        "/v1/files" => ("GET", Call::List),
        "/v1/customMetadataFields" => ("GET", Call::Fields),
        "/v1/accounts/usage" => ("GET", Call::Report(Report::Usage)),
        "/v1/accounts/usage-analytics" => ("GET", Call::Report(Report::Analytics)),
        "/v1/files/addTags" => ("POST", Call::Bulk(Bulk::Add)),
        "/v1/files/removeTags" => ("POST", Call::Bulk(Bulk::Remove)),
        "/v1/files/removeAITags" => ("POST", Call::Bulk(Bulk::RemoveAi)),
        path => {
            let call = details(method, path).or_else(|| collection(method, path));
            return call.unwrap_or(Call::NoEndpoint);
        }
    };
    if method.as_str() == expected { call } else { Call::NoMethod }
}

/// Makes a call of a collection.
type Of = fn(Collection) -> Call;

/// The call of a collection, if `path` is that of a collection or of one of its entries.
fn collection(method: &Method, path: &str) -> Option<Call> {
    let saved = path.strip_prefix("/v1/saved-extensions").map(|rest| (rest, Call::Saved as Of));
    let webhooks =
        || path.strip_prefix("/v1/accounts/webhooks").map(|rest| (rest, Call::Webhooks as Of));
    let (rest, of) = saved.or_else(webhooks)?;
    let id = match rest.strip_prefix('/') {
        Some(id) if id.is_empty() || id.contains('/') => return None,
        Some(id) => Some(decoded(id)?.into_owned()),
        None if rest.is_empty() => None,
        None => return None,
    };
    let call = match (method.as_str(), id) {
        ("GET", None) => Collection::List,
        ("POST", None) => Collection::Create,
        ("GET", Some(id)) => Collection::Get(id),
        ("PATCH", Some(id)) => Collection::Update(id),
        ("DELETE", Some(id)) => Collection::Delete(id),
        _ => return Some(Call::NoMethod),
    };
    Some(of(call))
}

fn details(method: &Method, path: &str) -> Option<Call> {
    let id = path.strip_prefix("/v1/files/")?.strip_suffix("/details")?;
    if id.contains('/') {
        return None;
    }
    let id = decoded(id).filter(|id| !id.is_empty()).map(Cow::into_owned);
    Some(match (method.as_str(), id) {
        ("GET", Some(id)) => Call::Get(id),
        ("PATCH", Some(id)) => Call::Update(id),
        ("GET" | "PATCH", None) => Call::NoFileId,
        _ => Call::NoMethod,
    })
}

fn decoded(id: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(id).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, path: &str) -> Call {
        match route(&method.parse().unwrap(), &path.parse().unwrap()) {
            Route::Api(call) => call,
            Route::Internal(internal) => panic!("{internal:?}"),
        }
    }

    #[test]
    fn only_existing_endpoints_are_found() {
        assert_eq!(call("PATCH", "/v1/files/abc/details"), Call::Update("abc".to_owned()));
        assert_eq!(call("GET", "/v1/files/abc/details?x=1"), Call::Get("abc".to_owned()));
        assert_eq!(call("GET", "/v1/files?limit=5"), Call::List);
        assert_eq!(call("POST", "/v1/files/addTags"), Call::Bulk(Bulk::Add));
        assert_eq!(call("GET", "/v1/files/addTags"), Call::NoMethod);
        assert_eq!(call("DELETE", "/v1/files/abc/details"), Call::NoMethod);
        assert_eq!(call("GET", "/v1/files/abc"), Call::NoEndpoint);
        assert_eq!(call("GET", "/v2/files"), Call::NoEndpoint);
        assert_eq!(call("GET", "/"), Call::NoEndpoint);
    }

    #[test]
    fn entries_of_collections_have_an_id() {
        let saved = |method, path| call(method, &format!("/v1/saved-extensions{path}"));
        assert_eq!(saved("GET", ""), Call::Saved(Collection::List));
        assert_eq!(saved("POST", ""), Call::Saved(Collection::Create));
        assert_eq!(saved("GET", "/ext_1"), Call::Saved(Collection::Get("ext_1".to_owned())));
        assert_eq!(saved("PATCH", "/ext_1"), Call::Saved(Collection::Update("ext_1".to_owned())));
        assert_eq!(saved("DELETE", "/ext_1"), Call::Saved(Collection::Delete("ext_1".to_owned())));
        let webhook = call("GET", "/v1/accounts/webhooks/5");
        assert_eq!(webhook, Call::Webhooks(Collection::Get("5".to_owned())));
        assert_eq!(saved("DELETE", ""), Call::NoMethod);
        assert_eq!(saved("PUT", "/ext_1"), Call::NoMethod);
        for other in ["/", "/ext_1/", "s", "/a/b"] {
            assert_eq!(saved("GET", other), Call::NoEndpoint, "{other}");
        }
    }

    #[test]
    fn decoded_file_id_reaches_no_other_endpoint() {
        assert_eq!(call("PATCH", "/v1/files/a%20b%2Fc/details"), Call::Update("a b/c".to_owned()));
        assert_eq!(call("PATCH", "/v1/files/..%2Fx/details"), Call::Update("../x".to_owned()));
        assert_eq!(call("PATCH", "/v1/files/../x/details"), Call::NoEndpoint);
        assert_eq!(call("PATCH", "/v1/files//details"), Call::NoFileId);
        assert_eq!(call("PATCH", "/v1/files/%ff/details"), Call::NoFileId);
    }

    #[test]
    fn internal_paths_are_not_api_calls() {
        let internal =
            |method: &str, path: &str| route(&method.parse().unwrap(), &path.parse().unwrap());
        assert_eq!(internal("GET", "/__sandbox/stats"), Route::Internal(Internal::Stats));
        let history = Internal::History("a/b".to_owned());
        assert_eq!(internal("GET", "/__sandbox/files/a%2Fb/history"), Route::Internal(history));
        assert_eq!(internal("GET", "/__sandbox/reset"), Route::Internal(Internal::NotFound));
    }
}
