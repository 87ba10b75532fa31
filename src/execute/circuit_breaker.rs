//! When the service does not answer: whom that holds back, and asking whether it is back.

use std::time::Duration;

use super::event::Ticket;
use super::{Backoff, Time};

/// So many connections in a row that do not come about mean that nobody gets through.
const NOT_SENT_MEANS_EVERYONE: u32 = 3;
/// So many lost answers in a row mean the same, or fewer where there are no more requests to lose.
const LOST_MEANS_EVERYONE: usize = 10;

/// Keeps count of bad ends in a row, and asks one question at a time.
#[derive(Debug, Default)]
pub(super) struct CircuitBreaker {
    not_sent: u32,
    /// Answers lost in a row.
    lost: usize,
    /// Whose answers they were, as far as each used up an attempt.
    again: Vec<Ticket>,
    now: Option<OpenState>,
}

#[derive(Debug)]
struct OpenState {
    since: Time,
    /// Everyone is held, not only the requests that must not be repeated.
    everyone: bool,
    /// A probe has failed, so that it is certain that no single row is to blame.
    confirmed: bool,
    next_probe: Time,
    probing: bool,
    failures: u32,
}

impl CircuitBreaker {
    /// The service answered, whatever it said.
    pub(super) fn answered(&mut self) {
        self.not_sent = 0;
        self.lost = 0;
        self.again.clear();
    }

    /// A connection did not come about.
    pub(super) fn not_sent(&mut self, now: Time) {
        self.not_sent += 1;
        if self.not_sent >= NOT_SENT_MEANS_EVERYONE {
            self.hold(now, true);
        }
    }

    /// The answer to a request that may be repeated was lost: one of so many that are at their turn.
    pub(super) fn lost(&mut self, now: Time, at_turn: usize) {
        self.lost += 1;
        if self.lost >= LOST_MEANS_EVERYONE.min(at_turn) {
            self.hold(now, true);
        }
    }

    /// That lost answer used up an attempt of its request.
    pub(super) fn gave_up(&mut self, ticket: Ticket) {
        self.again.push(ticket);
    }

    /// The answer to a request that must not be repeated was lost: no other one goes out until
    /// the service is known to answer.
    pub(super) fn lost_at_most_once(&mut self, now: Time) {
        self.hold(now, false);
        self.lost(now, LOST_MEANS_EVERYONE);
    }

    /// The service is asked whether it answers, because something speaks against it. Until then
    /// no at-most-once request goes out.
    pub(super) fn suspect(&mut self, now: Time) {
        self.hold(now, false);
    }

    fn hold(&mut self, now: Time, everyone: bool) {
        let held = self.now.get_or_insert(OpenState {
            since: now,
            everyone,
            confirmed: false,
            next_probe: now,
            probing: false,
            failures: 0,
        });
        held.everyone |= everyone;
    }

    /// Whether nothing but a probe may go out.
    pub(super) fn holds_everyone(&self) -> bool {
        self.now.as_ref().is_some_and(|held| held.everyone)
    }

    /// Whether requests that must not be repeated may not go out.
    pub(super) fn holds_once(&self) -> bool {
        self.now.is_some()
    }

    /// Since when everyone is held because nobody gets through.
    pub(super) fn down_since(&self) -> Option<Time> {
        self.now.as_ref().filter(|held| held.everyone).map(|held| held.since)
    }

    /// When the next probe is to go out; `None` where none is needed or one is under way.
    pub(super) fn next_probe(&self) -> Option<Time> {
        self.now.as_ref().filter(|held| !held.probing).map(|held| held.next_probe)
    }

    pub(super) fn probe_sent(&mut self) {
        if let Some(held) = &mut self.now {
            held.probing = true;
        }
    }

    pub(super) fn probe_answered(&mut self) {
        self.now = None;
        self.answered();
    }

    /// The probe came to nothing. The first time this gives back the requests that were lost in a
    /// row: their attempts were the service's fault.
    pub(super) fn probe_failed(
        &mut self,
        now: Time,
        retry_after: Duration,
        backoff: &mut Backoff,
    ) -> Vec<Ticket> {
        let Some(held) = &mut self.now else {
            return Vec::new();
        };
        held.probing = false;
        held.everyone = true;
        held.confirmed = true;
        held.failures += 1;
        let least = retry_after.max(Duration::from_millis(500));
        held.next_probe = now + backoff.wait(held.failures).max(least);
        std::mem::take(&mut self.again)
    }

    /// Whether it is certain that no row is to blame for what fails now.
    pub(super) fn is_confirmed(&self) -> bool {
        self.now.as_ref().is_some_and(|held| held.confirmed)
    }
}
