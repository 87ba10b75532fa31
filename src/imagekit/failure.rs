//! The ends of a request that are not a yes, sorted by what may be done next.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::outcome::Code;

/// How much of an answer that is not JSON is kept for people, in characters.
const MESSAGE_LENGTH_MAX: usize = 300;
/// A stated wait that is longer is taken for a mistake (for a point in time, say)…
const STATED_WAIT_MAX: Duration = Duration::from_hours(24);
/// …and this one for what is meant.
const WAIT_INSTEAD: Duration = Duration::from_hours(1);

/// Why a request did not succeed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Failure {
    /// No connection came about, so nothing was sent.
    #[error("no connection: {message}")]
    NotSent {
        /// Why not.
        message: Box<str>,
    },
    /// 429: nothing was done, and nothing may be sent to that endpoint for a while.
    #[error("429, too many requests")]
    Throttled(RateLimitNote),
    /// It was sent, and nobody knows what became of it: no answer in time, a lost connection, an
    /// answer that is not ImageKit's or cannot be read, 408, 409, 5xx.
    #[error("no usable answer: {message}")]
    Lost {
        /// In which way.
        code: Code,
        /// The same for people.
        message: Box<str>,
        /// The status, if an answer came.
        http_status: Option<u16>,
        /// Its request id, if an answer came.
        request_id: Option<Box<str>>,
        /// How long to wait before it is repeated, if the answer said so.
        retry_after: Option<Duration>,
    },
    /// Any other 4xx of ImageKit: it was looked at and not done.
    #[error("refused with {http_status}: {message}")]
    Refused {
        /// In which way.
        code: Code,
        /// What ImageKit said.
        message: Box<str>,
        /// The status.
        http_status: u16,
        /// The request id.
        request_id: Option<Box<str>>,
        /// The files of a bulk call that ImageKit names as missing. Nothing was done to the others
        /// either.
        missing: Vec<String>,
    },
    /// 401, or 403 about the account: no other request can succeed either.
    #[error("the account was not accepted: {message}")]
    Account {
        /// What ImageKit said.
        message: Box<str>,
    },
}

/// What a failure is about, and so who can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// The way to ImageKit or ImageKit as a whole: no connection, no answer of ImageKit's own, or
    /// nothing but 429s. The same request can succeed later.
    Environment,
    /// The key or the account: no request can succeed.
    Account,
    /// This request: ImageKit looked at it and said no.
    Request,
}

/// What a 429 says of the limit. Documented by ImageKit: the reset is a duration in milliseconds
/// until the next request may go out.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RateLimitNote {
    /// How long to hold; `None` where nothing says so.
    pub reset: Option<Duration>,
    /// `X-RateLimit-Limit` over `X-RateLimit-Interval`, in requests a second.
    pub rate: Option<f64>,
}

/// ImageKit's error body: `{"message", "help"[, "errors" | "missingFileIds"]}`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody {
    message: String,
    #[serde(default)]
    errors: Option<serde_json::Value>,
    #[serde(default)]
    missing_file_ids: Vec<String>,
}

impl Failure {
    /// What it is about.
    #[must_use]
    pub fn concerns(&self) -> Concern {
        match self {
            Self::NotSent { .. } | Self::Throttled(_) | Self::Lost { .. } => Concern::Environment,
            Self::Account { .. } => Concern::Account,
            Self::Refused { .. } => Concern::Request,
        }
    }

