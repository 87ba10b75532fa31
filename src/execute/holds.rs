//! Until when each endpoint holds after a 429.

use std::time::Duration;

use super::{Budget, Time};
use crate::imagekit::RateLimitNote;
use crate::request::Endpoint;

/// How long an endpoint holds after a 429 that does not say for how long: this, doubled each time.
const FIRST: Duration = Duration::from_secs(1);
const MAX: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
pub(super) struct Holds([Hold; Endpoint::ALL.len()]);

#[derive(Debug, Default)]
struct Hold {
    until: Time,
    /// How often in a row it held without being told for how long.
    unsaid: u32,
}

impl Holds {
    /// When the endpoint is free again; in the past where it is.
    pub(super) fn until(&self, endpoint: Endpoint) -> Time {
        self.0[endpoint as usize].until
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
        let hold = &mut self.0[endpoint as usize];
        // Answers to requests that were under way together tell of one and the same hold.
        if hold.until <= now {
            hold.unsaid = if reset.is_some() { 0 } else { hold.unsaid + 1 };
        }
        let wait = reset.unwrap_or_else(|| {
            let doubled = 1_u32.checked_shl(hold.unsaid.saturating_sub(1)).unwrap_or(u32::MAX);
            FIRST.saturating_mul(doubled).min(MAX)
        });
        hold.until = hold.until.max(now + wait);
        budget.return_from(hold.until);
        if let Some(rate) = rate {
            budget.lower_ceiling(rate);
        }
    }

    /// An answer that was no 429.
    pub(super) fn answered(&mut self, endpoint: Endpoint) {
        self.0[endpoint as usize].unsaid = 0;
    }
}
