//! `x-ik-requestid`.

use axum::http::HeaderValue;
use xxhash_rust::xxh3::xxh3_128;

/// The id of request `n`: looks like a UUID, but depends on `n` only.
pub(crate) fn request_id(n: u64) -> String {
    request_id_bytes(n).map(char::from).iter().collect()
}

pub(crate) fn request_id_header(n: u64) -> HeaderValue {
    HeaderValue::from_bytes(&request_id_bytes(n))
        .expect("digits and hyphens are allowed in a header")
}

fn request_id_bytes(n: u64) -> [u8; 36] {
    let mut text = [b'-'; 36];
    let hash = xxh3_128(&n.to_le_bytes()).to_le_bytes();
    let places = (0..36).filter(|place| ![8, 13, 18, 23].contains(place));
    let nibbles = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    for (place, nibble) in places.zip(nibbles) {
        text[place] = b"0123456789abcdef"[usize::from(nibble)];
    }
    text
}
