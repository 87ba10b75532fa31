//! Reads outside of a run: within the account's budget, tried again where that may help.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::holds::Holds;
use super::{Backoff, Budget, Time};
use crate::account::RateFile;
use crate::imagekit::Failure;
use crate::ledger::Counters;
use crate::request::{BudgetKind, Endpoint};
use crate::settings::Execution;
use crate::words::counted;

/// How often it is said that reads do not get through.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// A shorter wait than this is not spoken of.
const HELD_MIN: Duration = Duration::from_secs(1);

/// What reads wait for. Several may wait at once.
#[derive(Debug)]
pub struct Reads {
    pace: RefCell<Pace>,
    attempts: NonZeroU32,
    at_once: NonZeroUsize,
    began: Instant,
    counters: Cell<Counters>,
}

/// What several reads that are under way at once share.
#[derive(Debug)]
struct Pace {
    budget: Budget,
    holds: Holds,
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
    /// Reads with a budget of their own and all of its burst.
    #[must_use]
    pub fn new(settings: &Execution) -> Self {
        Self::within(Budget::new(settings.reads), settings)
    }

    /// Reads within the budget that all processes on this machine share.
    #[must_use]
    pub fn sharing(settings: &Execution, rates: &Arc<RateFile>) -> Self {
        Self::within(Budget::shared(settings.reads, rates, BudgetKind::Reads), settings)
    }

    fn within(budget: Budget, settings: &Execution) -> Self {
        let pace = Pace {
            budget,
            holds: Holds::default(),
            backoff: Backoff::new(settings.seed),
            said: Said::default(),
        };
        Self {
            pace: RefCell::new(pace),
            attempts: settings.attempts,
            at_once: Execution::derived_concurrency(settings.reads),
            began: Instant::now(),
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
    /// Reading again would not help, or the attempts are used up.
    pub async fn read<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        endpoint: Endpoint,
        mut read: impl FnMut() -> F,
    ) -> Result<T, Failure> {
        let mut attempts = 0;
        loop {
            self.turn(endpoint).await;
            self.count(|counters| {
                counters.read += 1;
                counters.retried += u64::from(attempts > 0);
            });
            let failure = match read().await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            tracing::debug!("{failure}");
            match failure {
                Failure::Throttled(note) => {
                    self.count(|counters| counters.throttled += 1);
                    let now = self.began.elapsed();
                    let Pace { budget, holds, said, .. } = &mut *self.pace.borrow_mut();
                    holds.throttled(endpoint, note, budget, now);
                    if let Some(line) = said.held(endpoint, holds.until(endpoint), now) {
                        tracing::info!("{line}");
                    }
                }
                Failure::NotSent { .. } | Failure::Lost { .. } => {
                    attempts += 1;
                    if attempts >= self.attempts.get() {
                        return Err(failure);
                    }
                    let wait = self.comes_to_nothing(&failure, attempts);
                    sleep(wait).await;
                }
                Failure::Refused { .. } | Failure::Account { .. } => return Err(failure),
            }
        }
    }

    /// How long to wait before it is read again.
    fn comes_to_nothing(&self, failure: &Failure, attempts: u32) -> Duration {
        let Pace { backoff, said, .. } = &mut *self.pace.borrow_mut();
        if let Some(line) = said.lost(failure, self.began.elapsed()) {
            tracing::warn!("{line}");
        }
        backoff.wait(attempts)
    }

    /// Waits until one may go out.
    async fn turn(&self, endpoint: Endpoint) {
        while let Err(at) = self.take(endpoint) {
            sleep_until(self.began + at).await;
        }
    }

    /// Takes one out of the budget, or says when to try again.
    fn take(&self, endpoint: Endpoint) -> Result<(), Duration> {
        let now = self.began.elapsed();
        let Pace { budget, holds, .. } = &mut *self.pace.borrow_mut();
        match holds.until(endpoint) {
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
    fn lost(&mut self, failure: &Failure, now: Time) -> Option<String> {
        self.lost += 1;
        if self.lost_at.is_some_and(|said| now < said + SAY_EVERY) {
            return None;
        }
        self.lost_at = Some(now);
        let reads = counted(std::mem::take(&mut self.lost), "read", "reads");
        Some(format!("{reads} came to nothing, trying again: {failure}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::imagekit::RateLimitNote;
    use crate::outcome::Code;
    use crate::settings::{Rate, RateLimit};

    fn reads(rate: f64, attempts: u32) -> Reads {
        let mut settings = Execution::default();
        let burst = NonZeroU32::MIN;
        settings.reads = RateLimit { rate: Rate::PerSecond(rate), burst, leave: 0.0 };
        settings.attempts = NonZeroU32::new(attempts).expect("not 0");
        Reads::new(&settings)
    }

    fn lost() -> Failure {
        let (code, message) = (Code::Timeout, "no answer in time".into());
        Failure::Lost { code, message, http_status: None, request_id: None }
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
    async fn what_was_lost_is_read_again_as_often_as_allowed() {
        let often = reads(100.0, 3);
        let (answer, sent) = read(&often, vec![Err(lost()), Err(lost()), Ok(())]).await;
        assert_eq!((often.counters().read, often.counters().retried), (3, 2));
        assert_eq!((answer, sent.len()), (Ok(()), 3));
        let (answer, sent) = read(&reads(100.0, 2), vec![Err(lost()), Err(lost())]).await;
        assert_eq!((answer, sent.len()), (Err(lost()), 2));
    }

    #[test]
    fn of_reads_that_come_to_nothing_a_line_is_said_now_and_then() {
        let (mut said, failure) = (Said::default(), lost());
        let lines = (0..25).filter_map(|second| said.lost(&failure, Duration::from_secs(second)));
        let lines: Vec<String> = lines.collect();
        assert_eq!(
            lines,
            [
                "1 read came to nothing, trying again: no usable answer: no answer in time",
                "10 reads came to nothing, trying again: no usable answer: no answer in time",
                "10 reads came to nothing, trying again: no usable answer: no answer in time",
            ]
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
