//! Callbacks: a POST to `webhookUrl` when a pending extension settles, retried until it gets a 200.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use serde_json::Value;

use crate::clock::Clock;
use crate::settlement::callback_client::{Target, post};
use crate::settlement::signature::signature;
use crate::state::Sandbox;
use crate::statistics::stats::CallbackCounts;

/// A callback and its receiver.
#[derive(Debug)]
struct Message {
    /// `webhook-id`, the same for all attempts and copies.
    id: String,
    generation: u64,
    target: Target,
    body: Bytes,
}

impl Sandbox {
    /// Sends the result of an extension to its `webhookUrl`, as the callback with this `webhook-id`.
    pub(crate) fn call_back(
        self: &Arc<Self>,
        url: &str,
        id: String,
        generation: u64,
        result: &Value,
    ) {
        let target = Target::parse(url);
        {
            let mut state = self.state();
            let counts = state.recorder.callbacks();
            counts.due += 1;
            counts.not_called += u64::from(target.is_none());
        }
        let Some(target) = target else { return };
        let body = result.to_string().into();
        let message = Arc::new(Message { id, generation, target, body });
        for copy in 0..self.config.callbacks.copies {
            tokio::spawn(Arc::clone(self).deliver(Arc::clone(&message), copy));
        }
    }

    async fn deliver(self: Arc<Self>, message: Arc<Message>, copy: u32) {
        let callbacks = &self.config.callbacks;
        let first_delay = callbacks.first_delay(&message.id, copy);
        for wait in std::iter::once(first_delay).chain(callbacks.waits()) {
            tokio::time::sleep(wait).await;
            if self.attempt(&message).await {
                return;
            }
        }
    }

    /// Sends a message once. Returns whether it needs no further attempt: it got a 200, or the sandbox
    /// was reset.
    async fn attempt(&self, message: &Message) -> bool {
        if !self.count(message, |counts| counts.sent += 1) {
            return true;
        }
        let headers = message.headers(self.config.callbacks.secret.as_deref());
        let status = post(&message.target, headers, message.body.clone()).await;
        let is_delivered = status == Some(200);
        if is_delivered {
            self.count(message, |counts| counts.delivered += 1);
        }
        is_delivered
    }

    /// Counts an event of a message. Returns false, without counting, if the sandbox was reset since.
    fn count(&self, message: &Message, event: fn(&mut CallbackCounts)) -> bool {
        let mut state = self.state();
        let is_current = state.generation == message.generation;
        if is_current {
            event(state.recorder.callbacks());
        }
        is_current
    }
}

impl Message {
    /// The headers of an attempt sent now.
    fn headers(&self, secret: Option<&str>) -> HeaderMap {
        let Some(secret) = secret else { return HeaderMap::new() };
        let timestamp_s = Clock::wall_ms() / 1000;
        let header = |name, value: String| {
            let value = HeaderValue::try_from(value).expect("letters, digits and base64 only");
            (HeaderName::from_static(name), value)
        };
        HeaderMap::from_iter([
            header("webhook-id", self.id.clone()),
            header("webhook-timestamp", timestamp_s.to_string()),
            header("webhook-signature", signature(secret, &self.id, timestamp_s, &self.body)),
        ])
    }
}
