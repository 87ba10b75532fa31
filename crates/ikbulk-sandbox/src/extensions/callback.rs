//! Callbacks: a POST to `webhookUrl` when a pending extension settles, retried until it gets a 200.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::clock::Clock;
use crate::extensions::callback_client::{Target, post};
use crate::extensions::run::ExtensionRun;
use crate::extensions::signature::signature;
use crate::state::Sandbox;
use crate::statistics::stats::CallbackCounts;

/// How long the API retries a callback, according to its documentation.
const GIVE_UP_AFTER: Duration = Duration::from_hours(24);
/// Minimum wait, because doubling a wait of zero would retry endlessly.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(1);

/// How callbacks are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callbacks {
    /// Secret that signs callbacks, in the Standard Webhooks format; `None` sends them unsigned. The
    /// API's documentation says that webhooks of the dashboard are signed, and does not mention these.
    pub secret: Option<String>,
    /// Wait after the first failed attempt; doubles with each attempt. The API's own waits are not
    /// documented.
    pub retry_after: Duration,
    /// Number of deliveries of each callback. The API promises at-least-once delivery.
    pub copies: u32,
    /// Maximum random delay before the first attempt, which delivers callbacks out of order. The API
    /// promises no order.
    pub max_delay: Duration,
    /// Seed of the random delays.
    pub seed: u64,
}

impl Default for Callbacks {
    fn default() -> Self {
        Self {
            secret: None,
            retry_after: Duration::from_secs(1),
            copies: 1,
            max_delay: Duration::ZERO,
            seed: 0,
        }
    }
}

impl Callbacks {
    /// The waits before the second and later attempts.
    fn waits(&self) -> impl Iterator<Item = Duration> {
        let first = self.retry_after.max(RETRY_AFTER_MIN);
        let doubled = std::iter::successors(Some(first), |wait| wait.checked_mul(2));
        doubled.scan(Duration::ZERO, |waited, wait| {
            *waited = waited.saturating_add(wait);
            (*waited <= GIVE_UP_AFTER).then_some(wait)
        })
    }

    /// The random delay of one copy before its first attempt.
    fn first_delay(&self, id: &str, copy: u32) -> Duration {
        let max = u64::try_from(self.max_delay.as_nanos()).unwrap_or(u64::MAX);
        let random = xxh3_64_with_seed(id.as_bytes(), self.seed.wrapping_add(copy.into()));
        Duration::from_nanos(random.checked_rem(max).unwrap_or(0))
    }
}

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
    /// Sends the result of an extension to its `webhookUrl`, if it has one.
    pub(crate) fn call_back(self: &Arc<Self>, run: ExtensionRun, result: &Value) {
        let id = run.id();
        let Some(url) = run.webhook_url else { return };
        let target = Target::parse(&url);
        {
            let mut state = self.state();
            let counts = state.recorder.callbacks();
            counts.due += 1;
            counts.not_called += u64::from(target.is_none());
        }
        let Some(target) = target else { return };
        let body = result.to_string().into();
        let message = Arc::new(Message { id, generation: run.generation, target, body });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end_within_a_day() {
        let waits = |ms| {
            let retry_after = Duration::from_millis(ms);
            Callbacks { retry_after, ..Callbacks::default() }.waits().collect::<Vec<_>>()
        };
        let seconds: Vec<u64> = waits(1000).iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, (0..16).map(|n| 1 << n).collect::<Vec<_>>());
        assert_eq!(waits(24 * 3_600_000), [GIVE_UP_AFTER]);
        assert_eq!(waits(24 * 3_600_000 + 1), []);
        assert_eq!(waits(0), waits(1));
    }

    #[test]
    fn delays_of_copies_differ_and_stay_below_maximum() {
        let max = Duration::from_secs(1);
        let callbacks = Callbacks { max_delay: max, ..Callbacks::default() };
        let delays = [0, 1].map(|copy| callbacks.first_delay("msg_1_0", copy));
        assert_ne!(delays[0], delays[1]);
        assert!(delays.iter().all(|delay| *delay < max));
        assert_eq!(Callbacks::default().first_delay("msg_1_0", 0), Duration::ZERO);
    }
}
