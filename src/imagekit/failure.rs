//! Failed requests, classified by what may be done next.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::outcome::Code;

/// Maximum length of one of ImageKit's messages, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Maximum length of the excerpt from a response that is not ImageKit's, in bytes.
const EXCERPT_BYTES_MAX: usize = 300;
/// What every `help` contains that says nothing about the error.
const SUPPORT_ADDRESS: &str = "support@imagekit.io";
/// Maximum plausible wait in a response header. A longer one is an error, for example a point in
/// time.
const HEADER_WAIT_MAX: Duration = Duration::from_hours(24);
/// The wait that replaces an implausible one.
const FALLBACK_WAIT: Duration = Duration::from_hours(1);

/// Why a request did not succeed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Failure {
    /// Could not connect; nothing was sent.
    #[error("no connection: {message}")]
    NotSent {
        /// The connection error.
        message: Box<str>,
    },
    /// 429: the request had no effect; the endpoint is throttled.
    #[error("throttled (429)")]
    Throttled(RateLimitHeaders),
    /// The request was sent and its outcome is unknown: timeout, connection lost, a response that
    /// is not ImageKit's or is unreadable, 408, 409, 5xx.
    #[error("no usable response: {message}")]
    Lost {
        /// The kind of failure.
        code: Code,
        /// The reason, for people.
        message: Box<str>,
        /// HTTP status, if there was a response.
        http_status: Option<u16>,
        /// Request id, if there was a response.
        request_id: Option<Box<str>>,
        /// The response's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// Any other 4xx from ImageKit: rejected, without effect.
    #[error("rejected with {http_status}: {message}")]
    Rejected {
        /// [`Code::NotFound`] for a 404, else [`Code::RejectedByApi`].
        code: Code,
        /// ImageKit's message.
        message: Box<str>,
        /// HTTP status.
        http_status: u16,
        /// Request id.
        request_id: Option<Box<str>>,
        /// Ids of files that a bulk call did not find. The call then changes no file at all.
        missing: Vec<String>,
    },
    /// 401, or 403 with an account message: no other request can succeed either.
    #[error("the API key or account was rejected: {message}")]
    Account {
        /// ImageKit's message.
        message: Box<str>,
    },
}

/// The scope of a failure: which requests are affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// The network or the service: no connection, no response from ImageKit itself, or throttling.
    /// The same request can succeed later.
    Environment,
    /// The key or the account: no request can succeed.
    Account,
    /// This request: ImageKit rejected it.
    Request,
}

/// The rate limit in the headers of a 429. ImageKit documents the reset as the time until the next
/// request is allowed, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RateLimitHeaders {
    /// How long to wait; `None` if no header contains it.
    pub reset: Option<Duration>,
    /// `X-RateLimit-Limit` divided by `X-RateLimit-Interval`, in requests per second.
    pub rate: Option<f64>,
}

/// ImageKit's error body: `{"message", "help"[, "errors" | "missingFileIds"]}`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody {
    message: String,
    #[serde(default)]
    help: String,
    #[serde(default)]
    errors: Option<serde_json::Value>,
    #[serde(default)]
    missing_file_ids: Vec<String>,
}

impl Failure {
    /// The scope of the failure.
    #[must_use]
    pub fn concerns(&self) -> Concern {
        match self {
            Self::NotSent { .. } | Self::Throttled(_) | Self::Lost { .. } => Concern::Environment,
            Self::Account { .. } => Concern::Account,
            Self::Rejected { .. } => Concern::Request,
        }
    }

