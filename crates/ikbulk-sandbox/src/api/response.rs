//! API responses, with the API's own error messages.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::request_id::request_id_header;
use crate::rate_limit::headers::RateHeaders;

const HELP: &str = "For support kindly contact us at support@imagekit.io.";
const JSON: &str = "application/json; charset=utf-8";

/// A response of the API.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiResponse {
    pub(crate) status: u16,
    pub(crate) content_type: Cow<'static, str>,
    pub(crate) body: Bytes,
    pub(crate) rate: RateHeaders,
}

impl ApiResponse {
    pub(crate) fn json<T: Serialize>(status: u16, body: &T) -> Self {
        // Fits most file objects, and stays below malloc's threshold for large allocations.
        let mut buffer = Vec::with_capacity(1000);
        serde_json::to_writer(&mut buffer, body)
            .expect("writing to a buffer cannot fail, and all keys are strings");
        Self::plain(status, buffer, JSON)
    }

    pub(crate) fn plain(
        status: u16,
        body: impl Into<Bytes>,
        content_type: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            content_type: content_type.into(),
            body: body.into(),
            rate: RateHeaders::default(),
        }
    }

    /// A 204, which has no body.
    pub(crate) fn no_content() -> Self {
        Self::plain(204, Bytes::new(), "")
    }

    /// An error with the API's usual body.
    pub(crate) fn error(status: u16, message: &str) -> Self {
        Self::json(status, &json!({"message": message, "help": HELP}))
    }

    pub(crate) fn bad_request(message: &str) -> Self {
        Self::error(400, message)
    }

    pub(crate) fn invalid_metadata(errors: &serde_json::Map<String, Value>) -> Self {
        Self::json(
            400,
            &json!({"message": "Invalid custom metadata.", "help": HELP, "errors": errors}),
        )
    }

    pub(crate) fn invalid_file_id() -> Self {
        Self::bad_request("Your request contains invalid fileId parameter.")
    }

    pub(crate) fn no_key() -> Self {
        Self::error(401, "Your request does not contain private API key.")
    }

    pub(crate) fn wrong_key() -> Self {
        Self::error(403, "Your account cannot be authenticated.")
    }

    pub(crate) fn expired_key() -> Self {
        Self::error(403, "Your request contains expired private API key.")
    }

    pub(crate) fn no_file() -> Self {
        Self::error(404, "The requested file does not exist.")
    }

    /// Rejects a missing file: with 404, or 400 if its id is invalid.
    pub(crate) fn no_file_with(id: &str) -> Self {
        let is_allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if id.bytes().all(is_allowed) { Self::no_file() } else { Self::invalid_file_id() }
    }

    /// Rejects a bulk call because some of its files do not exist.
    pub(crate) fn no_files(missing: Option<&[&str]>) -> Self {
        let mut body = json!({"message": "The requested file(s) does not exist.", "help": HELP});
        if let Some(missing) = missing {
            body["missingFileIds"] = json!(missing);
        }
        Self::json(404, &body)
    }

    pub(crate) fn malformed() -> Self {
        Self::bad_request("Your request contains malformed JSON.")
    }

    pub(crate) fn no_endpoint() -> Self {
        Self::error(404, "The requested resource does not exist.")
    }

    pub(crate) fn no_method() -> Self {
        Self::error(405, "The requested method is not allowed for this resource.")
    }

    pub(crate) fn throttled(rate: RateHeaders) -> Self {
        let message = "The request exceeded the rate limit. Please try again later.";
        Self { rate, ..Self::error(429, message) }
    }

    /// A 200 with an invalid body.
    pub(crate) fn garbage() -> Self {
        Self::plain(
            200,
            Bytes::from_static(b"{\"fileId\": \"598821f9\", \"tags\": [\"t-sh\x00"),
            JSON,
        )
    }

    pub(crate) fn into_response(self, request_id: Option<u64>) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        let content_type = match self.content_type {
            Cow::Borrowed("") => None,
            Cow::Borrowed(text) => Some(HeaderValue::from_static(text)),
            Cow::Owned(text) => HeaderValue::try_from(text).ok(),
        };
        headers.extend(content_type.map(|value| (header::CONTENT_TYPE, value)));
        headers.extend(
            request_id.map(|n| (HeaderName::from_static("x-ik-requestid"), request_id_header(n))),
        );
        headers.extend(self.rate.headers());
        response
    }
}
