//! Simulates the lag of list and search behind changes.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::clock::Clock;
use crate::library::file::Details;
use crate::library::initial::Key;

/// The states that search still returns although newer ones exist: one per change within the lag.
#[derive(Debug)]
pub(crate) struct Lag {
    duration: Duration,
    clock: Clock,
    /// In the order of the changes.
    replaced: VecDeque<Replaced>,
}

/// The state of a file before a change.
#[derive(Debug)]
struct Replaced {
    /// When search sees the change.
    visible_at_ns: u64,
    key: Key,
    details: Details,
}

impl Lag {
    /// A lag of this duration.
    pub(crate) fn new(duration: Duration, clock: Clock) -> Self {
        Self { duration, clock, replaced: VecDeque::new() }
    }

    /// Makes all changes visible.
    pub(crate) fn reset(&mut self) {
        self.replaced = VecDeque::new();
    }

    /// Records the state of a file before a change.
    pub(crate) fn record(&mut self, key: Key, details: &Details) {
        if self.duration.is_zero() {
            return;
        }
        let now_ns = self.clock.now_ns();
        while self.replaced.front().is_some_and(|oldest| oldest.visible_at_ns <= now_ns) {
            self.replaced.pop_front();
        }
        let lag_ns = u64::try_from(self.duration.as_nanos()).unwrap_or(u64::MAX);
        let visible_at_ns = now_ns.saturating_add(lag_ns);
        self.replaced.push_back(Replaced { visible_at_ns, key, details: details.clone() });
    }

    /// The stale states that search returns, for files with changes that are not visible yet.
    pub(crate) fn stale(&self) -> HashMap<Key, &Details> {
        let now_ns = self.clock.now_ns();
        let invisible = self.replaced.iter().filter(|replaced| replaced.visible_at_ns > now_ns);
        // In reverse, so that the state before the oldest invisible change of a file wins.
        invisible.rev().map(|replaced| (replaced.key, &replaced.details)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::synthetic::SyntheticFile;

    fn described(text: &str) -> Details {
        Details { description: Some(text.to_owned()), ..SyntheticFile::of_id("f1").details() }
    }

    #[test]
    fn search_returns_state_before_oldest_invisible_change() {
        let hour = Duration::from_hours(1);
        let clock = Clock::started_now();
        let mut lag = Lag::new(2 * hour, clock.clone());
        let key = Key::Inserted(0);
        let shown = |lag: &Lag| {
            let stale = lag.stale();
            stale.get(&key).and_then(|details| details.description.clone())
        };
        lag.record(key, &described("zero"));
        clock.advance(hour);
        lag.record(key, &described("one"));
        assert_eq!(shown(&lag).as_deref(), Some("zero"));
        clock.advance(hour);
        assert_eq!(shown(&lag).as_deref(), Some("one"));
        clock.advance(hour);
        assert_eq!(shown(&lag), None);
        lag.record(key, &described("two"));
        assert_eq!(lag.replaced.len(), 1);
    }
}
