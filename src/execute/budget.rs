//! How fast requests may go out: the account's limit, for writes and for reads apart.
//!
//! governor counts (GCRA); what it counts is not requests but cells, [`CELLS_PER_REQUEST`] for one
//! request at the full rate. A lower ceiling and the gradual return after a hold make a request
//! cost more cells. The limiter itself is never exchanged: a new one would begin with a full burst.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use super::Time;
use crate::account::RateFile;
use crate::request::BudgetKind;
use crate::settings::{Rate, RateLimit};

/// The fineness of costs.
const CELLS_PER_REQUEST: u32 = 100;
/// How much a request may be late on its way, compared with the one after it. A limiter that
/// stands exactly at the limit sends requests that arrive closer together than they left; so much
/// of the burst is held back that ImageKit does not see a limit overstepped.
const JITTER: Duration = Duration::from_millis(50);
/// How late a timer wakes up. The burst is at least what comes in meanwhile, or every lateness
/// would be lost for good.
const LATENESS: Duration = Duration::from_millis(2);
/// After a hold requests begin at this share of the rate…
const RETURN_FROM: f64 = 0.5;
/// …and are back at the whole of it after this long.
const RETURN_TIME: Duration = Duration::from_secs(10);
/// A limit that a 429 stated is believed for this long behind the last hold, and then the full rate
/// is tried again: an absurd limit does not last for ever, and a true one states itself once more.
const CEILING_TIME: Duration = Duration::from_mins(10);

/// The time that governor reads: set by hand before each use, so that whoever calls decides what
/// time it is.
#[derive(Debug, Clone, Default)]
struct HandClock(Arc<AtomicU64>);

impl HandClock {
    fn set(&self, now: Time) {
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        self.0.store(nanos, Ordering::Relaxed);
    }

    fn nanos(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Clock for HandClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_nanos(self.nanos())
    }
}

/// Where governor keeps how far a budget is used up.
#[derive(Debug)]
enum Store {
    /// In this process, for tests and servers of one's own.
    Own(InMemoryState),
    /// In a file that all processes on this machine share.
    Shared {
        rates: Arc<RateFile>,
        budget: BudgetKind,
        clock: HandClock,
        /// How long an empty burst takes to fill again, in nanoseconds.
        refill: u64,
    },
}

impl StateStore for Store {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, key: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        match self {
            Self::Own(state) => state.measure_and_replace(key, decide),
            Self::Shared { rates, budget, clock, refill } => rates.measure(*budget, |time| {
                // No budget is emptier than empty, whatever another process with other settings, or
                // a clock before a reboot, has left there.
                let latest = clock.nanos().saturating_add(*refill);
                decide(time.map(|time| Nanos::new(time.as_u64().min(latest))))
            }),
        }
    }
}

/// One budget of the account.
#[derive(Debug)]
pub struct Budget {
    /// `None` lets everything through.
    limiter: Option<Limiter>,
}

#[derive(Debug)]
struct Limiter {
    governor: RateLimiter<NotKeyed, Store, HandClock, NoOpMiddleware<Duration>>,
    clock: HandClock,
    /// Whose time the clock shows; `None` where it is the caller's.
    shared: Option<Arc<RateFile>>,
    /// The most that can be taken at once, in cells.
    capacity: NonZeroU32,
    /// What the next request still costs, in cells; 0 where it has not been asked for yet.
    owed: u32,
    /// The configured rate, in requests a second, and what others are left of it.
    nominal: f64,
    left_to_us: f64,
    /// The share of the nominal rate that ImageKit was found to allow…
    ceiling: f64,
    /// …and until when that is believed.
    ceiling_until: Time,
    /// Since when the rate comes back.
    returning_since: Option<Time>,
    /// Whether the burst must still be thrown away at that time.
    to_drain: bool,
}

impl Budget {
    /// A budget of this process alone, with all of its burst.
    #[must_use]
    pub fn new(limit: RateLimit) -> Self {
        Self::kept_in(limit, None)
    }

    /// A budget that all processes on this machine share, as far as it is used up.
    #[must_use]
    pub fn shared(limit: RateLimit, rates: &Arc<RateFile>, budget: BudgetKind) -> Self {
        Self::kept_in(limit, Some((Arc::clone(rates), budget)))
    }

    fn kept_in(limit: RateLimit, shared: Option<(Arc<RateFile>, BudgetKind)>) -> Self {
        let Rate::PerSecond(rate) = limit.rate else {
            return Self { limiter: None };
        };
        let left_to_us = 1.0 - limit.leave;
        let nominal = rate * left_to_us;
        let burst = f64::from(limit.burst.get()) * left_to_us;
        let least = (1.0 + nominal * LATENESS.as_secs_f64()).min(burst).max(1.0);
        let burst = (burst - nominal * JITTER.as_secs_f64()).max(least);
        let capacity = cells(burst * f64::from(CELLS_PER_REQUEST)).get();
        let capacity = NonZeroU32::new(capacity).unwrap_or(NonZeroU32::MIN);
        // Rounded up: a cell must never come early.
        let nanos = (1e9 / (nominal * f64::from(CELLS_PER_REQUEST))).ceil();
        let period = Duration::from_secs_f64(nanos / 1e9).max(Duration::from_nanos(1));
        let quota = Quota::with_period(period).map(|quota| quota.allow_burst(capacity));
        let clock = HandClock::default();
        let (store, shared) = match shared {
            None => (Store::Own(InMemoryState::default()), None),
            Some((rates, budget)) => {
                let refill = period.saturating_mul(capacity.get());
                let refill = u64::try_from(refill.as_nanos()).unwrap_or(u64::MAX);
                let shared = Some(Arc::clone(&rates));
                (Store::Shared { rates, budget, clock: clock.clone(), refill }, shared)
            }
        };
        let limiter = quota.map(|quota| Limiter {
            governor: RateLimiter::new(quota, store, clock.clone()),
            clock,
            shared,
            capacity,
            owed: 0,
            nominal,
            left_to_us,
            ceiling: 1.0,
            ceiling_until: Time::ZERO,
            returning_since: None,
            to_drain: false,
        });
        Self { limiter }
    }

