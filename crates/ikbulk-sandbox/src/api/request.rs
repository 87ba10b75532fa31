//! A received API request.

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Uri};
use bytes::Bytes;
use serde_json::Value;

use crate::api::auth::{Authenticator, Credentials};
use crate::api::route::{Bulk, Call};
use crate::rate_limit::limit::Kind;

/// The parts of a request that the sandbox uses.
#[derive(Debug)]
pub(crate) struct ApiRequest {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) call: Call,
    pub(crate) credentials: Credentials,
    pub(crate) body: Bytes,
    /// The parsed body; `None` if it is not JSON or the call has no body.
    pub(crate) json: Option<Value>,
}

impl ApiRequest {
    pub(crate) fn new(head: Parts, call: Call, body: Bytes, authenticator: &Authenticator) -> Self {
        Self {
            credentials: authenticator
                .credentials(head.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes)),
            json: call.has_body().then(|| serde_json::from_slice(&body).ok()).flatten(),
            method: head.method,
            uri: head.uri,
            call,
            body,
        }
    }

    /// The ids of the files that it reads or changes.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        let one = match &self.call {
            Call::Update(id) | Call::Get(id) => Some(id.as_str()),
            _ => None,
        };
        let listed = self.json.as_ref().and_then(|json| json.get("fileIds")?.as_array());
        let listed = listed.filter(|_| matches!(self.call, Call::Bulk(_)));
        one.into_iter().chain(listed.into_iter().flatten().filter_map(Value::as_str))
    }

    /// Whether it publishes or unpublishes a file.
    pub(crate) fn publishes(&self) -> bool {
        self.json.as_ref().is_some_and(|json| json.get("publish").is_some())
    }

    /// The name of its counter in the statistics.
    pub(crate) fn stat_name(&self) -> &'static str {
        match &self.call {
            Call::Update(_) if self.publishes() => "publish",
            Call::Update(_) => "patch",
            Call::Get(_) => "get",
            Call::List => "list",
            Call::Bulk(Bulk::Add) => "add_tags",
            Call::Bulk(Bulk::Remove) => "remove_tags",
            Call::Bulk(Bulk::RemoveAi) => "remove_ai_tags",
            Call::Fields => "fields",
            Call::Saved(collection) => match collection.kind() {
                Kind::Read => "saved",
                Kind::Write => "saved_changes",
            },
            Call::Webhooks(_) => "webhooks",
            Call::Report(_) => "usage",
            Call::NoFileId | Call::NoMethod | Call::NoEndpoint => "other",
        }
    }

    /// The name of this call in the history of changes.
    pub(crate) fn name(&self) -> &'static str {
        match &self.call {
            Call::Update(_) if self.publishes() => "publish",
            Call::Update(_) => "patch",
            Call::Bulk(Bulk::Add) => "addTags",
            Call::Bulk(Bulk::Remove) => "removeTags",
            Call::Bulk(Bulk::RemoveAi) => "removeAITags",
            _ => "none",
        }
    }
}
