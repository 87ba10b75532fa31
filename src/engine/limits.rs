//! Limits of a session: rows, time, and whether to wait for other runs.

use std::future::{Future, pending};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::error::Error;
use crate::execute::Stop;

/// Limits of a session. The default has none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Maximum valid rows to send, as a pilot; a resumed run sends the rest.
    pub rows: Option<u64>,
    /// When to stop gracefully. Reading and waiting for locks count, too.
    pub deadline: Option<Instant>,
    /// How long to read files for final statuses after the last write; `None` if not at all.
    pub settle: Option<Duration>,
    /// Whether to wait for another run on the account.
    pub wait_lock: bool,
}

impl Limits {
    /// Resolves at the deadline.
    pub(super) async fn reached(self) -> Stop {
        match self.deadline {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
        Stop::Deadline
    }

    /// Runs `prepare`; fails if the deadline comes first.
    pub(super) async fn within<T>(
        self,
        prepare: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            prepared = prepare => prepared,
            _ = self.reached() => Err(Error::Deadline),
        }
    }
}