    /// Takes the cost of one request, or says when to ask again.
    ///
    /// # Errors
    /// The budget is used up until the time given.
    pub fn take(&mut self, now: Time) -> Result<(), Time> {
        self.limiter.as_mut().map_or(Ok(()), |limiter| limiter.take(now))
    }

    /// A 429 stated the true limit, in requests a second.
    pub fn lower_ceiling(&mut self, rate: f64, now: Time) {
        if let Some(limiter) = &mut self.limiter {
            limiter.forget_ceiling(now);
            let share = rate * limiter.left_to_us / limiter.nominal;
            limiter.ceiling = limiter.ceiling.min(share);
            limiter.believe_ceiling_behind(now);
        }
    }

    /// A hold ends at `until`: from there on the rate comes back gradually, beginning with an
    /// empty burst, since ImageKit has just said that there is none.
    pub fn return_from(&mut self, until: Time) {
        if let Some(limiter) = &mut self.limiter {
            limiter.returning_since = Some(limiter.returning_since.unwrap_or(until).max(until));
            limiter.to_drain = true;
            limiter.believe_ceiling_behind(until);
        }
    }

    /// The rate allowed now, in requests a second; `None` where there is no limit.
    #[must_use]
    pub fn rate(&self, now: Time) -> Option<f64> {
        self.limiter.as_ref().map(|limiter| limiter.nominal * limiter.share(now))
    }
}

impl Limiter {
    fn take(&mut self, now: Time) -> Result<(), Time> {
        // How far the clock of a shared budget is ahead of the caller's.
        let ahead =
            self.shared.as_ref().map_or(Duration::ZERO, |rates| rates.now().saturating_sub(now));
        self.clock.set(now + ahead);
        if self.to_drain && self.returning_since.is_some_and(|since| since <= now) {
            self.drain();
        }
        self.forget_ceiling(now);
        if self.owed == 0 {
            let cost = f64::from(CELLS_PER_REQUEST) / self.share(now);
            self.owed = cells(cost.ceil()).get();
        }
        // A request can cost more than fits into the burst: it is then paid for by and by, the
        // greatest part last. It takes a full burst, so that whoever comes late to pay it gains
        // nothing for the next request.
        while self.owed > 0 {
            let part = NonZeroU32::new(self.owed % self.capacity).unwrap_or(self.capacity);
            match self.governor.check_n(part) {
                Ok(Ok(())) => self.owed -= part.get(),
                Ok(Err(not_until)) => {
                    let earliest = not_until.earliest_possible().saturating_sub(ahead);
                    return Err(earliest.max(now + Duration::from_nanos(1)));
                }
                Err(_) => unreachable!("a part is never greater than the capacity"),
            }
        }
        Ok(())
    }

    /// Throws away what the burst holds: halves of it, for as long as they are there.
    fn drain(&mut self) {
        let mut part = Some(self.capacity);
        while let Some(cells) = part {
            if !matches!(self.governor.check_n(cells), Ok(Ok(()))) {
                part = NonZeroU32::new(cells.get() / 2);
            }
        }
        self.to_drain = false;
    }

    fn believe_ceiling_behind(&mut self, hold: Time) {
        self.ceiling_until = self.ceiling_until.max(hold.saturating_add(CEILING_TIME));
    }

    /// Forgets the ceiling if its time is over. What the next request still costs goes down with it,
    /// to that of one at the full rate at least, so that no limit is overstepped.
    fn forget_ceiling(&mut self, now: Time) {
        if self.ceiling >= 1.0 || now < self.ceiling_until {
            return;
        }
        let owed = cells((f64::from(self.owed) * self.ceiling).ceil()).get();
        self.owed = self.owed.min(owed.max(CELLS_PER_REQUEST));
        self.ceiling = 1.0;
    }

    /// The share of the nominal rate that may be used now.
    fn share(&self, now: Time) -> f64 {
        let ceiling = if now < self.ceiling_until { self.ceiling } else { 1.0 };
        let Some(since) = self.returning_since else {
            return ceiling;
        };
        let back = now.saturating_sub(since).as_secs_f64() / RETURN_TIME.as_secs_f64();
        ceiling * (RETURN_FROM + (1.0 - RETURN_FROM) * back.min(1.0))
    }
}

/// A number of cells that can be asked for.
fn cells(number: f64) -> NonZeroU32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to what fits"
    )]
    let number = number.clamp(1.0, f64::from(u32::MAX)) as u32;
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}
