//! Rate limit state of an account, in a file shared by all processes on this machine, so that a new
//! process does not start with a burst that another process has just used.
//!
//! The file holds governor's theoretical arrival time (GCRA), one for writes and one for reads, in
//! nanoseconds of the boot clock, which all processes share and which also counts while the machine
//! sleeps. Each request reads and updates the file under a lock. Nothing is synced: the file is
//! meaningless after a reboot, and until then the operating system keeps the data.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;
use std::time::Duration;

use governor::nanos::Nanos;

use super::{AccountId, StateDir, StateDirError};
use crate::request::BudgetKind;
use crate::system::{BootId, boot_time};

const DIRECTORY: &str = "rates";
/// File layout: the boot id, then one time per budget.
const HEADER_BYTES: usize = 16;
const TIME_BYTES: usize = 8;
const FILE_BYTES: usize = HEADER_BYTES + 2 * TIME_BYTES;

/// The shared state of an account's rate limits.
#[derive(Debug)]
pub(crate) struct RateFile {
    file: File,
    boot: BootId,
    /// The times last read or written, in case the file becomes unusable.
    last: Mutex<[u64; 2]>,
}

impl RateFile {
    /// Opens or creates the file of an account.
    ///
    /// # Errors
    /// The file cannot be opened, or its directory cannot be created.
    pub(crate) fn of_account(state: &StateDir, account: AccountId) -> Result<Self, StateDirError> {
        let file = state.subdir(DIRECTORY)?.open_file(&account.0.to_string())?;
        Ok(Self::new(file))
    }

    /// Uses this file, which other processes may have open too.
    #[must_use]
    pub(crate) fn new(file: File) -> Self {
        Self { file, boot: BootId::current(), last: Mutex::default() }
    }

    /// Current time of the boot clock.
    #[must_use]
    pub(crate) fn now() -> Duration {
        boot_time()
    }

    /// Updates the time of a budget under a lock: `decide` gets the current time and returns the new
    /// one. The current time is `None` for a budget that was never used, and the maximum if it is
    /// from an earlier boot: use before the restart is unknown, so no burst is available.
    ///
    /// # Errors
    /// Those of `decide`. If the file cannot be used, the state is kept in this process only.
    pub(crate) fn measure<T, E>(
        &self,
        budget: BudgetKind,
        decide: impl Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    ) -> Result<T, E> {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let locked = self.file.lock();
        let times = locked.and_then(|()| self.load());
        if let Err(error) = &times {
            tracing::debug!("cannot read the shared rate limits: {error}");
        }
        let mut times = times.unwrap_or(*last);
        let slot = &mut times[budget as usize];
        let decided = decide(Some(*slot).filter(|time| *time > 0).map(Nanos::new));
        let decided = decided.map(|(decision, next)| {
            *slot = next.as_u64();
            decision
        });
        if decided.is_ok()
            && let Err(error) = self.store(times)
        {
            tracing::debug!("cannot write the shared rate limits: {error}");
        }
        *last = times;
        // An error can be ignored: closing the file releases the lock too.
        drop(self.file.unlock());
        decided
    }

    fn load(&self) -> io::Result<[u64; 2]> {
        let mut bytes = [0; FILE_BYTES];
        match self.file.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok([0; 2]),
            Err(error) => return Err(error),
        }
        let (boot, times) = bytes.split_at(HEADER_BYTES);
        if boot != self.boot.as_bytes() {
            return Ok([u64::MAX; 2]);
        }
        let time = |index: usize| {
            let bytes = times.get(index * TIME_BYTES..(index + 1) * TIME_BYTES);
            bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
        };
        Ok([time(0), time(1)])
    }

    fn store(&self, times: [u64; 2]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(FILE_BYTES);
        bytes.extend_from_slice(self.boot.as_bytes());
        for time in times {
            bytes.extend_from_slice(&time.to_le_bytes());
        }
        self.file.write_all_at(&bytes, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(rates: &RateFile, budget: BudgetKind, next: u64) -> Option<u64> {
        let seen: Result<_, ()> =
            rates.measure(budget, |time| Ok((time.map(Nanos::as_u64), Nanos::new(next))));
        seen.unwrap()
    }

    fn open(path: &std::path::Path) -> RateFile {
        let mut options = std::fs::OpenOptions::new();
        RateFile::new(
            options.read(true).write(true).create(true).truncate(false).open(path).unwrap(),
        )
    }

    #[test]
    fn processes_share_times_of_each_budget() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("1");
        let (one, other) = (open(&path), open(&path));
        assert_eq!(take(&one, BudgetKind::Writes, 7), None);
        assert_eq!(take(&other, BudgetKind::Writes, 9), Some(7));
        assert_eq!(take(&one, BudgetKind::Reads, 3), None);
        assert_eq!(take(&other, BudgetKind::Reads, 4), Some(3));
        assert_eq!(take(&one, BudgetKind::Writes, 9), Some(9));
    }

    #[test]
    fn refusal_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let rates = open(&directory.path().join("1"));
        take(&rates, BudgetKind::Writes, 5);
        let refused = rates.measure(BudgetKind::Writes, |_| Err::<((), Nanos), _>("no"));
        assert_eq!(refused, Err("no"));
        assert_eq!(take(&rates, BudgetKind::Writes, 5), Some(5));
    }

    #[test]
    fn times_of_an_earlier_boot_leave_no_burst() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("1");
        take(&open(&path), BudgetKind::Writes, 5);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[0] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(take(&open(&path), BudgetKind::Writes, 5), Some(u64::MAX));
    }
}
