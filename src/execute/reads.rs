//! Reads that the dispatcher does not schedule: within the account's read budget, with retries.
//!
//! Before a run, reads wait out an outage for up to `--down-max`, as a run does. During a run the
//! dispatcher handles outages, so reads give up after the attempts allowed.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::throttle::Cooldowns;
use super::{Backoff, Budget, Time};
use crate::account::RateFile;
use crate::imagekit::{Failure, RateLimitHeaders};
use crate::ledger::Counters;
use crate::plural::plural;
use crate::request::{BudgetKind, Endpoint};
use crate::settings::Execution;

/// Minimum interval between log lines about the same trouble.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Shorter cooldowns are not logged.
const LOGGED_COOLDOWN_MIN: Duration = Duration::from_secs(1);

/// Paces and retries reads. Several may be in flight at once.
#[derive(Debug)]
pub(crate) struct Reads {
    shared: RefCell<Shared>,
    attempts: NonZeroU32,
    /// How long an outage, or a series of 429s, is waited out.
    down_max: Duration,
    /// Whether outages are waited out here rather than by the dispatcher.
    waits_out_outages: bool,
    concurrency: NonZeroUsize,
    began: Instant,
    /// When ImageKit last responded to any read.
    last_response: Cell<Time>,
    counters: Cell<Counters>,
}

/// The failed attempts of one read.
#[derive(Debug, Default)]
struct FailedAttempts {
    attempts: u32,
    /// When the first failed, since the last response…
    since: Option<Time>,
    /// …and when the last one failed.
    last: Option<Time>,
}

/// State shared by the reads in flight.
#[derive(Debug)]
struct Shared {
    budget: Budget,
    cooldowns: Cooldowns,
    backoff: Backoff,
    log: LogLimiter,
}

/// Limits log lines about reads that fail or wait.
#[derive(Debug, Default)]
struct LogLimiter {
    /// The end of the cooldown that was logged last.
    cooldown_logged: Option<Time>,
    /// When a failed read was last logged…
    failure_logged: Option<Time>,
    /// …and the failures since then.
    failures: u64,
}

impl Reads {
    /// Reads with their own budget and a full burst; outages are waited out.
    #[must_use]
    pub(crate) fn new(settings: &Execution) -> Self {
        Self { waits_out_outages: true, ..Self::within_run(settings) }
    }

    /// Reads with their own budget, for use during a run: the dispatcher handles outages.
    #[must_use]
    pub(crate) fn within_run(settings: &Execution) -> Self {
        Self::within(Budget::new(settings.reads), settings)
    }

    /// Reads within the budget that all processes on this machine share; outages are waited out.
    #[must_use]
    pub(crate) fn sharing(settings: &Execution, rates: &Arc<RateFile>) -> Self {
        let reads = Self::sharing_within_run(settings, rates);
        Self { waits_out_outages: true, ..reads }
    }

    /// Reads within the shared budget, for use during a run.
    #[must_use]
    pub(crate) fn sharing_within_run(settings: &Execution, rates: &Arc<RateFile>) -> Self {
        Self::within(Budget::shared(settings.reads, rates, BudgetKind::Reads), settings)
    }

    fn within(budget: Budget, settings: &Execution) -> Self {
        let shared = Shared {
            budget,
            cooldowns: Cooldowns::default(),
            backoff: Backoff::new(settings.seed),
            log: LogLimiter::default(),
        };
        Self {
            shared: RefCell::new(shared),
            attempts: settings.attempts,
            down_max: settings.abort_limits.down_max,
            waits_out_outages: false,
            concurrency: Execution::derived_concurrency(settings.reads),
            began: Instant::now(),
            last_response: Cell::default(),
            counters: Cell::default(),
        }
    }

    /// Number of concurrent reads that reaches the rate even if responses are slow.
    #[must_use]
    pub(crate) fn concurrency(&self) -> NonZeroUsize {
        self.concurrency
    }

    /// Reads sent so far, including retries.
    #[must_use]
    pub(crate) fn sent(&self) -> u64 {
        self.counters.get().read
    }

    /// Reads sent, throttled and retried so far; other counters are 0.
    #[must_use]
    pub(crate) fn counters(&self) -> Counters {
        self.counters.get()
    }

    fn count(&self, count: impl FnOnce(&mut Counters)) {
        let mut counters = self.counters.get();
        count(&mut counters);
        self.counters.set(counters);
    }