    /// How long to wait before it is repeated, if an answer said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Lost { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Sorts an answer that is not a yes. It counts as ImageKit's only if it has ImageKit's error
    /// body: what a proxy or a captive portal says is about the way there, never about the request.
    pub(super) fn of_answer(
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
            (429, _) => Self::Throttled(RateLimitNote::read(headers)),
            (408 | 409 | 500.., Ok(error)) => lost(Code::Server, error.message()),
            (408 | 409 | 500.., Err(_)) => lost(Code::Server, excerpt(status, body)),
            (401, Ok(error)) => Self::Account { message: error.message() },
            (403, Ok(error)) if error.concerns_account() => {
                Self::Account { message: error.message() }
            }
            // ImageKit redirects nothing, and is no proxy that wants a password.
            (400..=406 | 410..=499, Ok(error)) => Self::Refused {
                code: if http_status == 404 { Code::NotFound } else { Code::RejectedByApi },
                message: error.message(),
                http_status,
                request_id,
                missing: error.missing_file_ids,
            },
            _ => {
                let message = format!("the answer is not ImageKit's: {}", excerpt(status, body));
                lost(Code::Unreadable, message.into())
            }
        }
    }

    /// Sorts an error of the connection. The URL is left out of the message: it says nothing that
    /// the row does not, and no secret can come with it.
    pub(super) fn of_error(error: reqwest::Error) -> Self {
        let (connect, timeout) = (error.is_connect(), error.is_timeout());
        let error = error.without_url();
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        let message = shortened(&message);
        if connect {
            Self::NotSent { message }
        } else {
            let code = if timeout { Code::Timeout } else { Code::Connection };
            Self::Lost { code, message, http_status: None, request_id: None, retry_after: None }
        }
    }

    /// An answer that says yes and cannot be read.
    pub(crate) fn unreadable(
        message: &str,
        http_status: u16,
        request_id: Option<Box<str>>,
    ) -> Self {
        let message = shortened(message);
        let (code, http_status) = (Code::Unreadable, Some(http_status));
        Self::Lost { code, message, http_status, request_id, retry_after: None }
    }
}

impl RateLimitNote {
    fn read(headers: &HeaderMap) -> Self {
        let milliseconds = |name: &str| number(text(headers, name)?);
        let reset = milliseconds("x-ratelimit-reset").map(|ms| wait(ms / 1000.0));
        let interval = milliseconds("x-ratelimit-interval").filter(|ms| *ms > 0.0);
        let limit = text(headers, "x-ratelimit-limit").and_then(number);
        let rate = limit.zip(interval).map(|(limit, ms)| limit / (ms / 1000.0));
        Self {
            // ImageKit does not mention the other one, but any proxy on the way may send it.
            reset: reset.max(retry_after(headers)),
            rate: rate.filter(|rate| rate.is_normal()),
        }
    }
}

/// `Retry-After`, as seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let stated = text(headers, "retry-after")?;
    if let Some(seconds) = number(stated) {
        return Some(wait(seconds));
    }
    let until = timestamp(stated)?;
    // Their clock is the one that both are read from.
    let now = text(headers, "date").and_then(timestamp).unwrap_or_else(Timestamp::now);
    Some(wait(until.duration_since(now).as_secs_f64().max(0.0)))
}

/// A stated wait, if it is not absurd.
fn wait(seconds: f64) -> Duration {
    let stated = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    if stated > STATED_WAIT_MAX { WAIT_INSTEAD } else { stated }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

/// A number that can be a time or a count; it may have a fraction.
fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

/// A date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn timestamp(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp())
}

impl ErrorBody {
    fn message(&self) -> Box<str> {
        match &self.errors {
            None => shortened(&self.message),
            Some(errors) => shortened(&format!("{} {errors}", self.message)),
        }
    }

    /// Whether the message of a 403 concerns the account, not the row, as ImageKit's API description
    /// gives them.
    fn concerns_account(&self) -> bool {
        ["cannot be authenticated", "expired private API key", "account is disabled"]
            .iter()
            .any(|known| self.message.contains(known))
    }
}

/// What can be told of an answer that has no error body.
fn excerpt(status: StatusCode, body: &[u8]) -> Box<str> {
    shortened(&format!("{status} {}", String::from_utf8_lossy(body)))
}

