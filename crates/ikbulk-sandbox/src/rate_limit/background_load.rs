//! Simulates another client of the same account.

use std::time::Duration;

/// Maximum number of overdue requests to simulate. More would not change the limits' state.
const OVERDUE_MAX: u64 = 100_000;

/// A client that sends requests at a constant rate and, when throttled, retries exactly after the
/// announced wait. A pure function of time: its requests are simulated when a real one arrives.
#[derive(Debug, Clone)]
pub(crate) struct BackgroundLoad {
    start_ns: u64,
    every_ns: u64,
    /// Number of requests that passed the limits.
    passed: u64,
    /// Time of the next request: when it is due, or when a retry is allowed.
    pub(crate) sends_ns: u64,
}

impl BackgroundLoad {
    /// Uses this share of a limit that allows one request per `cost_ns`; `None` without a share or a
    /// limit.
    ///
    /// # Errors
    /// The share is not between 0 and 1.
    pub(crate) fn new(
        share: f64,
        cost_ns: Option<u64>,
        start_ns: u64,
    ) -> Result<Option<Self>, String> {
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("the background load must be between 0 and 1, not {share}"));
        }
        let every = |cost_ns| {
            let seconds = Duration::from_nanos(cost_ns).as_secs_f64() / share;
            let every = Duration::try_from_secs_f64(seconds).ok()?;
            u64::try_from(every.as_nanos()).ok()
        };
        Ok(cost_ns.and_then(every).map(|every_ns| {
            let sends_ns = start_ns.saturating_add(every_ns);
            Self { start_ns, every_ns, passed: 0, sends_ns }
        }))
    }

    /// Drops all but the newest overdue requests.
    pub(crate) fn drop_oldest(&mut self, now_ns: u64) {
        let due = now_ns.saturating_sub(self.start_ns) / self.every_ns;
        self.passed = self.passed.max(due.saturating_sub(OVERDUE_MAX));
        self.sends_ns = self.sends_ns.max(self.due_ns());
    }

    /// The request passed the limits.
    pub(crate) fn passed(&mut self) {
        self.passed += 1;
        self.sends_ns = self.sends_ns.max(self.due_ns());
    }

    /// The request was throttled, and is retried after the wait.
    pub(crate) fn throttled(&mut self, wait_ns: u64) {
        self.sends_ns += wait_ns;
    }

    fn due_ns(&self) -> u64 {
        let since_start_ns = self.every_ns.saturating_mul(self.passed + 1);
        self.start_ns.saturating_add(since_start_ns)
    }
}
