//! Sends a response to the client: unchanged, truncated, slowly or padded.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use bytes::Bytes;
use futures_util::stream;

use crate::api::response::ApiResponse;
use crate::http::connection::{CloseMode, ConnectionControl};

/// Number of bytes of the head to send: less than the status line.
const HEAD_BYTES: usize = 20;
/// Padding of a huge body: JSON allows trailing spaces.
static SPACES: [u8; 64 << 10] = [b' '; 64 << 10];

/// A response and how to send it.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Sends the response unchanged.
    Whole(ApiResponse),
    /// Sends the head and half of the body, then closes the connection.
    Half(ApiResponse, CloseMode),
    /// Resets the connection within the head.
    PartOfHead(ApiResponse),
    /// Sends this many bytes of the body at a time, with a pause before each.
    Slow(ApiResponse, usize, Duration),
    /// Pads the body with spaces to this many bytes.
    Huge(ApiResponse, u64),
    /// Resets the connection without sending anything.
    Nothing,
}

impl Reply {
    /// The status of the response, which the client may not receive completely.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Whole(response)
            | Self::Half(response, _)
            | Self::PartOfHead(response)
            | Self::Slow(response, ..)
            | Self::Huge(response, _) => Some(response.status),
            Self::Nothing => None,
        }
    }

    /// The response to request `n`; tells `connection` where to break it.
    pub(crate) fn deliver(self, connection: &ConnectionControl, n: u64) -> Response<Body> {
        match self {
            Self::Whole(response) => response.into_response(Some(n)),
            Self::Half(response, close) => {
                connection.close_in_body(response.body.len() / 2, close);
                response.into_response(Some(n))
            }
            Self::PartOfHead(response) => {
                connection.close_after(HEAD_BYTES, CloseMode::Reset);
                response.into_response(Some(n))
            }
            Self::Slow(response, bytes, every) => {
                let (length, body) = (response.body.len() as u64, response.body.clone());
                with_body(response.into_response(Some(n)), length, slow(body, bytes, every))
            }
            Self::Huge(response, bytes) => {
                let body = response.body.clone();
                let length = bytes.max(body.len() as u64);
                with_body(response.into_response(Some(n)), length, huge(body, length))
            }
            Self::Nothing => {
                connection.close_after(0, CloseMode::Reset);
                ApiResponse::plain(200, "", "text/plain").into_response(None)
            }
        }
    }
}

fn with_body(mut response: Response<Body>, length: u64, body: Body) -> Response<Body> {
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    *response.body_mut() = body;
    response
}

fn slow(body: Bytes, bytes: usize, every: Duration) -> Body {
    Body::from_stream(stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(every).await;
        let piece = rest.split_to(bytes.clamp(1, rest.len()));
        Some((Ok::<_, Infallible>(piece), rest))
    }))
}

/// The body, padded with spaces to `length` without allocating memory for them.
fn huge(body: Bytes, length: u64) -> Body {
    let spaces = Bytes::from_static(&SPACES);
    let padding = length - body.len() as u64;
    let (repeats, rest) = (padding / SPACES.len() as u64, padding % SPACES.len() as u64);
    let rest = spaces.slice(..usize::try_from(rest).expect("the remainder is below the length"));
    let pieces = std::iter::once(body)
        .chain((0..repeats).map(move |_| spaces.clone()))
        .chain(std::iter::once(rest))
        .filter(|piece| !piece.is_empty());
    Body::from_stream(stream::iter(pieces.map(Ok::<_, Infallible>)))
}
