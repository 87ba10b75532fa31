//! The requests in flight, in a file of the run directory, so that the next run knows after a crash
//! on which files a request may yet take effect.
//!
//! Each request has a slot of the file while it is in flight. Nothing is synced: when the process
//! dies, the system still writes what it was given; when the machine dies, so do its connections. A
//! slot is reused by the next request; at high rates, that spares clearing it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::time::Duration;

use tokio::time::Instant;

use super::RunDir;
use crate::execute::{NotSent, Transport};
use crate::imagekit::{Accepted, Failure, Fate, FileState};
use crate::ledger::{Counters, Recorded};
use crate::request::{BULK_FILES_MAX, Idempotent, Sendable};
use crate::row::FileId;

const NAME: &str = "requests_in_flight";
/// Room for the files of a bulk call, each with its row before it and a line end after it, and for
/// the line end that closes the list.
const SLOT_BYTES: usize = 16 << 10;
/// How long the entry of a lost request stays at least. The ledger holds a loss 0.2 s later; the rest
/// is for a disk that stalls.
const LOST_SLOT_KEPT: Duration = Duration::from_mins(1);
const _: () = assert!(BULK_FILES_MAX * (FileId::LENGTH_MAX + 22) < SLOT_BYTES);

/// A file on which a request may yet take effect, and the row of that request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The row in the sheet of its run.
    pub row: u64,
    /// The file.
    pub file: FileId,
}

/// A wire that writes down the requests in flight.
#[derive(Debug)]
pub struct InFlight<'w, W> {
    wire: &'w W,
    slots: RefCell<Slots>,
}

#[derive(Debug)]
struct Slots {
    file: File,
    /// How many slots the file has.
    count: u64,
    /// Slots of requests in flight.
    in_use: usize,
    /// Slots of requests that were answered, but not cleared yet. They are reused first.
    answered: Vec<u64>,
    /// Cleared slots.
    free: Vec<u64>,
    /// Slots of lost requests, which keep their entries, with the time of the loss, the oldest first.
    lost: VecDeque<(Instant, u64)>,
}

impl<'w, W> InFlight<'w, W> {
    /// Begins a new list for a session of a run. What an earlier session left is gone, so that
    /// [`pending`] is to be asked before.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn new(run: &RunDir, wire: &'w W) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(run.path().join(NAME))?;
        let (answered, free, lost) = (Vec::new(), Vec::new(), VecDeque::new());
        let slots = RefCell::new(Slots { file, count: 0, in_use: 0, answered, free, lost });
        Ok(Self { wire, slots })
    }

    /// Ends the list when the ledger holds every answer and every loss.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn close(self) -> io::Result<()> {
        let mut slots = self.slots.into_inner();
        if slots.in_use == 0 { slots.file.set_len(0) } else { slots.clear_answered() }
    }

    /// Sends a request while it has a slot.
    async fn track<A>(
        &self,
        request: Option<String>,
        is_lost: impl FnOnce(&A) -> bool,
        send: impl Future<Output = A>,
    ) -> A {
        let slot = request.map(|text| self.slots.borrow_mut().enter(&text));
        let answer = send.await;
        if let Some(slot) = slot {
            self.slots.borrow_mut().leave(slot, is_lost(&answer));
        }
        answer
    }
}

impl Slots {
    fn enter(&mut self, text: &str) -> u64 {
        let slot = self.answered.pop().or_else(|| self.free.pop()).or_else(|| self.pop_recorded());
        let slot = slot.unwrap_or_else(|| {
            self.count += 1;
            self.count - 1
        });
        self.in_use += 1;
        self.write(slot, text);
        slot
    }

    fn leave(&mut self, slot: u64, is_lost: bool) {
        self.in_use -= 1;
        if is_lost {
            self.lost.push_back((Instant::now(), slot));
        } else {
            self.answered.push(slot);
        }
        if self.in_use == 0 {
            drop(self.clear_answered());
        }
    }

    /// The slot of the oldest loss, if the ledger holds that loss by now.
    fn pop_recorded(&mut self) -> Option<u64> {
        let (lost_at, _) = self.lost.front()?;
        if lost_at.elapsed() < LOST_SLOT_KEPT {
            return None;
        }
        self.lost.pop_front().map(|(_, slot)| slot)
    }

    fn clear_answered(&mut self) -> io::Result<()> {
        while let Some(slot) = self.answered.pop() {
            self.file.write_all_at(b"\n", slot * SLOT_BYTES as u64)?;
            self.free.push(slot);
        }
        Ok(())
    }

    /// A file that cannot be written takes nothing away from this run; only the next one would know
    /// less after a crash, and the same disk holds the ledger, which does end the run.
    fn write(&self, slot: u64, text: &str) {
        if let Err(error) = self.file.write_all_at(text.as_bytes(), slot * SLOT_BYTES as u64) {
            tracing::debug!("cannot write down the requests in flight: {error}");
        }
    }
}

