//! Until when each endpoint holds after a 429, and when 429s without end are the end.

use std::time::Duration;

use super::{Budget, Time};
use crate::imagekit::RateLimitNote;
use crate::request::{BudgetKind, Endpoint};

/// How long an endpoint holds after a 429 that does not say for how long: this, doubled each time.
const FIRST: Duration = Duration::from_secs(1);
const MAX: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
pub(super) struct Cooldowns {
    endpoints: [Hold; Endpoint::ALL.len()],
    /// Writes and reads that wait, by their budget.
    streaks: [Option<Streak>; 2],
}

#[derive(Debug, Default)]
struct Hold {
    until: Time,
    /// How often in a row it held without being told for how long.
    unsaid: u32,
}

/// 429s to requests of one budget of which none was accepted in between.
#[derive(Debug)]
struct Streak {
    /// When the wait that the first of them stated is over…
    since: Time,
    /// …and when the last one came, if it came after that.
    last: Option<Time>,
}

impl Cooldowns {
    /// When the endpoint is free again; in the past where it is.
    pub(super) fn until(&self, endpoint: Endpoint) -> Time {
        self.endpoints[endpoint as usize].until
    }

    /// The endpoint that holds longest, and until when.
    pub(super) fn longest(&self, now: Time) -> Option<(Endpoint, Time)> {
        let held = Endpoint::ALL.into_iter().map(|endpoint| (endpoint, self.until(endpoint)));
        held.filter(|(_, until)| *until > now).max_by_key(|(_, until)| *until)
    }

    /// A 429, with what it said of the limit: the endpoint holds, and the budget that it draws on
    /// comes back by and by once it is free.
    pub(super) fn throttled(
        &mut self,
        endpoint: Endpoint,
        note: RateLimitNote,
        budget: &mut Budget,
        now: Time,
    ) {
        let RateLimitNote { reset, rate } = note;
        let hold = &mut self.endpoints[endpoint as usize];
        // Answers to requests that were under way together tell of one and the same hold.
        if hold.until <= now {
            hold.unsaid = if reset.is_some() { 0 } else { hold.unsaid + 1 };
        }
        let wait = reset.unwrap_or_else(|| {
            let doubled = 1_u32.checked_shl(hold.unsaid.saturating_sub(1)).unwrap_or(u32::MAX);
            FIRST.saturating_mul(doubled).min(MAX)
        });
        hold.until = hold.until.max(now + wait);
        if let Some(rate) = rate {
            budget.lower_ceiling(rate, now);
        }
        budget.return_from(hold.until);
    }

    /// The 429 was the answer to a request that waits for the endpoint now.
    pub(super) fn keeps_waiting(&mut self, endpoint: Endpoint, now: Time) {
        let until = self.until(endpoint);
        match &mut self.streaks[endpoint.budget() as usize] {
            none @ None => *none = Some(Streak { since: until, last: None }),
            Some(streak) if now < streak.since => streak.since = streak.since.max(until),
            Some(streak) => streak.last = Some(now),
        }
    }

    /// An answer that was no 429.
    pub(super) fn answered(&mut self, endpoint: Endpoint) {
        self.endpoints[endpoint as usize].unsaid = 0;
        self.streaks[endpoint.budget() as usize] = None;
    }

    /// Nothing got through for another reason meanwhile, so that the waits count from now.
    pub(super) fn count_anew(&mut self) {
        self.streaks = [None, None];
    }

    /// For how long there have been nothing but 429s to writes or to reads, if that is too long. The
    /// first stated wait does not count: ImageKit is believed once.
    pub(super) fn given_up(&self, now: Time, down_max: Duration) -> Option<Duration> {
        let too_long = self.streaks.iter().zip([BudgetKind::Writes, BudgetKind::Reads]);
        let mut too_long = too_long.filter_map(|(streak, budget)| {
            let Streak { since, last } = streak.as_ref()?;
            let end = *since + down_max;
            let is_over = (*last)? >= end || now >= end && self.longest_of(budget) > now;
            is_over.then(|| now.saturating_sub(*since))
        });
        too_long.next()
    }

    /// When it will be too long, if nothing is sent until then.
    pub(super) fn gives_up_at(&self, now: Time, down_max: Duration) -> Option<Time> {
        let ends = self.streaks.iter().flatten().filter(|streak| streak.last.is_some());
        ends.map(|streak| streak.since + down_max).filter(|end| *end > now).min()
    }

    /// Until when some endpoint of a budget holds.
    fn longest_of(&self, budget: BudgetKind) -> Time {
        let endpoints = Endpoint::ALL.into_iter().filter(|endpoint| endpoint.budget() == budget);
        endpoints.map(|endpoint| self.until(endpoint)).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Execution;

    const DOWN_MAX: Duration = Duration::from_mins(15);

    fn minutes(minutes: u64) -> Time {
        Duration::from_mins(minutes)
    }

    /// Holds behind 429s, each by its minute and by the minutes that it states to wait.
    fn after(throttled: &[(u64, u64)]) -> Cooldowns {
        let mut cooldowns = Cooldowns::default();
        for (at, wait) in throttled {
            throttle(&mut cooldowns, *at, *wait);
        }
        cooldowns
    }

    fn throttle(cooldowns: &mut Cooldowns, at: u64, wait: u64) {
        let mut budget = Budget::new(Execution::default().writes);
        let note = RateLimitNote { reset: Some(minutes(wait)), rate: None };
        cooldowns.throttled(Endpoint::Patch, note, &mut budget, minutes(at));
        cooldowns.keeps_waiting(Endpoint::Patch, minutes(at));
    }

    fn given_up(cooldowns: &Cooldowns, at: u64) -> bool {
        cooldowns.given_up(minutes(at), DOWN_MAX).is_some()
    }

    #[test]
    fn the_first_stated_wait_does_not_count_however_long_it_is() {
        let cooldowns = after(&[(0, 60), (1, 60)]);
        assert!(!given_up(&cooldowns, 59) && !given_up(&cooldowns, 200));
        assert_eq!(cooldowns.gives_up_at(minutes(60), DOWN_MAX), None);
    }

    #[test]
    fn from_its_end_on_429s_are_endured_for_down_max() {
        let cooldowns = after(&[(0, 60), (60, 1), (70, 1)]);
        assert!(!given_up(&cooldowns, 74) && !given_up(&cooldowns, 76));
        let cooldowns = after(&[(0, 60), (60, 1), (70, 1), (75, 1)]);
        assert!(given_up(&cooldowns, 75));
    }

    #[test]
    fn a_later_wait_ends_no_later_than_down_max() {
        let cooldowns = after(&[(0, 60), (60, 600)]);
        assert!(!given_up(&cooldowns, 74));
        assert_eq!(cooldowns.gives_up_at(minutes(61), DOWN_MAX), Some(minutes(75)));
        assert!(given_up(&cooldowns, 75));
    }

    #[test]
    fn an_accepted_request_of_the_same_budget_begins_the_count_anew() {
        let mut cooldowns = after(&[(0, 1), (1, 1), (2, 1)]);
        cooldowns.answered(Endpoint::GetDetails);
        throttle(&mut cooldowns, 16, 1);
        assert!(given_up(&cooldowns, 16));
        cooldowns.answered(Endpoint::AddTags);
        throttle(&mut cooldowns, 17, 1);
        throttle(&mut cooldowns, 18, 1);
        assert!(!given_up(&cooldowns, 32));
    }
}