    /// The response's `Retry-After`, if any.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Lost { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Classifies an unsuccessful response. It counts as ImageKit's only if it has ImageKit's error
    /// body: a proxy's or captive portal's response concerns the environment, never the request.
    pub(super) fn from_response(
        status: StatusCode,
        headers: &HeaderMap,
        request_id: Option<Box<str>>,
        body: &[u8],
    ) -> Self {
        let http_status = status.as_u16();
        let lost = |code, message| Self::Lost {
            code,
            message,
            http_status: Some(http_status),
            request_id: request_id.clone(),
            retry_after: retry_after(headers),
        };
        let error = serde_json::from_slice::<ErrorBody>(body);
        match (http_status, error) {
            (429, _) => Self::Throttled(RateLimitHeaders::from_headers(headers)),
            (408 | 409 | 500.., Ok(error)) => lost(Code::Server, error.message()),
            (408 | 409 | 500.., Err(_)) => lost(Code::Server, excerpt(status, body)),
            (401, Ok(error)) => Self::Account { message: error.message() },
            (403, Ok(error)) if error.concerns_account() => {
                Self::Account { message: error.message() }
            }
            // ImageKit never redirects, and a 407 comes from a proxy.
            (400..=406 | 410..=499, Ok(error)) => Self::Rejected {
                code: if http_status == 404 { Code::NotFound } else { Code::RejectedByApi },
                message: error.message(),
                http_status,
                request_id,
                missing: error.missing_file_ids,
            },
            _ => {
                let message =
                    format!("the response is not from ImageKit: {}", excerpt(status, body));
                lost(Code::Unreadable, message.into())
            }
        }
    }

    /// Classifies a transport error. The message omits the URL: the row identifies the request, and
    /// the URL could contain a secret.
    pub(super) fn from_transport_error(error: reqwest::Error) -> Self {
        let (connect, timeout) = (error.is_connect(), error.is_timeout());
        let error = error.without_url();
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        let message = shortened(&message, EXCERPT_BYTES_MAX);
        if connect {
            Self::NotSent { message }
        } else {
            let code = if timeout { Code::Timeout } else { Code::Connection };
            Self::Lost { code, message, http_status: None, request_id: None, retry_after: None }
        }
    }

    /// A successful response that cannot be read.
    pub(crate) fn unreadable(
        message: &str,
        http_status: u16,
        request_id: Option<Box<str>>,
    ) -> Self {
        let message = shortened(message, EXCERPT_BYTES_MAX);
        let (code, http_status) = (Code::Unreadable, Some(http_status));
        Self::Lost { code, message, http_status, request_id, retry_after: None }
    }
}

impl RateLimitHeaders {
    fn from_headers(headers: &HeaderMap) -> Self {
        let milliseconds = |name: &str| number(text(headers, name)?);
        let reset = milliseconds("x-ratelimit-reset").map(|ms| wait(ms / 1000.0));
        let interval = milliseconds("x-ratelimit-interval").filter(|ms| *ms > 0.0);
        let limit = text(headers, "x-ratelimit-limit").and_then(number);
        let rate = limit.zip(interval).map(|(limit, ms)| limit / (ms / 1000.0));
        Self {
            // ImageKit does not document `Retry-After`, but proxies may send it.
            reset: reset.max(retry_after(headers)),
            rate: rate.filter(|rate| rate.is_normal()),
        }
    }
}

/// `Retry-After`, in seconds or as an HTTP date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = text(headers, "retry-after")?;
    if let Some(seconds) = number(value) {
        return Some(wait(seconds));
    }
    let until = timestamp(value)?;
    // Compare with the server's own clock if possible.
    let now = text(headers, "date").and_then(timestamp).unwrap_or_else(Timestamp::now);
    Some(wait(until.duration_since(now).as_secs_f64().max(0.0)))
}

/// The wait in a header, or [`FALLBACK_WAIT`] if it is implausible.
fn wait(seconds: f64) -> Duration {
    let wait = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    if wait > HEADER_WAIT_MAX { FALLBACK_WAIT } else { wait }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

/// Parses a finite, non-negative number; fractions are allowed.
fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

/// Parses an HTTP date: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn timestamp(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp())
}

impl ErrorBody {
    /// The message with the errors by field, and the help unless it only names the support.
    fn message(&self) -> Box<str> {
        let mut text = self.message.clone();
        if let Some(errors) = &self.errors {
            text += &format!(" {errors}");
        }
        if !self.help.contains(SUPPORT_ADDRESS) && !self.message.contains(&self.help) {
            text += &format!(" {}", self.help);
        }
        shortened(&text, MESSAGE_BYTES_MAX)
    }

