//! The sandbox's monotonic clock and wall clock. No other module reads the time.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::civil::Date;
use serde::{Serialize, Serializer};
use tokio::sync::Notify;

use crate::digits::push_decimal;

/// Monotonic time since the start, for rate limits and statistics, and wall time for stored
/// timestamps. Clones share the same time.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    start: Instant,
    /// Total of [`Self::advance`].
    advanced_ns: Arc<AtomicU64>,
    /// Wakes [`Self::sleep_until`] when the time is advanced.
    advanced: Arc<Notify>,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the sandbox simulates another machine, which has its own clock"
    )]
    pub(crate) fn started_now() -> Self {
        Self { start: Instant::now(), advanced_ns: Arc::default(), advanced: Arc::default() }
    }

    /// Nanoseconds since the start.
    pub(crate) fn now_ns(&self) -> u64 {
        nanoseconds(self.start.elapsed()) + self.advanced_ns.load(Ordering::Relaxed)
    }

    /// Advances the monotonic time.
    pub(crate) fn advance(&self, by: Duration) {
        self.advanced_ns.fetch_add(nanoseconds(by), Ordering::Relaxed);
        self.advanced.notify_waiters();
    }

    /// The time that is this much later than now.
    pub(crate) fn after(&self, time: Duration) -> u64 {
        self.now_ns().saturating_add(nanoseconds(time))
    }

    /// Waits until this time, which [`Self::advance`] can bring forward.
    pub(crate) async fn sleep_until(&self, due_ns: u64) {
        loop {
            let mut advanced = pin!(self.advanced.notified());
            // Before looking at the time, so that no advance is missed.
            advanced.as_mut().enable();
            let left_ns = due_ns.saturating_sub(self.now_ns());
            if left_ns == 0 {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_nanos(left_ns)) => {}
                () = advanced => {}
            }
        }
    }

    /// The UTC day of the wall time, advanced like the monotonic time.
    pub(crate) fn day(&self) -> Date {
        let advanced_ms = self.advanced_ns.load(Ordering::Relaxed) / 1_000_000;
        let ms = Self::wall_ms().saturating_add_unsigned(advanced_ms);
        let stamp = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
        jiff::tz::Offset::UTC.to_datetime(stamp).date()
    }

    /// Wall time in milliseconds since 1970.
    pub(crate) fn wall_ms() -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2)
}

/// A wall time in the API's format: ISO 8601 with milliseconds and `Z`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Iso(pub(crate) i64);

impl std::fmt::Display for Iso {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

impl Iso {
    fn text(self) -> String {
        let stamp = jiff::Timestamp::from_millisecond(self.0).unwrap_or_default();
        let time = jiff::tz::Offset::UTC.to_datetime(stamp);
        let number = |part: i32| u64::from(part.unsigned_abs());
        let mut text = String::with_capacity(24);
        for (part, places, end) in [
            (number(time.year().into()), 4, '-'),
            (number(time.month().into()), 2, '-'),
            (number(time.day().into()), 2, 'T'),
            (number(time.hour().into()), 2, ':'),
            (number(time.minute().into()), 2, ':'),
            (number(time.second().into()), 2, '.'),
            (number(time.millisecond().into()), 3, 'Z'),
        ] {
            push_decimal(&mut text, part, places);
            text.push(end);
        }
        text
    }
}

impl Serialize for Iso {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

/// Parses ISO 8601 with an offset into milliseconds since 1970.
pub(crate) fn parse_iso(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_round_trips_with_milliseconds() {
        assert_eq!(Iso(1_566_630_881_313).to_string(), "2019-08-24T07:14:41.313Z");
        assert_eq!(Iso(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(parse_iso("2019-08-24T07:14:41.313Z"), Some(1_566_630_881_313));
        assert_eq!(parse_iso("yesterday"), None);
    }
}
