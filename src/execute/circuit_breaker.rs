//! Circuit breaker: opens after consecutive failures and probes until the service recovers.
//!
//! Two degrees: a lost at-most-once response or an unreadable response blocks at-most-once requests
//! only; a series of failures, or a failed probe, blocks all requests. A successful probe closes
//! the breaker. Once a probe has failed, failures count as the fault of the service and use up no
//! attempts.

use std::time::Duration;

use super::event::Ticket;
use super::{Backoff, Time};

/// Failed connections in a row after which all requests are blocked.
const NOT_SENT_MAX: u32 = 3;
/// Lost responses in a row after which all requests are blocked; fewer if fewer requests are
/// pending.
const LOST_MAX: usize = 10;

/// Counts consecutive failures and runs one probe at a time.
#[derive(Debug, Default)]
pub(super) struct CircuitBreaker {
    not_sent: u32,
    /// Lost responses in a row.
    lost: usize,
    /// Requests of those responses that used up an attempt.
    lost_tickets: Vec<Ticket>,
    open: Option<OpenState>,
}

#[derive(Debug)]
struct OpenState {
    since: Time,
    /// Whether all requests are blocked, not only at-most-once requests.
    blocks_all: bool,
    /// Whether a probe has failed, so that the service is at fault, not a request.
    is_service_fault: bool,
    next_probe: Time,
    probing: bool,
    failures: u32,
}

impl CircuitBreaker {
    /// The service responded, with whatever status.
    pub(super) fn responded(&mut self) {
        self.not_sent = 0;
        self.lost = 0;
        self.lost_tickets.clear();
    }

    /// A connection failed; nothing was sent.
    pub(super) fn not_sent(&mut self, now: Time) {
        self.not_sent += 1;
        if self.not_sent >= NOT_SENT_MAX {
            self.open(now, true);
        }
    }

    /// The response to an idempotent request was lost. `pending` is the number of requests that
    /// could fail in the same way.
    pub(super) fn response_lost(&mut self, now: Time, pending: usize) {
        self.lost += 1;
        if self.lost >= LOST_MAX.min(pending) {
            self.open(now, true);
        }
    }

    /// The lost response used up an attempt of this request.
    pub(super) fn used_attempt(&mut self, ticket: Ticket) {
        self.lost_tickets.push(ticket);
    }

    /// The response to an at-most-once request was lost: no other one is sent until the service
    /// responds to a probe.
    pub(super) fn lost_at_most_once(&mut self, now: Time) {
        self.open(now, false);
        self.response_lost(now, LOST_MAX);
    }

    /// Something suggests that the service is down: probe, and send no at-most-once request until
    /// then.
    pub(super) fn suspect_outage(&mut self, now: Time) {
        self.open(now, false);
    }

    fn open(&mut self, now: Time, blocks_all: bool) {
        let open = self.open.get_or_insert(OpenState {
            since: now,
            blocks_all,
            is_service_fault: false,
            next_probe: now,
            probing: false,
            failures: 0,
        });
        open.blocks_all |= blocks_all;
    }

    /// Whether only a probe may be sent.
    pub(super) fn blocks_all(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.blocks_all)
    }

    /// Whether at-most-once requests are blocked.
    pub(super) fn blocks_at_most_once(&self) -> bool {
        self.open.is_some()
    }

    /// Since when all requests are blocked.
    pub(super) fn down_since(&self) -> Option<Time> {
        self.open.as_ref().filter(|open| open.blocks_all).map(|open| open.since)
    }

    /// When the next probe is due; `None` if none is needed or one is in flight.
    pub(super) fn next_probe(&self) -> Option<Time> {
        self.open.as_ref().filter(|open| !open.probing).map(|open| open.next_probe)
    }

    pub(super) fn probe_sent(&mut self) {
        if let Some(open) = &mut self.open {
            open.probing = true;
        }
    }

    pub(super) fn probe_succeeded(&mut self) {
        self.open = None;
        self.responded();
    }

    /// The probe failed. Returns the requests whose responses were lost in a row: their attempts do
    /// not count. Empty after the first failure.
    pub(super) fn probe_failed(
        &mut self,
        now: Time,
        retry_after: Duration,
        backoff: &mut Backoff,
    ) -> Vec<Ticket> {
        let Some(open) = &mut self.open else {
            return Vec::new();
        };
        open.probing = false;
        open.blocks_all = true;
        open.is_service_fault = true;
        open.failures += 1;
        let minimum = retry_after.max(Duration::from_millis(500));
        open.next_probe = now + backoff.wait(open.failures).max(minimum);
        std::mem::take(&mut self.lost_tickets)
    }

    /// Whether failures are certainly the fault of the service.
    pub(super) fn is_service_fault(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.is_service_fault)
    }
}