    /// Reads until there is a response. A 429 uses up no attempt.
    ///
    /// # Errors
    /// The failure is permanent, the attempts are used up although ImageKit responds to other
    /// reads, or it has responded to none for too long.
    pub(crate) async fn read<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        endpoint: Endpoint,
        mut read: impl FnMut() -> F,
    ) -> Result<T, Failure> {
        let mut failed = FailedAttempts::default();
        loop {
            self.wait_turn(endpoint).await?;
            self.count(|counters| {
                counters.read += 1;
                counters.retried += u64::from(failed.attempts > 0);
            });
            let failure = match read().await {
                Ok(value) => {
                    self.responded(endpoint);
                    return Ok(value);
                }
                Err(failure) => failure,
            };
            tracing::debug!("{failure}");
            match failure {
                Failure::Throttled(note) => {
                    failed.since = None;
                    self.throttled(endpoint, note);
                }
                Failure::NotSent { .. } | Failure::Lost { .. } => {
                    let wait = self.wait_after(&mut failed, &failure).ok_or(failure)?;
                    sleep(wait).await;
                }
                Failure::Rejected { .. } | Failure::Account { .. } => {
                    self.responded(endpoint);
                    return Err(failure);
                }
            }
        }
    }

    fn responded(&self, endpoint: Endpoint) {
        self.last_response.set(self.began.elapsed());
        self.shared.borrow_mut().cooldowns.responded(endpoint);
    }

    fn throttled(&self, endpoint: Endpoint, note: RateLimitHeaders) {
        self.count(|counters| counters.throttled += 1);
        let now = self.began.elapsed();
        let Shared { budget, cooldowns, log, .. } = &mut *self.shared.borrow_mut();
        cooldowns.throttled(endpoint, note, budget, now);
        cooldowns.count_waiting(endpoint, now);
        if let Some(line) = log.cooldown(endpoint, cooldowns.until(endpoint), now) {
            tracing::info!("{line}");
        }
    }

    /// Counts a failed attempt. Returns the wait before the next one, or `None` to give up.
    fn wait_after(&self, failed: &mut FailedAttempts, failure: &Failure) -> Option<Duration> {
        let now = self.began.elapsed();
        failed.attempts += 1;
        let since = *failed.since.get_or_insert(now);
        let previous = failed.last.replace(now);
        // If ImageKit responds to other reads meanwhile, this is no outage.
        let others_succeed = previous.is_some_and(|previous| self.last_response.get() > previous);
        let no_attempts_left = failed.attempts >= self.attempts.get();
        if no_attempts_left && (others_succeed || !self.waits_out_outages) {
            return None;
        }
        let left = (since + self.down_max).saturating_sub(now);
        let retry_after = failure.retry_after().unwrap_or_default();
        let wait = || self.log_and_back_off(failure, failed.attempts).max(retry_after).min(left);
        (!left.is_zero()).then(wait)
    }

    /// Logs the failure and returns the backoff.
    fn log_and_back_off(&self, failure: &Failure, attempts: u32) -> Duration {
        let Shared { backoff, log, .. } = &mut *self.shared.borrow_mut();
        if let Some(reads) = log.failure(self.began.elapsed()) {
            let until = if self.waits_out_outages { " until --down-max" } else { "" };
            tracing::warn!("retrying {reads}{until}: {failure}");
        }
        backoff.wait(attempts)
    }

    /// Waits until a read may be sent.
    ///
    /// # Errors
    /// There have been only 429s for too long.
    async fn wait_turn(&self, endpoint: Endpoint) -> Result<(), Failure> {
        loop {
            let now = self.began.elapsed();
            let (exceeded, exceeded_at) = {
                let Shared { cooldowns, .. } = &*self.shared.borrow();
                (cooldowns.exceeded(now, self.down_max), cooldowns.exceeded_at(now, self.down_max))
            };
            if exceeded.is_some() {
                return Err(Failure::Throttled(RateLimitHeaders::default()));
            }
            let Err(at) = self.take(endpoint) else {
                return Ok(());
            };
            sleep_until(self.began + exceeded_at.map_or(at, |end| end.min(at))).await;
        }
    }

    /// Takes one read out of the budget.
    ///
    /// # Errors
    /// The budget is used up until the time given.
    fn take(&self, endpoint: Endpoint) -> Result<(), Duration> {
        let now = self.began.elapsed();
        let Shared { budget, cooldowns, .. } = &mut *self.shared.borrow_mut();
        match cooldowns.until(endpoint) {
            until if until > now => Err(until),
            _ => budget.take(now),
        }
    }
}