    /// Whether a 403 concerns the account and not the row, by the messages in ImageKit's API
    /// description.
    fn concerns_account(&self) -> bool {
        ["cannot be authenticated", "expired private API key", "account is disabled"]
            .iter()
            .any(|known| self.message.contains(known))
    }
}

/// Status and body of a response without ImageKit's error body, shortened.
fn excerpt(status: StatusCode, body: &[u8]) -> Box<str> {
    shortened(&format!("{status} {}", String::from_utf8_lossy(body)), EXCERPT_BYTES_MAX)
}

/// Collapses whitespace, so that a response cannot forge log lines, and limits the length.
fn shortened(text: &str, bytes_max: usize) -> Box<str> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() <= bytes_max {
        return line.into();
    }
    format!("{}…", &line[..line.floor_char_boundary(bytes_max)]).into()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use reqwest::header::HeaderName;
    use serde_json::json;

    use super::*;

    fn classified(status: u16, body: &str) -> Failure {
        let status = StatusCode::from_u16(status).unwrap();
        Failure::from_response(status, &HeaderMap::new(), None, body.as_bytes())
    }

    #[test]
    fn only_known_403_messages_concern_the_account() {
        for message in [
            "Your account cannot be authenticated.",
            "Your request contains expired private API key.",
            "Your account is disabled.",
        ] {
            let body = format!(r#"{{"message":"{message}","help":""}}"#);
            assert!(matches!(classified(403, &body), Failure::Account { .. }), "{message}");
        }
        let other = classified(403, r#"{"message":"Not allowed on this plan."}"#);
        assert!(matches!(other, Failure::Rejected { .. }));
    }

    const IMAGEKIT_ERROR: &str = r#"{"message":"No.","help":""}"#;

    #[test]
    fn only_permanent_4xx_from_imagekit_are_rejections() {
        for status in [400, 404, 405, 413, 422] {
            assert!(
                matches!(classified(status, IMAGEKIT_ERROR), Failure::Rejected { .. }),
                "{status}"
            );
        }
        for status in [408, 409, 500, 502, 503, 504] {
            assert!(matches!(classified(status, IMAGEKIT_ERROR), Failure::Lost { .. }), "{status}");
        }
    }

    #[test]
    fn foreign_responses_are_unreadable_not_rejections() {
        let bodies = ["", "<html>", "{}", r#"{"message":1}"#, r#""message""#, "[]"];
        for body in bodies {
            for status in [204, 302, 400, 401, 403, 404, 407, 413, 451] {
                let failure = classified(status, body);
                let is_unreadable = matches!(failure, Failure::Lost { code: Code::Unreadable, .. });
                assert!(is_unreadable, "{status} {body}: {failure}");
            }
        }
        for status in [204, 302, 307, 407] {
            assert!(matches!(classified(status, IMAGEKIT_ERROR), Failure::Lost { .. }), "{status}");
        }
    }

    #[test]
    fn proxy_page_is_shortened_to_one_line() {
        let page = format!("<html>\n<h1>Bad   Gateway</h1>{}</html>", "x".repeat(9000));
        let Failure::Lost { message, .. } = classified(502, &page) else {
            panic!("a 502 is a loss")
        };
        assert!(message.starts_with("502 Bad Gateway <html> <h1>Bad Gateway</h1>"), "{message}");
        assert!(message.len() <= EXCERPT_BYTES_MAX + "…".len());
    }

    #[test]
    fn message_is_whole_with_errors_and_useful_help() {
        let message = |body: &serde_json::Value| match classified(400, &body.to_string()) {
            Failure::Rejected { message, .. } => message.into_string(),
            other => panic!("a 400 is a rejection, not {other}"),
        };
        let long = format!("Tag {} is not allowed.", "ü".repeat(1000));
        let body = |message: &str, help: &str| json!({"message": message, "help": help});
        assert_eq!(message(&body(&long, "")), long);
        let support = "For support kindly contact us at support@imagekit.io .";
        assert_eq!(message(&body("No.", support)), "No.");
        assert_eq!(message(&body("No.", "Use a\nlist.")), "No. Use a list.");
        let errors = json!({"message": "No.", "help": "Why.", "errors": {"size": "too big"}});
        assert_eq!(message(&errors), r#"No. {"size":"too big"} Why."#);
        let cut = message(&body(&"ü".repeat(4096), ""));
        assert_eq!(cut.len(), MESSAGE_BYTES_MAX + "…".len());
    }

    fn headers<const N: usize>(headers: [(&'static str, &str); N]) -> HeaderMap {
        headers
            .into_iter()
            .map(|(name, text)| (HeaderName::from_static(name), text.parse().unwrap()))
            .collect()
    }

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn reset_is_in_milliseconds_and_implausible_becomes_hour() {
        let reset =
            |reset| RateLimitHeaders::from_headers(&headers([("x-ratelimit-reset", reset)])).reset;
        assert_eq!(reset("250"), Some(Duration::from_millis(250)));
        assert_eq!(reset("1500.5"), Some(Duration::from_micros(1_500_500)));
        assert_eq!(reset("5400000"), Some(Duration::from_mins(90)));
        assert_eq!(reset("86400000"), Some(Duration::from_hours(24)));
        for implausible in ["86400001", "1795521471000", "1e99"] {
            assert_eq!(reset(implausible), Some(HOUR), "{implausible}");
        }
        for none in ["soon", "-5", "NaN", "inf", ""] {
            assert_eq!(reset(none), None, "{none}");
        }
    }

    #[test]
    fn rate_is_limit_divided_by_interval() {
        let rate = |limit, interval| {
            let both = [("x-ratelimit-limit", limit), ("x-ratelimit-interval", interval)];
            RateLimitHeaders::from_headers(&headers(both)).rate
        };
        assert!((rate("1000", "900000").unwrap() - 1000.0 / 900.0).abs() < 1e-9);
        for (limit, interval) in [("0", "1000"), ("5", "0"), ("5", "soon"), ("-5", "1000")] {
            assert_eq!(rate(limit, interval), None, "{limit} in {interval}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_date() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        let after = |text| retry_after(&headers([("retry-after", text), date]));
        let minutes = |minutes| Some(Duration::from_mins(minutes));
        assert_eq!(after("120"), minutes(2));
        assert_eq!(after("Sun, 06 Nov 1994 08:51:37 GMT"), minutes(2));
        assert_eq!(after("Sun, 06 Nov 1994 07:00:00 GMT"), minutes(0));
        assert_eq!(after("Tue, 06 Dec 1994 08:49:37 GMT"), Some(HOUR));
        assert_eq!((after("100000"), after("soon")), (Some(HOUR), None));
    }

    #[test]
    fn retry_after_date_falls_back_to_local_clock() {
        let date = |offset| {
            let at = Timestamp::now() + SignedDuration::from_mins(offset);
            jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap()
        };
        let after = |offset| retry_after(&headers([("retry-after", &date(offset))])).unwrap();
        assert_eq!(after(-5), Duration::ZERO);
        assert!((Duration::from_mins(4)..=Duration::from_mins(5)).contains(&after(5)));
    }

    #[test]
    fn longer_of_two_waits_wins_also_for_503() {
        let both = headers([("x-ratelimit-reset", "1500"), ("retry-after", "7")]);
        assert_eq!(RateLimitHeaders::from_headers(&both).reset, Some(Duration::from_secs(7)));
        let failure = Failure::from_response(
            StatusCode::SERVICE_UNAVAILABLE,
            &both,
            None,
            IMAGEKIT_ERROR.as_bytes(),
        );
        let seven = Some(Duration::from_secs(7));
        assert!(matches!(failure, Failure::Lost { retry_after, .. } if retry_after == seven));
    }
}
