//! How an response gets on the wire: whole, or broken, slow, or blown up.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use bytes::Bytes;
use futures_util::stream;

use super::connection::{CloseMode, ConnectionControl};
use super::response::ApiResponse;

/// Some of the status line, and no more.
const HEAD_BYTES: usize = 20;
/// What a blown-up body is made of: JSON does not mind blanks at its end.
static BLANKS: [u8; 64 << 10] = [b' '; 64 << 10];

/// What becomes of an response, or of the connection in its place.
#[derive(Debug)]
pub(crate) enum Reply {
    /// On the wire as it is.
    Whole(ApiResponse),
    /// Announced whole, and then only half of its body.
    Half(ApiResponse, CloseMode),
    /// The connection is reset in the middle of the head.
    PartOfHead(ApiResponse),
    /// So many bytes of the body at a time, each time after a pause.
    Slow(ApiResponse, usize, Duration),
    /// With a body of so many bytes, most of them blanks.
    Huge(ApiResponse, u64),
    /// The connection is reset without a byte.
    Nothing,
}

impl Reply {
    /// The status that the client would see.
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

    /// The response to request `n`, for a connection that is told what to do with it.
    pub(crate) fn deliver(self, line: &ConnectionControl, n: u64) -> Response<Body> {
        match self {
            Self::Whole(response) => response.into_response(Some(n)),
            Self::Half(response, end) => {
                line.end_in_body(response.body.len() / 2, end);
                response.into_response(Some(n))
            }
            Self::PartOfHead(response) => {
                line.end_after(HEAD_BYTES, CloseMode::Reset);
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
                line.end_after(0, CloseMode::Reset);
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

/// The body, and then the same blanks over and over: nothing of it is held in memory.
fn huge(body: Bytes, length: u64) -> Body {
    let blanks = Bytes::from_static(&BLANKS);
    let padding = length - body.len() as u64;
    let (whole, rest) = (padding / BLANKS.len() as u64, padding % BLANKS.len() as u64);
    let rest = blanks.slice(..usize::try_from(rest).expect("it is less than there are blanks"));
    let pieces = std::iter::once(body)
        .chain((0..whole).map(move |_| blanks.clone()))
        .chain(std::iter::once(rest))
        .filter(|piece| !piece.is_empty());
    Body::from_stream(stream::iter(pieces.map(Ok::<_, Infallible>)))
}
