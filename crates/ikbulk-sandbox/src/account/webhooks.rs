//! The webhooks of the account: endpoints that are told of changes.

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use crate::clock::Iso;

/// Maximum number of webhooks of an account, according to the API's documentation.
const WEBHOOKS_MAX: usize = 3;
/// The events that the API documents. None of them is about extensions: their results show as changes
/// of files.
const EVENTS: [&str; 15] = [
    "video.transformation.accepted",
    "video.transformation.ready",
    "video.transformation.error",
    "upload.pre-transform.success",
    "upload.pre-transform.error",
    "upload.post-transform.success",
    "upload.post-transform.error",
    FILE_UPDATED,
    "file.created",
    "file.deleted",
    VERSION_CREATED,
    "file-version.deleted",
    "folder.created",
    "folder.updated",
    "folder.deleted",
];
/// A file was changed.
pub(crate) const FILE_UPDATED: &str = "file.updated";
/// A file got a new version.
pub(crate) const VERSION_CREATED: &str = "file-version.created";

/// Why a body is invalid, as a sentence of the error message.
type Reason = String;

/// A webhook.
#[derive(Debug, Clone, PartialEq)]
struct Webhook {
    id: String,
    settings: Settings,
    secret: String,
    created_ms: i64,
    updated_ms: i64,
}

/// What a client sets.
#[derive(Debug, Clone, PartialEq)]
struct Settings {
    endpoint: String,
    events: Vec<String>,
    enabled: bool,
}

/// An event to send to one endpoint.
#[derive(Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) endpoint: String,
    pub(crate) secret: String,
    pub(crate) id: String,
    pub(crate) body: String,
}

/// The webhooks of the account, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Webhooks {
    list: Vec<Webhook>,
    /// Number of webhooks ever created, for unique ids.
    created: u64,
    /// Number of events so far, for unique ids.
    events: u64,
}

impl Webhooks {
    pub(crate) fn objects(&self) -> Vec<Value> {
        self.list.iter().map(Webhook::object).collect()
    }

    pub(crate) fn object(&self, id: &str) -> Option<Value> {
        self.list.iter().find(|webhook| webhook.id == id).map(Webhook::object)
    }

    /// Creates a webhook, and returns its object.
    ///
    /// # Errors
    /// The reason why the body is invalid, or that there are too many.
    pub(crate) fn create(&mut self, body: &Value, wall_ms: i64) -> Result<Value, Reason> {
        for required in ["endpoint", "events"] {
            if body.get(required).is_none() {
                return Err(format!("{required} parameter is missing."));
            }
        }
        let unset = Settings { endpoint: String::new(), events: Vec::new(), enabled: true };
        let settings = self.changed(unset, None, body)?;
        if self.list.len() >= WEBHOOKS_MAX {
            return Err(format!("An account has at most {WEBHOOKS_MAX} webhooks."));
        }
        self.created += 1;
        let random = xxh3_128(&self.created.to_le_bytes());
        self.list.push(Webhook {
            id: format!("{:024x}", random >> 32),
            settings,
            secret: format!("whsec_{random:032x}"),
            created_ms: wall_ms,
            updated_ms: wall_ms,
        });
        Ok(self.list[self.list.len() - 1].object())
    }

    /// Changes the given members of a webhook, and returns its object; `None` if it does not exist.
    ///
    /// # Errors
    /// The reason why the body is invalid.
    pub(crate) fn update(
        &mut self,
        id: &str,
        body: &Value,
        wall_ms: i64,
    ) -> Result<Option<Value>, Reason> {
        let Some(place) = self.list.iter().position(|webhook| webhook.id == id) else {
            return Ok(None);
        };
        let settings = self.changed(self.list[place].settings.clone(), Some(id), body)?;
        let webhook = &mut self.list[place];
        webhook.settings = settings;
        webhook.updated_ms = wall_ms;
        Ok(Some(webhook.object()))
    }

    /// The settings of webhook `id` with the members of a body.
    fn changed(
        &self,
        mut settings: Settings,
        id: Option<&str>,
        body: &Value,
    ) -> Result<Settings, Reason> {
        let body = body.as_object().ok_or("The request body should be a JSON object.")?;
        for (key, value) in body {
            match key.as_str() {
                "endpoint" => settings.endpoint = self.endpoint(value, id)?,
                "events" => settings.events = events(value)?,
                "enabled" => {
                    settings.enabled = value.as_bool().ok_or("enabled should be a boolean.")?;
                }
                other => return Err(format!("Your request contains unknown parameter {other}.")),
            }
        }
        Ok(settings)
    }

    fn endpoint(&self, value: &Value, id: Option<&str>) -> Result<String, Reason> {
        let url = value.as_str().unwrap_or_default();
        if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err("endpoint should be a URL with http or https.".to_owned());
        }
        let mut others = self.list.iter().filter(|webhook| Some(webhook.id.as_str()) != id);
        if others.any(|webhook| webhook.settings.endpoint == url) {
            return Err("endpoint should be unique across all webhooks.".to_owned());
        }
        Ok(url.to_owned())
    }

    /// Deletes a webhook. Returns whether it existed.
    pub(crate) fn delete(&mut self, id: &str) -> bool {
        let before = self.list.len();
        self.list.retain(|webhook| webhook.id != id);
        self.list.len() < before
    }

    /// The events to send when something of this type happens; `data` is not called if there are none.
    pub(crate) fn events(
        &mut self,
        event: &str,
        wall_ms: i64,
        data: impl FnOnce() -> Value,
    ) -> Vec<Event> {
        let is_subscribed = |webhook: &&Webhook| {
            let Settings { events, enabled, .. } = &webhook.settings;
            *enabled && events.iter().any(|subscribed| subscribed == event)
        };
        let mut subscribed = self.list.iter().filter(is_subscribed).peekable();
        if subscribed.peek().is_none() {
            return Vec::new();
        }
        self.events += 1;
        let id = format!("evt_{:016x}", self.events);
        let body = json!({"id": id, "type": event, "created_at": Iso(wall_ms), "data": data()});
        let body = body.to_string();
        let event = |webhook: &Webhook| Event {
            endpoint: webhook.settings.endpoint.clone(),
            secret: webhook.secret.clone(),
            id: id.clone(),
            body: body.clone(),
        };
        subscribed.map(event).collect()
    }
}

impl Webhook {
    /// The API's object.
    fn object(&self) -> Value {
        let Settings { endpoint, events, enabled } = &self.settings;
        json!({
            "id": self.id,
            "endpoint": endpoint,
            "events": events,
            "enabled": enabled,
            "secret": self.secret,
            "createdAt": Iso(self.created_ms),
            "updatedAt": Iso(self.updated_ms),
        })
    }
}

fn events(value: &Value) -> Result<Vec<String>, Reason> {
    let invalid = || format!("events should be a list of {}.", EVENTS.join(", "));
    let events: Vec<String> = serde_json::from_value(value.clone()).map_err(|_| invalid())?;
    let are_known = events.iter().all(|event| EVENTS.contains(&event.as_str()));
    if events.is_empty() || !are_known { Err(invalid()) } else { Ok(events) }
}
