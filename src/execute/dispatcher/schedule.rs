//! Picks the next [`Action`].
//!
//! In this order: end the session, requeue requests whose backoff is over, probe, then send the
//! oldest ready request that nothing blocks. If nothing can be sent, the earliest time at which
//! that may change.

use std::cmp::Reverse;

use super::super::event::{AbortReason, Action, EndReason, Ticket};
use super::super::ready_queues::ReadyQueue;
use super::super::{Budget, Time};
use super::Dispatcher;
use crate::request::Endpoint;

impl Dispatcher {
    /// The next action. Call again after each action until it is one that waits.
    pub(crate) fn next(&mut self, now: Time) -> Action {
        if let Some(action) = self.check_end(now) {
            return action;
        }
        self.requeue_backed_off(now);
        let mut wake = Wake::default();
        if let Some(at) = self.cooldowns.exceeded_at(now, self.settings.abort_limits.down_max) {
            wake.at(at);
        }
        if let Some(action) = self.probe(now, &mut wake) {
            return action;
        }
        if self.circuit_breaker.blocks_all() {
            let since = self.circuit_breaker.down_since().unwrap_or(now);
            wake.at(since + self.settings.abort_limits.down_max);
            return wake.action();
        }
        if self.in_flight < self.settings.concurrency.get() {
            if let Some(action) = self.send(now, &mut wake) {
                return action;
            }
            if let Some(Reverse((at, _))) = self.backing_off.peek() {
                wake.at(*at);
            }
        }
        wake.action()
    }

    /// Ends the session if it is complete, stopped, or past its limits.
    fn check_end(&mut self, now: Time) -> Option<Action> {
        let down = self.circuit_breaker.down_since().map(|since| now.saturating_sub(since));
        if let Some(after) = down.filter(|after| *after >= self.settings.abort_limits.down_max) {
            let message = self.last_failure.clone();
            self.stop(EndReason::Aborted(AbortReason::Down { after, message }));
        }
        if let Some(after) = self.cooldowns.exceeded(now, self.settings.abort_limits.down_max) {
            self.stop(EndReason::Aborted(AbortReason::Throttled { after }));
        }
        if self.input_ended && self.slots.is_empty() {
            self.ending.get_or_insert(EndReason::Done);
        }
        self.ending.as_ref()?;
        Some(if self.in_flight == 0 { Action::Finished } else { Action::WaitEvent })
    }

    /// Moves requests whose backoff is over to their ready queues.
    fn requeue_backed_off(&mut self, now: Time) {
        while let Some(Reverse((at, ticket))) = self.backing_off.peek().copied() {
            if at > now {
                break;
            }
            self.backing_off.pop();
            self.queue(ticket);
        }
    }

    /// Probes if the circuit breaker is due to.
    fn probe(&mut self, now: Time, wake: &mut Wake) -> Option<Action> {
        let at = self.circuit_breaker.next_probe()?.max(self.cooldowns.until(Endpoint::List));
        let budget = if at > now { Err(at) } else { self.budget(Endpoint::List).take(now) };
        if let Err(at) = budget {
            wake.at(at);
            return None;
        }
        self.circuit_breaker.probe_sent();
        self.in_flight += 1;
        self.counters.read += 1;
        Some(Action::Probe)
    }

    pub(super) fn budget(&mut self, endpoint: Endpoint) -> &mut Budget {
        &mut self.budgets[endpoint.budget() as usize]
    }

    /// Dispatches the oldest request from the ready queues that are not blocked, if the budget
    /// allows it.
    fn send(&mut self, now: Time, wake: &mut Wake) -> Option<Action> {
        let mut over_budget = [false; 2];
        loop {
            let queue = self.first_ready_queue(now, over_budget, wake)?;
            if self.withhold_if_exceeded(queue, now) {
                continue;
            }
            match self.budget(queue.endpoint()).take(now) {
                Ok(()) => {
                    let ticket = self.ready_queues.pop(queue)?;
                    return self.dispatch(ticket, queue);
                }
                Err(at) => {
                    wake.at(at);
                    over_budget[queue.endpoint().budget() as usize] = true;
                }
            }
        }
    }

    /// The ready queue with the oldest request, among those that nothing blocks.
    fn first_ready_queue(
        &self,
        now: Time,
        over_budget: [bool; 2],
        wake: &mut Wake,
    ) -> Option<ReadyQueue> {
        let unblocked = ReadyQueue::ALL.into_iter().filter_map(|queue| {
            let sequence = self.ready_queues.first(queue)?;
            let until = self.cooldowns.until(queue.endpoint());
            if until > now {
                wake.at(until);
                return None;
            }
            let is_blocked =
                queue == ReadyQueue::PatchAtMostOnce && self.circuit_breaker.blocks_at_most_once();
            let is_over_budget = over_budget[queue.endpoint().budget() as usize];
            (!is_blocked && !is_over_budget).then_some((sequence, queue))
        });
        unblocked.min_by_key(|(sequence, _)| *sequence).map(|(_, queue)| queue)
    }

    fn dispatch(&mut self, ticket: Ticket, queue: ReadyQueue) -> Option<Action> {
        if queue == ReadyQueue::PatchAtMostOnce {
            self.spend_extensions(ticket);
        }
        let slot = self.slots.get_mut(ticket)?;
        slot.attempts += 1;
        self.in_flight += 1;
        self.counters.retried += u64::from(slot.is_retry);
        if queue == ReadyQueue::ReadSnapshot {
            self.counters.read += 1;
            let file = slot.request.as_ref()?.files().first()?.clone();
            return Some(Action::Read(ticket, file));
        }
        let request = slot.request.take()?;
        slot.sent = request.call().sent();
        self.counters.count(request.call());
        Some(Action::Send(ticket, request, slot.snapshot.take()))
    }
}

/// The earliest of the times added.
#[derive(Debug, Default)]
struct Wake(Option<Time>);

impl Wake {
    fn at(&mut self, time: Time) {
        self.0 = Some(self.0.map_or(time, |earlier| earlier.min(time)));
    }

    fn action(self) -> Action {
        self.0.map_or(Action::WaitEvent, Action::WaitUntil)
    }
}
