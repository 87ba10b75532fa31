//! Reads outside of a run: within the account's budget, tried again where that may help.
//!
//! Before a run they wait out an outage for as long as a run would. Within a run the dispatcher does
//! that, and is told after a few attempts.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::throttle::Cooldowns;
use super::{Backoff, Budget, Time};
use crate::account::RateFile;
use crate::imagekit::{Failure, RateLimitNote};
use crate::ledger::Counters;
use crate::plural::plural;
use crate::request::{BudgetKind, Endpoint};
use crate::settings::Execution;

/// How often it is said that reads do not get through.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// A shorter wait than this is not spoken of.
const HELD_MIN: Duration = Duration::from_secs(1);

/// What reads wait for. Several may wait at once.
#[derive(Debug)]
pub struct Reads {
    pace: RefCell<Pace>,
    attempts: NonZeroU32,
    /// For how long an outage, or 429s without end, are endured.
    down_max: Duration,
    /// Whether an outage is waited out here, and not by the dispatcher.
    outlasts: bool,
    at_once: NonZeroUsize,
    began: Instant,
    /// When ImageKit last answered one of them.
    last_answer: Cell<Time>,
    counters: Cell<Counters>,
}

/// The attempts of one read that came to nothing.
#[derive(Debug, Default)]
struct Lost {
    attempts: u32,
    /// When the first of them did, since ImageKit last answered…
    since: Option<Time>,
    /// …and when the last one did.
    last: Option<Time>,
}

/// What several reads that are under way at once share.
#[derive(Debug)]
struct Pace {
    budget: Budget,
    cooldowns: Cooldowns,
    backoff: Backoff,
    said: Said,
}

/// What was said of reads that do not get through: a line now and then, not one a request.
#[derive(Debug, Default)]
struct Said {
    /// Until when it was said that reads are held up.
    held_until: Option<Time>,
    /// When one that came to nothing was last spoken of…
    lost_at: Option<Time>,
    /// …and how many were not, since then.
    lost: u64,
}

impl Reads {
    /// Reads with a budget of their own and all of its burst. An outage is waited out.
    #[must_use]
    pub fn new(settings: &Execution) -> Self {
        Self { outlasts: true, ..Self::within_run(settings) }
    }

    /// The same within a run, whose dispatcher judges what an outage is.
    #[must_use]
    pub fn within_run(settings: &Execution) -> Self {
        Self::within(Budget::new(settings.reads), settings)
    }

    /// Reads within the budget that all processes on this machine share. An outage is waited out.
    #[must_use]
    pub fn sharing(settings: &Execution, rates: &Arc<RateFile>) -> Self {
        let reads = Self::sharing_within_run(settings, rates);
        Self { outlasts: true, ..reads }
    }

    /// The same within a run.
    #[must_use]
    pub fn sharing_within_run(settings: &Execution, rates: &Arc<RateFile>) -> Self {
        Self::within(Budget::shared(settings.reads, rates, BudgetKind::Reads), settings)
    }

    fn within(budget: Budget, settings: &Execution) -> Self {
        let pace = Pace {
            budget,
            cooldowns: Cooldowns::default(),
            backoff: Backoff::new(settings.seed),
            said: Said::default(),
        };
        Self {
            pace: RefCell::new(pace),
            attempts: settings.attempts,
            down_max: settings.halts.down_max,
            outlasts: false,
            at_once: Execution::derived_concurrency(settings.reads),
            began: Instant::now(),
            last_answer: Cell::default(),
            counters: Cell::default(),
        }
    }

    /// How many under way at once reach the rate even if answers are slow.
    #[must_use]
    pub fn at_once(&self) -> NonZeroUsize {
        self.at_once
    }

