//! Cooldowns of endpoints after a 429, and the limit for how long 429s may continue.

use std::time::Duration;

use super::{Budget, Time};
use crate::imagekit::RateLimitHeaders;
use crate::request::{BudgetKind, Endpoint};

/// Cooldown after a 429 that states no wait. Doubles with each one in a row.
const UNSTATED_FIRST: Duration = Duration::from_secs(1);
const UNSTATED_MAX: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
pub(super) struct Cooldowns {
    endpoints: [Cooldown; Endpoint::ALL.len()],
    /// Unbroken series of 429s, by budget.
    streaks: [Option<Streak>; 2],
}

#[derive(Debug, Default)]
struct Cooldown {
    until: Time,
    /// 429s in a row that stated no wait.
    unstated: u32,
}

/// A series of 429s to requests of one budget, with no other response in between.
#[derive(Debug)]
struct Streak {
    /// End of the wait that the first of them stated.
    since: Time,
    /// Time of the last 429 after that.
    last: Option<Time>,
}

impl Cooldowns {
    /// End of the cooldown; in the past if there is none.
    pub(super) fn until(&self, endpoint: Endpoint) -> Time {
        self.endpoints[endpoint as usize].until
    }

    /// The endpoint with the longest cooldown, and its end.
    pub(super) fn longest(&self, now: Time) -> Option<(Endpoint, Time)> {
        let cooldowns = Endpoint::ALL.into_iter().map(|endpoint| (endpoint, self.until(endpoint)));
        cooldowns.filter(|(_, until)| *until > now).max_by_key(|(_, until)| *until)
    }

    /// Starts or extends the cooldown of an endpoint after a 429, and ramps its budget up from the
    /// end of the cooldown.
    pub(super) fn throttled(
        &mut self,
        endpoint: Endpoint,
        note: RateLimitHeaders,
        budget: &mut Budget,
        now: Time,
    ) {
        let RateLimitHeaders { reset, rate } = note;
        let cooldown = &mut self.endpoints[endpoint as usize];
        // 429s to requests that were in flight together are one event.
        if cooldown.until <= now {
            cooldown.unstated = if reset.is_some() { 0 } else { cooldown.unstated + 1 };
        }
        let wait = reset.unwrap_or_else(|| {
            let doubled =
                1_u32.checked_shl(cooldown.unstated.saturating_sub(1)).unwrap_or(u32::MAX);
            UNSTATED_FIRST.saturating_mul(doubled).min(UNSTATED_MAX)
        });
        cooldown.until = cooldown.until.max(now + wait);
        if let Some(rate) = rate {
            budget.lower_ceiling(rate, now);
        }
        budget.ramp_up_from(cooldown.until);
    }

    /// Counts a 429 whose request waits to be sent again.
    pub(super) fn count_waiting(&mut self, endpoint: Endpoint, now: Time) {
        let until = self.until(endpoint);
        match &mut self.streaks[endpoint.budget() as usize] {
            none @ None => *none = Some(Streak { since: until, last: None }),
            Some(streak) if now < streak.since => streak.since = streak.since.max(until),
            Some(streak) => streak.last = Some(now),
        }
    }

    /// A response other than 429.
    pub(super) fn responded(&mut self, endpoint: Endpoint) {
        self.endpoints[endpoint as usize].unstated = 0;
        self.streaks[endpoint.budget() as usize] = None;
    }

    /// Restarts the count after an outage of another kind.
    pub(super) fn reset_streaks(&mut self) {
        self.streaks = [None, None];
    }

    /// How long there have been only 429s to writes or to reads, if that exceeds `down_max`. The
    /// first stated wait does not count.
    pub(super) fn exceeded(&self, now: Time, down_max: Duration) -> Option<Duration> {
        let streaks = self.streaks.iter().zip([BudgetKind::Writes, BudgetKind::Reads]);
        let mut exceeded = streaks.filter_map(|(streak, budget)| {
            let Streak { since, last } = streak.as_ref()?;
            let end = *since + down_max;
            let is_exceeded = (*last)? >= end || now >= end && self.longest_in(budget) > now;
            is_exceeded.then(|| now.saturating_sub(*since))
        });
        exceeded.next()
    }

    /// When [`Self::exceeded`] will become true if nothing is sent until then.
    pub(super) fn exceeded_at(&self, now: Time, down_max: Duration) -> Option<Time> {
        let ends = self.streaks.iter().flatten().filter(|streak| streak.last.is_some());
        ends.map(|streak| streak.since + down_max).filter(|end| *end > now).min()
    }

    /// End of the longest cooldown of a budget's endpoints.
    fn longest_in(&self, budget: BudgetKind) -> Time {
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

    /// Cooldowns after 429s, each given as its minute and its stated wait in minutes.
    fn after(throttled: &[(u64, u64)]) -> Cooldowns {
        let mut cooldowns = Cooldowns::default();
        for (at, wait) in throttled {
            throttle(&mut cooldowns, *at, *wait);
        }
        cooldowns
    }

    fn throttle(cooldowns: &mut Cooldowns, at: u64, wait: u64) {
        let mut budget = Budget::new(Execution::default().writes);
        let note = RateLimitHeaders { reset: Some(minutes(wait)), rate: None };
        cooldowns.throttled(Endpoint::Patch, note, &mut budget, minutes(at));
        cooldowns.count_waiting(Endpoint::Patch, minutes(at));
    }

    fn exceeded(cooldowns: &Cooldowns, at: u64) -> bool {
        cooldowns.exceeded(minutes(at), DOWN_MAX).is_some()
    }

    #[test]
    fn first_stated_wait_does_not_count() {
        let cooldowns = after(&[(0, 60), (1, 60)]);
        assert!(!exceeded(&cooldowns, 59) && !exceeded(&cooldowns, 200));
        assert_eq!(cooldowns.exceeded_at(minutes(60), DOWN_MAX), None);
    }

    #[test]
    fn throttling_after_first_wait_ends_at_down_max() {
        let cooldowns = after(&[(0, 60), (60, 1), (70, 1)]);
        assert!(!exceeded(&cooldowns, 74) && !exceeded(&cooldowns, 76));
        let cooldowns = after(&[(0, 60), (60, 1), (70, 1), (75, 1)]);
        assert!(exceeded(&cooldowns, 75));
    }

    #[test]
    fn later_wait_is_cut_at_down_max() {
        let cooldowns = after(&[(0, 60), (60, 600)]);
        assert!(!exceeded(&cooldowns, 74));
        assert_eq!(cooldowns.exceeded_at(minutes(61), DOWN_MAX), Some(minutes(75)));
        assert!(exceeded(&cooldowns, 75));
    }

    #[test]
    fn response_of_same_budget_restarts_the_count() {
        let mut cooldowns = after(&[(0, 1), (1, 1), (2, 1)]);
        cooldowns.responded(Endpoint::GetDetails);
        throttle(&mut cooldowns, 16, 1);
        assert!(exceeded(&cooldowns, 16));
        cooldowns.responded(Endpoint::AddTags);
        throttle(&mut cooldowns, 17, 1);
        throttle(&mut cooldowns, 18, 1);
        assert!(!exceeded(&cooldowns, 32));
    }
}
