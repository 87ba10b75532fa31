//! What is to be done now.

use std::cmp::Reverse;

use super::super::event::{Action, EndReason, Halt, Ticket};
use super::super::ready_queues::Lane;
use super::super::{Budget, Time};
use super::Dispatcher;
use crate::request::Endpoint;

impl Dispatcher {
    /// Says what to do now.
    pub fn next(&mut self, now: Time) -> Action {
        if let Some(action) = self.end(now) {
            return action;
        }
        self.come_back(now);
        let mut wake = Wake::default();
        if let Some(at) = self.cooldowns.gives_up_at(now, self.limits.halts.down_max) {
            wake.at(at);
        }
        if let Some(action) = self.probe(now, &mut wake) {
            return action;
        }
        if self.circuit_breaker.holds_everyone() {
            let since = self.circuit_breaker.down_since().unwrap_or(now);
            wake.at(since + self.limits.halts.down_max);
            return wake.action();
        }
        if self.in_flight < self.limits.concurrency.get() {
            if let Some(action) = self.send(now, &mut wake) {
                return action;
            }
            if let Some(Reverse((at, _))) = self.backing_off.peek() {
                wake.at(*at);
            }
        }
        wake.action()
    }

    /// What follows if the end is near.
    fn end(&mut self, now: Time) -> Option<Action> {
        let down = self.circuit_breaker.down_since().map(|since| now.saturating_sub(since));
        if let Some(after) = down.filter(|after| *after >= self.limits.halts.down_max) {
            let message = self.last_failure.clone();
            self.stop(EndReason::Halted(Halt::Down { after, message }));
        }
        if let Some(after) = self.cooldowns.given_up(now, self.limits.halts.down_max) {
            self.stop(EndReason::Halted(Halt::Throttled { after }));
        }
        if self.input_ended && self.slots.is_empty() {
            self.ending.get_or_insert(EndReason::Done);
        }
        self.ending.as_ref()?;
        Some(if self.in_flight == 0 { Action::Finished } else { Action::WaitEvent })
    }

    /// Requests whose backoff is over go back to their lanes.
    fn come_back(&mut self, now: Time) {
        while let Some(Reverse((at, ticket))) = self.backing_off.peek().copied() {
            if at > now {
                break;
            }
            self.backing_off.pop();
            self.queue(ticket);
        }
    }

    /// Asks whether the service is back, if it is time to.
    fn probe(&mut self, now: Time, wake: &mut Wake) -> Option<Action> {
        let at = self.circuit_breaker.next_probe()?.max(self.cooldowns.until(Endpoint::List));
        let free = if at > now { Err(at) } else { self.budget(Endpoint::List).take(now) };
        if let Err(at) = free {
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

    /// Takes the request that came first out of the lanes that may go, if the budget allows it.
    fn send(&mut self, now: Time, wake: &mut Wake) -> Option<Action> {
        let mut closed = [false; 2];
        loop {
            let lane = self.first_lane(now, closed, wake)?;
            match self.budget(lane.endpoint()).take(now) {
                Ok(()) => {
                    let ticket = self.ready_queues.pop(lane)?;
                    return self.take_out(ticket, lane);
                }
                Err(at) => {
                    wake.at(at);
                    closed[lane.endpoint().budget() as usize] = true;
                }
            }
        }
    }

    /// The lane whose first request was admitted first, of those that nothing holds up.
    fn first_lane(&self, now: Time, closed: [bool; 2], wake: &mut Wake) -> Option<Lane> {
        let open = Lane::ALL.into_iter().filter_map(|lane| {
            let sequence = self.ready_queues.first(lane)?;
            let until = self.cooldowns.until(lane.endpoint());
            if until > now {
                wake.at(until);
                return None;
            }
            let held = lane == Lane::PatchOnce && self.circuit_breaker.holds_once();
            let closed = closed[lane.endpoint().budget() as usize];
            (!held && !closed).then_some((sequence, lane))
        });
        open.min_by_key(|(sequence, _)| *sequence).map(|(_, lane)| lane)
    }

    fn take_out(&mut self, ticket: Ticket, lane: Lane) -> Option<Action> {
        let slot = self.slots.get_mut(ticket)?;
        slot.attempts += 1;
        self.in_flight += 1;
        self.counters.retried += u64::from(slot.repeats);
        if lane == Lane::ReadBefore {
            self.counters.read += 1;
            let file = slot.request.as_ref()?.files().first()?.clone();
            return Some(Action::Read(ticket, file));
        }
        let request = slot.request.take()?;
        self.counters.count(request.call());
        Some(Action::Send(ticket, request, slot.before.take()))
    }
}

/// The earliest of several times.
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