    /// How many went out so far, repeated ones included.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.counters.get().read
    }

    /// The same, with how many of them were answered with 429, and how many repeated another.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters.get()
    }

    fn count(&self, count: impl FnOnce(&mut Counters)) {
        let mut counters = self.counters.get();
        count(&mut counters);
        self.counters.set(counters);
    }

    /// Reads until there is an answer. A 429 is waited for and uses up no attempt.
    ///
    /// # Errors
    /// Reading again would not help, the attempts are used up although ImageKit answers others, or
    /// it answers no read for too long.
    pub async fn read<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        endpoint: Endpoint,
        mut read: impl FnMut() -> F,
    ) -> Result<T, Failure> {
        let mut lost = Lost::default();
        loop {
            self.turn(endpoint).await?;
            self.count(|counters| {
                counters.read += 1;
                counters.retried += u64::from(lost.attempts > 0);
            });
            let failure = match read().await {
                Ok(answer) => {
                    self.answered(endpoint);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            tracing::debug!("{failure}");
            match failure {
                Failure::Throttled(note) => {
                    lost.since = None;
                    self.throttled(endpoint, note);
                }
                Failure::NotSent { .. } | Failure::Lost { .. } => {
                    let wait = self.lost(&mut lost, &failure).ok_or(failure)?;
                    sleep(wait).await;
                }
                Failure::Refused { .. } | Failure::Account { .. } => {
                    self.answered(endpoint);
                    return Err(failure);
                }
            }
        }
    }

    fn answered(&self, endpoint: Endpoint) {
        self.last_answer.set(self.began.elapsed());
        self.pace.borrow_mut().cooldowns.answered(endpoint);
    }

    fn throttled(&self, endpoint: Endpoint, note: RateLimitNote) {
        self.count(|counters| counters.throttled += 1);
        let now = self.began.elapsed();
        let Pace { budget, cooldowns, said, .. } = &mut *self.pace.borrow_mut();
        cooldowns.throttled(endpoint, note, budget, now);
        cooldowns.keeps_waiting(endpoint, now);
        if let Some(line) = said.held(endpoint, cooldowns.until(endpoint), now) {
            tracing::info!("{line}");
        }
    }

    /// An attempt came to nothing: how long to wait before the next one, if there is to be one.
    fn lost(&self, lost: &mut Lost, failure: &Failure) -> Option<Duration> {
        let now = self.began.elapsed();
        lost.attempts += 1;
        let since = *lost.since.get_or_insert(now);
        let before = lost.last.replace(now);
        // Where ImageKit answers others meanwhile, this is no outage.
        let is_alone = before.is_some_and(|before| self.last_answer.get() > before);
        let is_used_up = lost.attempts >= self.attempts.get();
        if is_used_up && (is_alone || !self.outlasts) {
            return None;
        }
        let left = (since + self.down_max).saturating_sub(now);
        let retry_after = failure.retry_after().unwrap_or_default();
        let wait = || self.comes_to_nothing(failure, lost.attempts).max(retry_after).min(left);
        (!left.is_zero()).then(wait)
    }

    /// How long to wait before it is read again.
    fn comes_to_nothing(&self, failure: &Failure, attempts: u32) -> Duration {
        let Pace { backoff, said, .. } = &mut *self.pace.borrow_mut();
        if let Some(line) = said.lost(self.began.elapsed()) {
            let until = if self.outlasts { " until --down-max is over" } else { "" };
            tracing::warn!("{line}, trying again{until}: {failure}");
        }
        backoff.wait(attempts)
    }

    /// Waits until one may go out.
    ///
    /// # Errors
    /// There have been nothing but 429s for too long.
    async fn turn(&self, endpoint: Endpoint) -> Result<(), Failure> {
        loop {
            let now = self.began.elapsed();
            let (given_up, gives_up_at) = {
                let Pace { cooldowns, .. } = &*self.pace.borrow();
                (cooldowns.given_up(now, self.down_max), cooldowns.gives_up_at(now, self.down_max))
            };
            if given_up.is_some() {
                return Err(Failure::Throttled(RateLimitNote::default()));
            }
            let Err(at) = self.take(endpoint) else {
                return Ok(());
            };
            sleep_until(self.began + gives_up_at.map_or(at, |end| end.min(at))).await;
        }
    }

    /// Takes one out of the budget, or says when to try again.
    fn take(&self, endpoint: Endpoint) -> Result<(), Duration> {
        let now = self.began.elapsed();
        let Pace { budget, cooldowns, .. } = &mut *self.pace.borrow_mut();
        match cooldowns.until(endpoint) {
            until if until > now => Err(until),
            _ => budget.take(now),
        }
    }
}

impl Said {
    /// An endpoint holds until then; gives what is to be said of it.
    fn held(&mut self, endpoint: Endpoint, until: Time, now: Time) -> Option<String> {
        if until < now + HELD_MIN {
            return None;
        }
        if self.held_until.is_some_and(|said| until < said + SAY_EVERY) {
            return None;
        }
        self.held_until = Some(until);
        let wait = until.saturating_sub(now).as_secs_f64();
        Some(format!("{} waits {wait:.1} s after a 429", endpoint.as_str()))
    }

    /// A read came to nothing, and is tried again.
    fn lost(&mut self, now: Time) -> Option<String> {
        self.lost += 1;
        if self.lost_at.is_some_and(|said| now < said + SAY_EVERY) {
            return None;
        }
        self.lost_at = Some(now);
        let reads = plural(std::mem::take(&mut self.lost), "read", "reads");
        Some(format!("{reads} came to nothing"))
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
        let (code, message) = (Code::Timeout, "no answer in time".into());
        Failure::Lost { code, message, http_status: None, request_id: None, retry_after: None }
    }

    /// Reads with these answers in turn; gives the last one, and when each read went out.
    async fn read(
        reads: &Reads,
        answers: Vec<Result<(), Failure>>,
    ) -> (Result<(), Failure>, Vec<Duration>) {
        let began = Instant::now();
        let (answers, sent) = (RefCell::new(VecDeque::from(answers)), RefCell::new(Vec::new()));
        let answer = reads.read(Endpoint::List, async || {
            sent.borrow_mut().push(began.elapsed());
            answers.borrow_mut().pop_front().expect("no more reads than answers")
        });
        (answer.await, sent.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn reads_keep_to_the_rate() {
        let reads = reads(2.0, 1);
        let began = Instant::now();
        for _ in 0..5 {
            read(&reads, vec![Ok(())]).await.0.expect("each is answered");
        }
        let took = began.elapsed().as_millis();
        assert!((2000..2010).contains(&took), "{took} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_is_waited_for_and_uses_up_no_attempt() {
        let reset = Some(Duration::from_secs(90));
        let throttled = || Err(Failure::Throttled(RateLimitNote { reset, rate: None }));
        let answers = vec![throttled(), throttled(), Ok(())];
        let reads = reads(100.0, 1);
        let (answer, sent) = read(&reads, answers).await;
        let Counters { read, throttled, retried, .. } = reads.counters();
        assert_eq!((read, throttled, retried), (3, 2, 0));
        assert_eq!(answer, Ok(()));
        assert!(sent[1] >= sent[0] + Duration::from_secs(90), "{sent:?}");
        assert!(sent[2] >= sent[1] + Duration::from_secs(90), "{sent:?}");
    }

    /// Reads for ever what is throttled, each time for so long; gives the answer and when it came.
    async fn read_throttled(reset: Duration) -> (Result<(), Failure>, Duration) {
        let began = Instant::now();
        let note = RateLimitNote { reset: Some(reset), rate: None };
        let reads = reads(100.0, 1);
        let answer = reads.read(Endpoint::List, async || Err(Failure::Throttled(note)));
        (answer.await, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn endless_429s_end_by_down_max_from_the_end_of_the_first_stated_wait_on() {
        let down_max = Execution::default().halts.down_max;
        for reset in [1, 90, 3600].map(Duration::from_secs) {
            let (answer, at) = read_throttled(reset).await;
            assert!(matches!(answer, Err(Failure::Throttled(_))), "{answer:?}");
            let end = reset + down_max;
            assert!((end..end + reset.min(down_max)).contains(&at), "{reset:?}: {at:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reads_that_are_under_way_at_once_share_the_rate() {
        let reads = reads(2.0, 1);
        let began = Instant::now();
        let several = (0..5).map(|_| reads.read(Endpoint::List, async || Ok(())));
        let read = futures_util::future::try_join_all(several).await;
        let took = began.elapsed().as_millis();
        assert_eq!((read.map(|read| read.len()), reads.sent()), (Ok(5), 5));
        assert!((2000..2010).contains(&took), "{took} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn within_a_run_what_was_lost_is_read_again_as_often_as_allowed() {
        let often = Reads::within_run(&settings(100.0, 3));
        let (answer, sent) = read(&often, vec![Err(lost()), Err(lost()), Ok(())]).await;
        assert_eq!((often.counters().read, often.counters().retried), (3, 2));
        assert_eq!((answer, sent.len()), (Ok(()), 3));
        let twice = Reads::within_run(&settings(100.0, 2));
        let (answer, sent) = read(&twice, vec![Err(lost()), Err(lost())]).await;
        assert_eq!((answer, sent.len()), (Err(lost()), 2));
    }

    /// Reads for ever what is lost until `back`; gives the answer and when it came.
    async fn read_until(reads: &Reads, back: Duration) -> (Result<(), Failure>, Duration) {
        let began = Instant::now();
        let answer =
            reads.read(
                Endpoint::List,
                async || {
                    if began.elapsed() < back { Err(lost()) } else { Ok(()) }
                },
            );
        (answer.await, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn before_a_run_an_outage_is_waited_out_for_as_long_as_down_max_says() {
        let down_max = Execution::default().halts.down_max;
        let (answer, at) = read_until(&reads(100.0, 2), down_max.mul_f64(0.99)).await;
        assert!(answer.is_ok() && at <= down_max, "{answer:?} at {at:?}");
        let (answer, at) = read_until(&reads(100.0, 2), Duration::from_hours(9)).await;
        assert_eq!((answer, at), (Err(lost()), down_max));
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_alone_comes_to_nothing_is_no_outage() {
        let reads = reads(100.0, 3);
        let others = async {
            for _ in 0..20 {
                sleep(Duration::from_secs(1)).await;
                read(&reads, vec![Ok(())]).await.0.expect("it is answered");
            }
        };
        let alone = read_until(&reads, Duration::from_hours(9));
        let ((answer, at), ()) = tokio::join!(alone, others);
        assert!(answer.is_err() && at < Duration::from_secs(30), "{answer:?} at {at:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_is_repeated_no_sooner_than_an_answer_said() {
        let (code, message) = (Code::Server, "try again".into());
        let retry_after = Some(Duration::from_secs(77));
        let http_status = Some(503);
        let unavailable =
            Failure::Lost { code, message, http_status, request_id: None, retry_after };
        let (answer, sent) = read(&reads(100.0, 3), vec![Err(unavailable), Ok(())]).await;
        assert!(answer.is_ok() && sent[1] >= sent[0] + Duration::from_secs(77), "{sent:?}");
    }

    #[test]
    fn of_reads_that_come_to_nothing_a_line_is_said_now_and_then() {
        let mut said = Said::default();
        let lines = (0..25).filter_map(|second| said.lost(Duration::from_secs(second)));
        let lines: Vec<String> = lines.collect();
        assert_eq!(
            lines,
            ["1 read came to nothing", "10 reads came to nothing", "10 reads came to nothing"]
        );
    }

    #[test]
    fn a_hold_is_said_once_and_a_longer_one_at_any_time() {
        let mut said = Said::default();
        let mut held = |now, until| {
            let (now, until) = (Duration::from_secs(now), Duration::from_secs(until));
            said.held(Endpoint::List, until, now)
        };
        assert_eq!(held(5, 5), None);
        assert_eq!(held(5, 6).as_deref(), Some("GET files waits 1.0 s after a 429"));
        assert_eq!(held(5, 6), None);
        assert_eq!(held(7, 8), None);
        assert_eq!(held(9, 99).as_deref(), Some("GET files waits 90.0 s after a 429"));
        assert_eq!(held(10, 99), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_not_read_again() {
        let refused = || Failure::Account { message: "expired".into() };
        let (answer, sent) = read(&reads(100.0, 9), vec![Err(refused())]).await;
        assert_eq!((answer, sent.len()), (Err(refused()), 1));
    }
}