/// The files of a request, each with its first row, and an empty line behind them; `None` where it
/// changes nothing.
fn files_of(request: &impl Sendable) -> Option<String> {
    if !request.call().is_write() {
        return None;
    }
    let mut text = String::new();
    let mut last = None;
    for (file, step) in request.files().iter().zip(request.steps()) {
        if last != Some(file) && text.len() < SLOT_BYTES - FileId::LENGTH_MAX - 22 {
            text.push_str(&format!("{} {}\n", step.row, file.as_str()));
        }
        last = Some(file);
    }
    text.push('\n');
    Some(text)
}

impl<W: Transport> Transport for InFlight<'_, W> {
    async fn look(&self, request: &impl Sendable) -> Result<(), NotSent> {
        self.wire.look(request).await
    }

    fn own_reads(&self) -> Counters {
        self.wire.own_reads()
    }

    async fn send(&self, request: &Idempotent) -> Result<Accepted, Failure> {
        let is_lost = |answer: &Result<_, _>| matches!(answer, Err(Failure::Lost { .. }));
        self.track(files_of(request), is_lost, self.wire.send(request)).await
    }

    async fn send_at_most_once(&self, recorded: Recorded) -> Fate {
        let files = files_of(recorded.once());
        let is_lost = |fate: &Fate| matches!(fate, Fate::Lost(..));
        self.track(files, is_lost, self.wire.send_at_most_once(recorded)).await
    }

    async fn file_state(&self, file: &FileId) -> Result<FileState, Failure> {
        self.wire.file_state(file).await
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.wire.probe().await
    }
}

/// The files on which requests of a run may yet take effect, as its last session left it.
///
/// # Errors
/// The file is there and cannot be read.
pub fn pending(run: &RunDir) -> io::Result<Vec<Pending>> {
    let bytes = match std::fs::read(run.path().join(NAME)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Ok(bytes.chunks(SLOT_BYTES).flat_map(entries).collect())
}

fn entries(slot: &[u8]) -> Vec<Pending> {
    let lines = slot.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
    let entries = lines.map_while(|line| {
        let (row, file) = std::str::from_utf8(line).ok()?.split_once(' ')?;
        Some(Pending { row: row.parse().ok()?, file: FileId::new(file).ok()? })
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots() -> (tempfile::TempDir, RunDir, InFlight<'static, ()>) {
        let directory = tempfile::tempdir().unwrap();
        let run = RunDir::create_at(&directory.path().join("run")).unwrap();
        let in_flight = InFlight::new(&run, &()).unwrap();
        (directory, run, in_flight)
    }

    fn left(run: &RunDir) -> Vec<(u64, String)> {
        let left = pending(run).unwrap().into_iter();
        let mut left: Vec<_> =
            left.map(|Pending { row, file }| (row, file.as_str().to_owned())).collect();
        left.sort();
        left
    }

    #[test]
    fn only_requests_in_flight_and_lost_ones_are_left() {
        let (_directory, run, in_flight) = slots();
        let mut slots = in_flight.slots.borrow_mut();
        let [a, b, c] = ["2 a\n3 b\n\n", "4 c\n\n", "5 d\n\n"].map(|text| slots.enter(text));
        slots.leave(b, true);
        let all = [(2, "a"), (3, "b"), (4, "c"), (5, "d")].map(|(row, id)| (row, id.to_owned()));
        assert_eq!(left(&run), all);
        slots.leave(a, false);
        slots.leave(c, false);
        assert_eq!(left(&run), [(4, "c".to_owned())]);
        drop(slots);
        in_flight.close().unwrap();
        assert_eq!(left(&run), []);
    }

    #[test]
    fn slots_are_reused_and_a_shorter_list_hides_a_longer_one() {
        let (_directory, run, in_flight) = slots();
        let mut slots = in_flight.slots.borrow_mut();
        let other = slots.enter("9 z\n\n");
        let first = slots.enter("2 a\n3 b\n4 c\n\n");
        slots.leave(first, false);
        assert_eq!(slots.enter("5 d\n\n"), first);
        assert_eq!(slots.count, 2);
        assert_eq!(left(&run), [(5, "d".to_owned()), (9, "z".to_owned())]);
        slots.leave(other, false);
    }

    #[tokio::test(start_paused = true)]
    async fn lost_entry_outlives_later_requests_until_the_ledger_holds_it() {
        let (_directory, run, in_flight) = slots();
        let mut slots = in_flight.slots.borrow_mut();
        let lost = slots.enter("2 a\n\n");
        slots.leave(lost, true);
        let next = slots.enter("3 b\n\n");
        assert_eq!(left(&run), [(2, "a".to_owned()), (3, "b".to_owned())]);
        tokio::time::advance(LOST_SLOT_KEPT).await;
        assert_eq!(slots.enter("4 c\n\n"), lost);
        slots.leave(next, false);
    }

    #[test]
    fn no_file_means_nothing_in_flight() {
        let (_directory, run, _) = slots();
        std::fs::remove_file(run.path().join(NAME)).unwrap();
        assert_eq!(left(&run), []);
    }
}