/// One line of bounded length, so that no answer can forge a line of a log.
fn shortened(text: &str) -> Box<str> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = line.chars().take(MESSAGE_LENGTH_MAX).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short.into()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use reqwest::header::HeaderName;

    use super::*;

    fn sorted(status: u16, body: &str) -> Failure {
        let status = StatusCode::from_u16(status).unwrap();
        Failure::of_answer(status, &HeaderMap::new(), None, body.as_bytes())
    }

    #[test]
    fn a_403_concerns_the_account_only_with_one_of_its_messages() {
        for message in [
            "Your account cannot be authenticated.",
            "Your request contains expired private API key.",
            "Your account is disabled.",
        ] {
            let body = format!(r#"{{"message":"{message}","help":""}}"#);
            assert!(matches!(sorted(403, &body), Failure::Account { .. }), "{message}");
        }
        let other = sorted(403, r#"{"message":"Not allowed on this plan."}"#);
        assert!(matches!(other, Failure::Refused { .. }));
    }

    const OWN: &str = r#"{"message":"No.","help":""}"#;

    #[test]
    fn only_answers_of_imagekit_that_say_that_nothing_was_done_are_refusals() {
        for status in [400, 404, 405, 413, 422] {
            assert!(matches!(sorted(status, OWN), Failure::Refused { .. }), "{status}");
        }
        for status in [408, 409, 500, 502, 503, 504] {
            assert!(matches!(sorted(status, OWN), Failure::Lost { .. }), "{status}");
        }
    }

    #[test]
    fn what_is_not_imagekits_json_says_nothing_about_row_or_account() {
        let bodies = ["", "<html>", "{}", r#"{"message":1}"#, r#""message""#, "[]"];
        for body in bodies {
            for status in [204, 302, 400, 401, 403, 404, 407, 413, 451] {
                let failure = sorted(status, body);
                let is_unreadable = matches!(failure, Failure::Lost { code: Code::Unreadable, .. });
                assert!(is_unreadable, "{status} {body}: {failure}");
            }
        }
        for status in [204, 302, 307, 407] {
            assert!(matches!(sorted(status, OWN), Failure::Lost { .. }), "{status}");
        }
    }

    #[test]
    fn a_page_of_a_proxy_becomes_one_short_line() {
        let page = format!("<html>\n<h1>Bad   Gateway</h1>{}</html>", "x".repeat(9000));
        let Failure::Lost { message, .. } = sorted(502, &page) else { panic!("a 502 is a loss") };
        assert!(message.starts_with("502 Bad Gateway <html> <h1>Bad Gateway</h1>"), "{message}");
        assert!(message.chars().count() <= MESSAGE_LENGTH_MAX + 1);
    }

    fn headers<const N: usize>(headers: [(&'static str, &str); N]) -> HeaderMap {
        headers
            .into_iter()
            .map(|(name, text)| (HeaderName::from_static(name), text.parse().unwrap()))
            .collect()
    }

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_reset_is_a_duration_in_milliseconds_and_an_absurd_one_is_an_hour() {
        let reset = |reset| RateLimitNote::read(&headers([("x-ratelimit-reset", reset)])).reset;
        assert_eq!(reset("250"), Some(Duration::from_millis(250)));
        assert_eq!(reset("1500.5"), Some(Duration::from_micros(1_500_500)));
        assert_eq!(reset("5400000"), Some(Duration::from_mins(90)));
        assert_eq!(reset("86400000"), Some(Duration::from_hours(24)));
        for absurd in ["86400001", "1795521471000", "1e99"] {
            assert_eq!(reset(absurd), Some(HOUR), "{absurd}");
        }
        for none in ["soon", "-5", "NaN", "inf", ""] {
            assert_eq!(reset(none), None, "{none}");
        }
    }

    #[test]
    fn a_limit_is_so_many_requests_in_so_many_milliseconds() {
        let rate = |limit, interval| {
            let stated = [("x-ratelimit-limit", limit), ("x-ratelimit-interval", interval)];
            RateLimitNote::read(&headers(stated)).rate
        };
        assert!((rate("1000", "900000").unwrap() - 1000.0 / 900.0).abs() < 1e-9);
        for (limit, interval) in [("0", "1000"), ("5", "0"), ("5", "soon"), ("-5", "1000")] {
            assert_eq!(rate(limit, interval), None, "{limit} in {interval}");
        }
    }

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
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
    fn without_a_clock_of_theirs_a_date_is_read_by_ours() {
        let date = |offset| {
            let at = Timestamp::now() + SignedDuration::from_mins(offset);
            jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap()
        };
        let after = |offset| retry_after(&headers([("retry-after", &date(offset))])).unwrap();
        assert_eq!(after(-5), Duration::ZERO);
        assert!((Duration::from_mins(4)..=Duration::from_mins(5)).contains(&after(5)));
    }

    #[test]
    fn of_two_stated_waits_the_longer_one_holds_and_a_503_may_state_one_too() {
        let both = headers([("x-ratelimit-reset", "1500"), ("retry-after", "7")]);
        assert_eq!(RateLimitNote::read(&both).reset, Some(Duration::from_secs(7)));
        let failure =
            Failure::of_answer(StatusCode::SERVICE_UNAVAILABLE, &both, None, OWN.as_bytes());
        let seven = Some(Duration::from_secs(7));
        assert!(matches!(failure, Failure::Lost { retry_after, .. } if retry_after == seven));
    }
}
