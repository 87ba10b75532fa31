//! Callbacks: a POST to `webhookUrl` when a pending extension settles, or to a webhook of the account
//! when a file changes, retried until it gets a 200.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use serde_json::Value;

use crate::account::webhooks::{Event, FILE_UPDATED, VERSION_CREATED};
use crate::clock::Clock;
use crate::library::initial::Key;
use crate::settlement::callback_client::{Target, post};
use crate::settlement::forgery::{Forgery, contrary};
use crate::settlement::signature::signature;
use crate::state::{Sandbox, State};
use crate::statistics::recorder::Purpose;
use crate::statistics::stats::CallbackCounts;

/// A callback and its receiver.
#[derive(Debug)]
struct Message {
    purpose: Purpose,
    /// `webhook-id`, the same for all attempts and copies.
    id: String,
    generation: u64,
    target: Target,
    /// Signs the message.
    secret: Option<String>,
    /// How long before its attempt the message is signed, in seconds.
    signed_before_s: i64,
    body: Bytes,
}

/// How an accepted request or an extension changed a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileChange {
    Updated,
    /// Updated, with a new version.
    NewVersion,
}

impl Sandbox {
    /// Sends the result of an extension to its `webhookUrl`, as the callback with this `webhook-id`.
    pub(crate) fn call_back(
        self: &Arc<Self>,
        state: &mut State,
        url: &str,
        id: String,
        result: &Value,
    ) {
        let secret = self.config.callbacks.secret.clone();
        if self.config.callbacks.forged {
            for (copy, forgery) in (0..).zip(Forgery::all(secret.is_some())) {
                self.forge(state, *forgery, (url, &id, result), copy);
            }
        }
        let event = (url, id, result.to_string());
        self.post(state, Purpose::Extension, event, secret);
    }

    /// Sends a forged callback once.
    fn forge(
        self: &Arc<Self>,
        state: &mut State,
        forgery: Forgery,
        (url, id, result): (&str, &str, &Value),
        copy: u32,
    ) {
        let Some(target) = Target::parse(&forgery.url(url)) else { return };
        state.recorder.callbacks(Purpose::Forgery).due += 1;
        let id = format!("{id}_forged");
        let due_ns = self.clock.after(self.config.callbacks.first_delay(&id, copy));
        let message = Message {
            purpose: Purpose::Forgery,
            id,
            generation: state.generation,
            target,
            secret: forgery.secret(self.config.callbacks.secret.as_deref()),
            signed_before_s: forgery.signed_before_s(),
            body: contrary(result).to_string().into(),
        };
        let sandbox = Arc::clone(self);
        tokio::spawn(async move {
            sandbox.clock.sleep_until(due_ns).await;
            sandbox.attempt(&message).await;
        });
    }

    /// Tells the webhooks of the account that a file has changed.
    pub(crate) fn announce(self: &Arc<Self>, state: &mut State, key: Key, change: FileChange) {
        let types = match change {
            FileChange::Updated => [FILE_UPDATED].as_slice(),
            FileChange::NewVersion => &[FILE_UPDATED, VERSION_CREATED],
        };
        for event in types {
            let State { webhooks, store, .. } = &mut *state;
            let events = webhooks.events(event, Clock::wall_ms(), || store.object(key));
            for Event { endpoint, secret, id, body } in events {
                self.post(state, Purpose::Account, (&endpoint, id, body), Some(secret));
            }
        }
    }

    /// Posts a message, given as URL, id and body.
    fn post(
        self: &Arc<Self>,
        state: &mut State,
        purpose: Purpose,
        (url, id, body): (&str, String, String),
        secret: Option<String>,
    ) {
        let target = Target::parse(url);
        let counts = state.recorder.callbacks(purpose);
        counts.due += 1;
        counts.not_called += u64::from(target.is_none());
        let Some(target) = target else { return };
        let (generation, body) = (state.generation, body.into());
        let signed_before_s = 0;
        let message =
            Arc::new(Message { purpose, id, generation, target, secret, signed_before_s, body });
        for copy in 0..self.config.callbacks.copies {
            let first_ns = self.clock.after(self.config.callbacks.first_delay(&message.id, copy));
            tokio::spawn(Arc::clone(self).deliver(Arc::clone(&message), first_ns));
        }
    }

    /// Sends a message at this time, and again until it is delivered or given up.
    async fn deliver(self: Arc<Self>, message: Arc<Message>, first_ns: u64) {
        self.clock.sleep_until(first_ns).await;
        for wait in self.config.callbacks.waits() {
            if self.attempt(&message).await {
                return;
            }
            self.clock.sleep_until(self.clock.after(wait)).await;
        }
        self.attempt(&message).await;
    }

    /// Sends a message once. Returns whether it needs no further attempt: it got a 200, or the sandbox
    /// was reset.
    async fn attempt(&self, message: &Message) -> bool {
        let _permit = self.deliveries.acquire().await;
        if !self.count(message, |counts| counts.sent += 1) {
            return true;
        }
        let status = post(&message.target, message.headers(), message.body.clone()).await;
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
            event(state.recorder.callbacks(message.purpose));
        }
        is_current
    }
}

impl Message {
    /// The headers of an attempt sent now.
    fn headers(&self) -> HeaderMap {
        let Some(secret) = &self.secret else { return HeaderMap::new() };
        let timestamp_s = Clock::wall_ms() / 1000 - self.signed_before_s;
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
