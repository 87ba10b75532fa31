//! The list of custom metadata fields: `GET /v1/customMetadataFields`.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::api::response::ApiResponse;
use crate::calls::listing::folder;
use crate::library::store::Store;

/// Lists the account's fields; with a `folderPath`, those that its path policy selects. The sandbox has
/// no deleted fields to include.
///
/// # Errors
/// The API's 400 response.
pub(crate) fn list(
    fields: &[Value],
    store: &Store,
    query: &str,
) -> Result<ApiResponse, ApiResponse> {
    let mut policy = None;
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let value = percent_decode_str(value).decode_utf8_lossy();
        match (key, &*value) {
            ("includeDeleted", "true" | "false") => {}
            ("folderPath", path) => policy = store.policy(&folder(path)),
            _ => {
                return Err(ApiResponse::bad_request(&format!(
                    "The sandbox does not support {key}={value}."
                )));
            }
        }
    }
    Ok(match policy {
        Some(policy) => ApiResponse::json(200, &policy.select(fields)),
        None => ApiResponse::json(200, &fields),
    })
}
