//! Another user of the same account.

use std::time::Duration;

/// How many requests are made up for after a long silence: more would change nothing but the time
/// that it takes.
const BEHIND_MAX: u64 = 100_000;

/// Has something to send every so often, is refused like everybody, and tries again at the very
/// moment it was told, so that it gets what it asks for. It is a function of time: its requests are
/// made up for whenever somebody looks.
#[derive(Debug, Clone)]
pub(crate) struct BackgroundLoad {
    start_ns: u64,
    every_ns: u64,
    /// How many requests have gone through.
    passed: u64,
    /// When it sends the next one: when that is due, or when it may at last.
    pub(crate) sends_ns: u64,
}

impl BackgroundLoad {
    /// One who uses this share of a limit that allows a request every `cost_ns`; nobody, if there is
    /// no share or no limit.
    ///
    /// # Errors
    /// A share that is none cannot be used.
    pub(crate) fn new(
        share: f64,
        cost_ns: Option<u64>,
        start_ns: u64,
    ) -> Result<Option<Self>, String> {
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("a neighbour cannot use {share} of a limit"));
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

    /// Leaves out what it would have had to send long ago.
    pub(crate) fn forget_the_oldest(&mut self, now_ns: u64) {
        let due = now_ns.saturating_sub(self.start_ns) / self.every_ns;
        self.passed = self.passed.max(due.saturating_sub(BEHIND_MAX));
        self.sends_ns = self.sends_ns.max(self.due_ns());
    }

    /// Its request went through.
    pub(crate) fn passed(&mut self) {
        self.passed += 1;
        self.sends_ns = self.sends_ns.max(self.due_ns());
    }

    /// Its request was told to wait so long.
    pub(crate) fn refused(&mut self, wait_ns: u64) {
        self.sends_ns += wait_ns;
    }

    /// When the next request is due.
    fn due_ns(&self) -> u64 {
        let since_start_ns = self.every_ns.saturating_mul(self.passed + 1);
        self.start_ns.saturating_add(since_start_ns)
    }
}
