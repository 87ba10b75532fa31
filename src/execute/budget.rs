//! The account's rate limit, separately for writes and reads.
//!
//! governor does the counting (GCRA), in cells rather than requests: a request costs
//! [`CELLS_PER_REQUEST`] at the full rate, and more at a lowered ceiling or while the rate ramps up
//! after a cooldown. The limiter itself is never replaced, because a new one would start with a
//! full burst.

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

/// Cells that a request costs at the full rate. More cells allow finer rates.
const CELLS_PER_REQUEST: u32 = 100;
/// How much later than the next request a request may arrive. Requests sent exactly at the limit
/// can arrive closer together than they left; the burst is reduced by this much, so that ImageKit
/// sees no violation.
const JITTER: Duration = Duration::from_millis(50);
/// How late a timer may wake up. The burst covers at least this time, because otherwise each delay
/// would reduce the throughput.
const TIMER_DELAY: Duration = Duration::from_millis(2);
/// Share of the rate at which requests start after a cooldown…
const RAMP_START: f64 = 0.5;
/// …and the time until the full rate is reached.
const RAMP_TIME: Duration = Duration::from_secs(10);
/// How long after the last cooldown a limit stated by a 429 applies. Then the full rate is tried
/// again: a wrong limit expires, and a true one is stated once more.
const CEILING_TIME: Duration = Duration::from_mins(10);

/// governor's clock. The caller sets it before each use.
#[derive(Debug, Clone, Default)]
struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    fn set(&self, now: Time) {
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        self.0.store(nanos, Ordering::Relaxed);
    }

    fn nanos(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Clock for ManualClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_nanos(self.nanos())
    }
}

/// Where governor keeps its state.
#[derive(Debug)]
enum Store {
    /// In this process, for tests and private servers.
    Own(InMemoryState),
    /// In a file that all processes on this machine share.
    Shared {
        rates: Arc<RateFile>,
        budget: BudgetKind,
        clock: ManualClock,
        /// Time in which an empty burst refills, in nanoseconds.
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
                // A budget cannot be more than empty, whatever another process with other settings,
                // or a clock before a reboot, has stored.
                let latest = clock.nanos().saturating_add(*refill);
                decide(time.map(|time| Nanos::new(time.as_u64().min(latest))))
            }),
        }
    }
}

/// The rate limit of writes or of reads.
#[derive(Debug)]
pub(crate) struct Budget {
    /// `None` means unlimited.
    limiter: Option<Limiter>,
}

#[derive(Debug)]
struct Limiter {
    governor: RateLimiter<NotKeyed, Store, ManualClock, NoOpMiddleware<Duration>>,
    clock: ManualClock,
    /// The clock of a shared budget; `None` to use the caller's time.
    shared: Option<Arc<RateFile>>,
    /// The most that can be taken at once, in cells.
    capacity: NonZeroU32,
    /// What the next request still costs, in cells; 0 before it is first tried.
    cost_left: u32,
    /// The configured rate minus the part for other clients, in requests per second…
    nominal: f64,
    usable_share: f64,
    /// The share of the nominal rate that ImageKit allows, as a 429 stated it…
    ceiling: f64,
    /// …and until when that applies.
    ceiling_until: Time,
    /// Since when the rate ramps up.
    ramp_since: Option<Time>,
    /// Whether the burst is still to be emptied at that time.
    needs_drain: bool,
}

impl Budget {
    /// A budget of this process alone, with a full burst.
    #[must_use]
    pub(crate) fn new(limit: RateLimit) -> Self {
        Self::with_store(limit, None)
    }

    /// A budget that all processes on this machine share.
    #[must_use]
    pub(crate) fn shared(limit: RateLimit, rates: &Arc<RateFile>, budget: BudgetKind) -> Self {
        Self::with_store(limit, Some((Arc::clone(rates), budget)))
    }

