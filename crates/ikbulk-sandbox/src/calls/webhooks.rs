//! The calls of the account's webhooks: `/v1/accounts/webhooks`.

use serde_json::Value;

use crate::account::webhooks::Webhooks;
use crate::api::response::ApiResponse;
use crate::api::route::Collection;
use crate::clock::Clock;

/// Handles a call of webhooks. The statuses are those of the API's other collections.
///
/// # Errors
/// The API's 400 or 404 response.
pub(crate) fn handle(
    webhooks: &mut Webhooks,
    call: &Collection,
    body: Option<&Value>,
) -> Result<ApiResponse, ApiResponse> {
    let body = || body.ok_or_else(ApiResponse::malformed);
    let invalid = |reason: String| ApiResponse::bad_request(&reason);
    let found = |webhook: Option<Value>| {
        let webhook = webhook.ok_or_else(missing)?;
        Ok(ApiResponse::json(200, &webhook))
    };
    match call {
        Collection::List => Ok(ApiResponse::json(200, &webhooks.objects())),
        Collection::Create => {
            let created = webhooks.create(body()?, Clock::wall_ms()).map_err(invalid)?;
            Ok(ApiResponse::json(201, &created))
        }
        Collection::Get(id) => found(webhooks.object(id)),
        Collection::Update(id) => {
            found(webhooks.update(id, body()?, Clock::wall_ms()).map_err(invalid)?)
        }
        Collection::Delete(id) if webhooks.delete(id) => Ok(ApiResponse::no_content()),
        Collection::Delete(_) => Err(missing()),
    }
}

fn missing() -> ApiResponse {
    ApiResponse::error(404, "The requested webhook does not exist.")
}
