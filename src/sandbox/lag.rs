//! What search does not see yet: it is behind the files by a fixed time.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::clock::Clock;
use super::file::Details;
use super::library::Key;

/// The versions that search still shows although newer ones are there. It holds as many as there
/// are changes in the time that search is behind.
#[derive(Debug)]
pub(crate) struct Lag {
    behind: Duration,
    clock: Clock,
    /// In the order of the changes.
    replaced: VecDeque<Replaced>,
}

/// What a file was before a change.
#[derive(Debug)]
struct Replaced {
    seen_from_ns: u64,
    key: Key,
    details: Details,
}

impl Lag {
    /// Search that is behind by so much.
    pub(crate) fn new(behind: Duration, clock: Clock) -> Self {
        Self { behind, clock, replaced: VecDeque::new() }
    }

    /// Search sees everything at once from now on, until the next change.
    pub(crate) fn reset(&mut self) {
        self.replaced = VecDeque::new();
    }

    /// A file is about to change, and this is what it was.
    pub(crate) fn note(&mut self, key: Key, details: &Details) {
        if self.behind.is_zero() {
            return;
        }
        let now_ns = self.clock.now_ns();
        while self.replaced.front().is_some_and(|oldest| oldest.seen_from_ns <= now_ns) {
            self.replaced.pop_front();
        }
        let behind_ns = u64::try_from(self.behind.as_nanos()).unwrap_or(u64::MAX);
        let seen_from_ns = now_ns.saturating_add(behind_ns);
        self.replaced.push_back(Replaced { seen_from_ns, key, details: details.clone() });
    }

    /// What search shows of the files whose last changes it does not see yet.
    pub(crate) fn view(&self) -> HashMap<Key, &Details> {
        let now_ns = self.clock.now_ns();
        let unseen = self.replaced.iter().filter(|replaced| replaced.seen_from_ns > now_ns);
        // Backwards: of several changes, the oldest unseen one has replaced what search shows.
        unseen.rev().map(|replaced| (replaced.key, &replaced.details)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::SyntheticFile;
    use super::*;

    fn described(text: &str) -> Details {
        Details { description: Some(text.to_owned()), ..SyntheticFile::of_id("f1").details() }
    }

    #[test]
    fn of_several_changes_search_shows_what_was_before_the_first_that_it_does_not_see() {
        let hour = Duration::from_hours(1);
        let clock = Clock::started_now();
        let mut lag = Lag::new(2 * hour, clock.clone());
        let key = Key::Inserted(0);
        let shown = |lag: &Lag| {
            let view = lag.view();
            view.get(&key).and_then(|details| details.description.clone())
        };
        lag.note(key, &described("zero"));
        clock.advance(hour);
        lag.note(key, &described("one"));
        assert_eq!(shown(&lag).as_deref(), Some("zero"));
        clock.advance(hour);
        assert_eq!(shown(&lag).as_deref(), Some("one"));
        clock.advance(hour);
        assert_eq!(shown(&lag), None);
        lag.note(key, &described("two"));
        assert_eq!(lag.replaced.len(), 1);
    }
}