    fn with_store(limit: RateLimit, shared: Option<(Arc<RateFile>, BudgetKind)>) -> Self {
        let Rate::PerSecond(rate) = limit.rate else {
            return Self { limiter: None };
        };
        let usable_share = 1.0 - limit.leave;
        let nominal = rate * usable_share;
        let burst = f64::from(limit.burst.get()) * usable_share;
        let minimum = (1.0 + nominal * TIMER_DELAY.as_secs_f64()).min(burst).max(1.0);
        let burst = (burst - nominal * JITTER.as_secs_f64()).max(minimum);
        let capacity = cells(burst * f64::from(CELLS_PER_REQUEST)).get();
        let capacity = NonZeroU32::new(capacity).unwrap_or(NonZeroU32::MIN);
        // Rounded up: no cell may come early.
        let nanos = (1e9 / (nominal * f64::from(CELLS_PER_REQUEST))).ceil();
        let period = Duration::from_secs_f64(nanos / 1e9).max(Duration::from_nanos(1));
        let quota = Quota::with_period(period).map(|quota| quota.allow_burst(capacity));
        let clock = ManualClock::default();
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
            cost_left: 0,
            nominal,
            usable_share,
            ceiling: 1.0,
            ceiling_until: Time::ZERO,
            ramp_since: None,
            needs_drain: false,
        });
        Self { limiter }
    }

    /// Takes the cost of one request.
    ///
    /// # Errors
    /// The budget is used up; contains the time at which to try again.
    pub(crate) fn take(&mut self, now: Time) -> Result<(), Time> {
        self.limiter.as_mut().map_or(Ok(()), |limiter| limiter.take(now))
    }

    /// Lowers the limit to the one that a 429 stated, in requests per second.
    pub(crate) fn lower_ceiling(&mut self, rate: f64, now: Time) {
        if let Some(limiter) = &mut self.limiter {
            limiter.expire_ceiling(now);
            let share = rate * limiter.usable_share / limiter.nominal;
            limiter.ceiling = limiter.ceiling.min(share);
            limiter.extend_ceiling(now);
        }
    }

    /// Empties the burst at `until`, the end of a cooldown, and ramps the rate up from there.
    pub(crate) fn ramp_up_from(&mut self, until: Time) {
        if let Some(limiter) = &mut self.limiter {
            limiter.ramp_since = Some(limiter.ramp_since.unwrap_or(until).max(until));
            limiter.needs_drain = true;
            limiter.extend_ceiling(until);
        }
    }

    /// The current limit, in requests per second; `None` if unlimited.
    #[must_use]
    pub(crate) fn rate(&self, now: Time) -> Option<f64> {
        self.limiter.as_ref().map(|limiter| limiter.nominal * limiter.share(now))
    }
}

impl Limiter {
    fn take(&mut self, now: Time) -> Result<(), Time> {
        // How far the shared clock is ahead of the caller's.
        let ahead =
            self.shared.as_ref().map_or(Duration::ZERO, |_| RateFile::now().saturating_sub(now));
        self.clock.set(now + ahead);
        if self.needs_drain && self.ramp_since.is_some_and(|since| since <= now) {
            self.drain();
        }
        self.expire_ceiling(now);
        if self.cost_left == 0 {
            let cost = f64::from(CELLS_PER_REQUEST) / self.share(now);
            self.cost_left = cells(cost.ceil()).get();
        }
        // A request can cost more than the whole burst. It is then charged in parts, the largest
        // last: that one needs a full burst, so a caller that comes late gains nothing for the next
        // request.
        while self.cost_left > 0 {
            let part = NonZeroU32::new(self.cost_left % self.capacity).unwrap_or(self.capacity);
            match self.governor.check_n(part) {
                Ok(Ok(())) => self.cost_left -= part.get(),
                Ok(Err(not_until)) => {
                    let earliest = not_until.earliest_possible().saturating_sub(ahead);
                    return Err(earliest.max(now + Duration::from_nanos(1)));
                }
                Err(_) => unreachable!("a part is never greater than the capacity"),
            }
        }
        Ok(())
    }

    /// Empties the burst, by taking ever smaller parts.
    fn drain(&mut self) {
        let mut part = Some(self.capacity);
        while let Some(cells) = part {
            if !matches!(self.governor.check_n(cells), Ok(Ok(()))) {
                part = NonZeroU32::new(cells.get() / 2);
            }
        }
        self.needs_drain = false;
    }

    fn extend_ceiling(&mut self, cooldown_end: Time) {
        self.ceiling_until = self.ceiling_until.max(cooldown_end.saturating_add(CEILING_TIME));
    }

    /// Removes an expired ceiling. The cost of the next request is reduced in proportion, but not
    /// below that of one at the full rate, so that the limit holds.
    fn expire_ceiling(&mut self, now: Time) {
        if self.ceiling >= 1.0 || now < self.ceiling_until {
            return;
        }
        let cost_left = cells((f64::from(self.cost_left) * self.ceiling).ceil()).get();
        self.cost_left = self.cost_left.min(cost_left.max(CELLS_PER_REQUEST));
        self.ceiling = 1.0;
    }

    /// The share of the nominal rate that may be used now.
    fn share(&self, now: Time) -> f64 {
        let ceiling = if now < self.ceiling_until { self.ceiling } else { 1.0 };
        let Some(since) = self.ramp_since else {
            return ceiling;
        };
        let ramped = now.saturating_sub(since).as_secs_f64() / RAMP_TIME.as_secs_f64();
        ceiling * (RAMP_START + (1.0 - RAMP_START) * ramped.min(1.0))
    }
}

/// Clamps to a number of cells that can be taken.
fn cells(number: f64) -> NonZeroU32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to what fits"
    )]
    let number = number.clamp(1.0, f64::from(u32::MAX)) as u32;
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}