impl LogLimiter {
    /// The line to log for a cooldown, if it is due.
    fn cooldown(&mut self, endpoint: Endpoint, until: Time, now: Time) -> Option<String> {
        if until < now + LOGGED_COOLDOWN_MIN {
            return None;
        }
        if self.cooldown_logged.is_some_and(|logged| until < logged + LOG_INTERVAL) {
            return None;
        }
        self.cooldown_logged = Some(until);
        let wait = until.saturating_sub(now).as_secs_f64();
        Some(format!("{} throttled for {wait:.1} s (429)", endpoint.as_str()))
    }

    /// The number of failed reads to log, if that is due.
    fn failure(&mut self, now: Time) -> Option<String> {
        self.failures += 1;
        if self.failure_logged.is_some_and(|logged| now < logged + LOG_INTERVAL) {
            return None;
        }
        self.failure_logged = Some(now);
        Some(plural(std::mem::take(&mut self.failures), "read", "reads"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::outcome::Code;
    use crate::settings::{Rate, RateLimit};

    fn reads(rate: f64, attempts: u32) -> Reads {
        Reads::new(&settings(rate, attempts))
    }

    fn settings(rate: f64, attempts: u32) -> Execution {
        let mut settings = Execution::default();
        let burst = NonZeroU32::MIN;
        settings.reads = RateLimit { rate: Rate::PerSecond(rate), burst, leave: 0.0 };
        settings.attempts = NonZeroU32::new(attempts).expect("not 0");
        settings
    }

    fn lost() -> Failure {
        let (code, message) = (Code::Timeout, "no response in time".into());
        Failure::Lost { code, message, http_status: None, request_id: None, retry_after: None }
    }

    /// Reads with these responses in turn; returns the last one, and when each read was sent.
    async fn read(
        reads: &Reads,
        responses: Vec<Result<(), Failure>>,
    ) -> (Result<(), Failure>, Vec<Duration>) {
        let began = Instant::now();
        let (responses, sent) = (RefCell::new(VecDeque::from(responses)), RefCell::new(Vec::new()));
        let result = reads.read(Endpoint::List, async || {
            sent.borrow_mut().push(began.elapsed());
            responses.borrow_mut().pop_front().expect("a response for each read")
        });
        (result.await, sent.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn reads_stay_within_the_rate() {
        let reads = reads(2.0, 1);
        let began = Instant::now();
        for _ in 0..5 {
            read(&reads, vec![Ok(())]).await.0.expect("a response");
        }
        let took = began.elapsed().as_millis();
        assert!((2000..2010).contains(&took), "{took} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn throttled_read_uses_no_attempt() {
        let reset = Some(Duration::from_secs(90));
        let throttled = || Err(Failure::Throttled(RateLimitHeaders { reset, rate: None }));
        let responses = vec![throttled(), throttled(), Ok(())];
        let reads = reads(100.0, 1);
        let (result, sent) = read(&reads, responses).await;
        let Counters { read, throttled, retried, .. } = reads.counters();
        assert_eq!((read, throttled, retried), (3, 2, 0));
        assert_eq!(result, Ok(()));
        assert!(sent[1] >= sent[0] + Duration::from_secs(90), "{sent:?}");
        assert!(sent[2] >= sent[1] + Duration::from_secs(90), "{sent:?}");
    }

    /// Reads while every response is a 429 with this reset; returns the final result and its time.
    async fn read_throttled(reset: Duration) -> (Result<(), Failure>, Duration) {
        let began = Instant::now();
        let note = RateLimitHeaders { reset: Some(reset), rate: None };
        let reads = reads(100.0, 1);
        let result = reads.read(Endpoint::List, async || Err(Failure::Throttled(note)));
        (result.await, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn down_max_counts_from_first_stated_wait() {
        let down_max = Execution::default().abort_limits.down_max;
        for reset in [1, 90, 3600].map(Duration::from_secs) {
            let (result, at) = read_throttled(reset).await;
            assert!(matches!(result, Err(Failure::Throttled(_))), "{result:?}");
            let end = reset + down_max;
            assert!((end..end + reset.min(down_max)).contains(&at), "{reset:?}: {at:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_reads_share_the_rate() {
        let reads = reads(2.0, 1);
        let began = Instant::now();
        let several = (0..5).map(|_| reads.read(Endpoint::List, async || Ok(())));
        let read = futures_util::future::try_join_all(several).await;
        let took = began.elapsed().as_millis();
        assert_eq!((read.map(|read| read.len()), reads.sent()), (Ok(5), 5));
        assert!((2000..2010).contains(&took), "{took} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn lost_read_is_retried_up_to_the_limit() {
        let often = Reads::within_run(&settings(100.0, 3));
        let (result, sent) = read(&often, vec![Err(lost()), Err(lost()), Ok(())]).await;
        assert_eq!((often.counters().read, often.counters().retried), (3, 2));
        assert_eq!((result, sent.len()), (Ok(()), 3));
        let twice = Reads::within_run(&settings(100.0, 2));
        let (result, sent) = read(&twice, vec![Err(lost()), Err(lost())]).await;
        assert_eq!((result, sent.len()), (Err(lost()), 2));
    }

    /// Reads while responses are lost until `back`; returns the final result and its time.
    async fn read_until(reads: &Reads, back: Duration) -> (Result<(), Failure>, Duration) {
        let began = Instant::now();
        let result =
            reads.read(
                Endpoint::List,
                async || {
                    if began.elapsed() < back { Err(lost()) } else { Ok(()) }
                },
            );
        (result.await, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn outage_before_run_is_waited_out_until_down_max() {
        let down_max = Execution::default().abort_limits.down_max;
        let (result, at) = read_until(&reads(100.0, 2), down_max.mul_f64(0.99)).await;
        assert!(result.is_ok() && at <= down_max, "{result:?} at {at:?}");
        let (result, at) = read_until(&reads(100.0, 2), Duration::from_hours(9)).await;
        assert_eq!((result, at), (Err(lost()), down_max));
    }

    #[tokio::test(start_paused = true)]
    async fn single_failing_read_is_no_outage() {
        let reads = reads(100.0, 3);
        let others = async {
            for _ in 0..20 {
                sleep(Duration::from_secs(1)).await;
                read(&reads, vec![Ok(())]).await.0.expect("a response");
            }
        };
        let alone = read_until(&reads, Duration::from_hours(9));
        let ((result, at), ()) = tokio::join!(alone, others);
        assert!(result.is_err() && at < Duration::from_secs(30), "{result:?} at {at:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn retry_honours_retry_after() {
        let (code, message) = (Code::Server, "try again".into());
        let retry_after = Some(Duration::from_secs(77));
        let http_status = Some(503);
        let unavailable =
            Failure::Lost { code, message, http_status, request_id: None, retry_after };
        let (result, sent) = read(&reads(100.0, 3), vec![Err(unavailable), Ok(())]).await;
        assert!(result.is_ok() && sent[1] >= sent[0] + Duration::from_secs(77), "{sent:?}");
    }

    #[test]
    fn failed_reads_are_logged_at_intervals() {
        let mut log = LogLimiter::default();
        let lines = (0..25).filter_map(|second| log.failure(Duration::from_secs(second)));
        let lines: Vec<String> = lines.collect();
        assert_eq!(lines, ["1 read", "10 reads", "10 reads"]);
    }

    #[test]
    fn cooldown_is_logged_once_unless_longer() {
        let mut log = LogLimiter::default();
        let mut cooldown = |now, until| {
            let (now, until) = (Duration::from_secs(now), Duration::from_secs(until));
            log.cooldown(Endpoint::List, until, now)
        };
        assert_eq!(cooldown(5, 5), None);
        assert_eq!(cooldown(5, 6).as_deref(), Some("GET files throttled for 1.0 s (429)"));
        assert_eq!(cooldown(5, 6), None);
        assert_eq!(cooldown(7, 8), None);
        assert_eq!(cooldown(9, 99).as_deref(), Some("GET files throttled for 90.0 s (429)"));
        assert_eq!(cooldown(10, 99), None);
    }

    #[tokio::test(start_paused = true)]
    async fn rejected_read_is_not_retried() {
        let refused = || Failure::Account { message: "expired".into() };
        let (result, sent) = read(&reads(100.0, 9), vec![Err(refused())]).await;
        assert_eq!((result, sent.len()), (Err(refused()), 1));
    }
}
