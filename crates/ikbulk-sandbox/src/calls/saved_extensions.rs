//! The calls of saved extensions: `/v1/saved-extensions`.

use serde_json::Value;

use crate::api::response::ApiResponse;
use crate::api::route::Collection;
use crate::clock::Clock;
use crate::extensions::catalogue::Catalogue;

/// Handles a call of saved extensions. The API's statuses are those of its other collections: 201 for
/// a new entry, 204 after a deletion.
///
/// # Errors
/// The API's 400 or 404 response.
pub(crate) fn handle(
    catalogue: &mut Catalogue,
    call: &Collection,
    body: Option<&Value>,
) -> Result<ApiResponse, ApiResponse> {
    let (fields, saved) = catalogue.saved_mut();
    let body = || body.ok_or_else(ApiResponse::malformed);
    let invalid = |reason: String| ApiResponse::bad_request(&reason);
    match call {
        Collection::List => Ok(ApiResponse::json(200, &saved.objects().collect::<Vec<&Value>>())),
        Collection::Create => {
            let created = saved.create(body()?, fields, Clock::wall_ms()).map_err(invalid)?;
            Ok(ApiResponse::json(201, created))
        }
        Collection::Get(id) => {
            let found = saved.get(id).ok_or_else(missing)?;
            Ok(ApiResponse::json(200, &found.object))
        }
        Collection::Update(id) => {
            let updated = saved.update(id, body()?, fields, Clock::wall_ms()).map_err(invalid)?;
            Ok(ApiResponse::json(200, updated.ok_or_else(missing)?))
        }
        Collection::Delete(id) if saved.delete(id) => Ok(ApiResponse::no_content()),
        Collection::Delete(_) => Err(missing()),
    }
}

fn missing() -> ApiResponse {
    ApiResponse::error(404, "The requested saved extension does not exist.")
}
