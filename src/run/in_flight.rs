//! The file `requests_in_flight` of the run directory: the requests in flight, so that after a crash the next
//! run knows on which files a request may still take effect.
//!
//! Each request occupies a slot of the file while it is in flight. Nothing is synced: if the process
//! dies, the operating system still writes the data; if the machine dies, so do its connections.
//! Slots are reused without clearing them first, which halves the writes at high rates.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::time::Duration;

use tokio::time::Instant;

use super::RunDir;
use crate::execute::{NotSent, Transport};
use crate::imagekit::{Accepted, Failure, FileState, SendResult};
use crate::ledger::{Counters, Recorded};
use crate::request::{BULK_FILES_MAX, Idempotent, Sendable};
use crate::row::FileId;

const NAME: &str = "requests_in_flight";
/// Fits the lines `<row> <file id>` of the largest bulk call, and the empty line that ends the slot.
const SLOT_BYTES: usize = 16 << 10;
/// Room for the slot of a usual request, which names one file.
const LINE_BYTES: usize = 64;
/// Minimum time that the slot of a lost response is kept. The ledger records a loss within 0.2 s; the
/// rest allows for a stalling disk.
const LOST_SLOT_KEPT: Duration = Duration::from_mins(1);
const _: () = assert!(BULK_FILES_MAX * (FileId::LENGTH_MAX + 22) < SLOT_BYTES);

/// A file on which a request may still take effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    /// Row number of the request in the sheet of its run.
    pub row: u64,
    /// Id of the file.
    pub file: FileId,
}

/// A transport that records the requests in flight.
#[derive(Debug)]
pub(crate) struct InFlight<'t, T> {
    transport: &'t T,
    slots: RefCell<Slots>,
}

#[derive(Debug)]
struct Slots {
    file: File,
    /// Number of slots in the file.
    count: u64,
    /// Number of requests in flight.
    in_use: usize,
    /// Slots whose request got a response, not cleared yet. Reused first.
    completed: Vec<u64>,
    /// Cleared slots.
    free: Vec<u64>,
    /// Slots whose response was lost, with the time of the loss, oldest first. They keep their content.
    lost: VecDeque<(Instant, u64)>,
}

impl<'t, T> InFlight<'t, T> {
    /// Creates or truncates the file for a new session. Read [`pending`] first: the records of the
    /// earlier session are lost.
    ///
    /// # Errors
    /// The file cannot be created.
    pub(crate) fn new(run: &RunDir, transport: &'t T) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(run.path().join(NAME))?;
        let (completed, free, lost) = (Vec::new(), Vec::new(), VecDeque::new());
        let slots = RefCell::new(Slots { file, count: 0, in_use: 0, completed, free, lost });
        Ok(Self { transport, slots })
    }

    /// Clears the file, except for requests still in flight. Call it when the ledger has recorded
    /// every response and every lost response.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn close(self) -> io::Result<()> {
        let mut slots = self.slots.into_inner();
        if slots.in_use == 0 { slots.file.set_len(0) } else { slots.clear_completed() }
    }

    /// Runs `send` with `request`, the text of its slot, recorded; `None` records nothing.
    async fn track<R>(
        &self,
        request: Option<String>,
        is_lost: impl FnOnce(&R) -> bool,
        send: impl Future<Output = R>,
    ) -> R {
        let slot = request.map(|text| self.slots.borrow_mut().occupy(&text));
        let response = send.await;
        if let Some(slot) = slot {
            self.slots.borrow_mut().release(slot, is_lost(&response));
        }
        response
    }
}

impl Slots {
    fn occupy(&mut self, text: &str) -> u64 {
        let slot = self.completed.pop().or_else(|| self.free.pop()).or_else(|| self.pop_recorded());
        let slot = slot.unwrap_or_else(|| {
            self.count += 1;
            self.count - 1
        });
        self.in_use += 1;
        self.write(slot, text);
        slot
    }

    fn release(&mut self, slot: u64, is_lost: bool) {
        self.in_use -= 1;
        if is_lost {
            self.lost.push_back((Instant::now(), slot));
        } else {
            self.completed.push(slot);
        }
        if self.in_use == 0 {
            drop(self.clear_completed());
        }
    }

    /// Takes the slot of the oldest lost response, if the ledger has recorded the loss by now.
    fn pop_recorded(&mut self) -> Option<u64> {
        let (lost_at, _) = self.lost.front()?;
        if lost_at.elapsed() < LOST_SLOT_KEPT {
            return None;
        }
        self.lost.pop_front().map(|(_, slot)| slot)
    }

    fn clear_completed(&mut self) -> io::Result<()> {
        while let Some(slot) = self.completed.pop() {
            self.file.write_all_at(b"\n", slot * SLOT_BYTES as u64)?;
            self.free.push(slot);
        }
        Ok(())
    }

    /// Ignores write errors: this run does not need the file, only the next one after a crash. If the
    /// disk fails, the ledger on the same disk aborts the run anyway.
    fn write(&self, slot: u64, text: &str) {
        if let Err(error) = self.file.write_all_at(text.as_bytes(), slot * SLOT_BYTES as u64) {
            tracing::debug!("cannot record the requests in flight: {error}");
        }
    }
}

/// The text of a request's slot: its files, each with its first row, and an empty line. `None` for a
/// read.
fn slot_text(request: &impl Sendable) -> Option<String> {
    if !request.call().is_write() {
        return None;
    }
    let mut text = String::with_capacity(LINE_BYTES);
    let mut last = None;
    for (file, step) in request.files().iter().zip(request.steps()) {
        if last != Some(file) && text.len() < SLOT_BYTES - FileId::LENGTH_MAX - 22 {
            text.push_str(&step.row.to_string());
            text.push(' ');
            text.push_str(file.as_str());
            text.push('\n');
        }
        last = Some(file);
    }
    text.push('\n');
    Some(text)
}

impl<T: Transport> Transport for InFlight<'_, T> {
    async fn check(&self, request: &impl Sendable) -> Result<(), NotSent> {
        self.transport.check(request).await
    }

    fn own_reads(&self) -> Counters {
        self.transport.own_reads()
    }

    async fn send(&self, request: &Idempotent) -> Result<Accepted, Failure> {
        let is_lost = |response: &Result<_, _>| matches!(response, Err(Failure::Lost { .. }));
        self.track(slot_text(request), is_lost, self.transport.send(request)).await
    }

    async fn send_at_most_once(&self, recorded: Recorded) -> SendResult {
        let request = slot_text(recorded.request());
        let is_lost = |fate: &SendResult| matches!(fate, SendResult::Lost(..));
        self.track(request, is_lost, self.transport.send_at_most_once(recorded)).await
    }

    async fn file_state(&self, file: &FileId) -> Result<FileState, Failure> {
        self.transport.file_state(file).await
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.transport.probe().await
    }
}

/// The requests that were in flight when the last session of a run ended.
///
/// # Errors
/// The file exists and cannot be read.
pub(crate) fn pending(run: &RunDir) -> io::Result<Vec<Pending>> {
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

    /// Rows and file ids of the pending requests, sorted.
    fn recorded(run: &RunDir) -> Vec<(u64, String)> {
        let recorded = pending(run).unwrap().into_iter();
        let mut recorded: Vec<_> =
            recorded.map(|Pending { row, file }| (row, file.as_str().to_owned())).collect();
        recorded.sort();
        recorded
    }

    #[test]
    fn only_requests_in_flight_and_lost_ones_stay_recorded() {
        let (_directory, run, in_flight) = slots();
        let mut slots = in_flight.slots.borrow_mut();
        let [a, b, c] = ["2 a\n3 b\n\n", "4 c\n\n", "5 d\n\n"].map(|text| slots.occupy(text));
        slots.release(b, true);
        let all = [(2, "a"), (3, "b"), (4, "c"), (5, "d")].map(|(row, id)| (row, id.to_owned()));
        assert_eq!(recorded(&run), all);
        slots.release(a, false);
        slots.release(c, false);
        assert_eq!(recorded(&run), [(4, "c".to_owned())]);
        drop(slots);
        in_flight.close().unwrap();
        assert_eq!(recorded(&run), []);
    }

    #[test]
    fn shorter_request_overwrites_longer_one_in_reused_slot() {
        let (_directory, run, in_flight) = slots();
        let mut slots = in_flight.slots.borrow_mut();
        let other = slots.occupy("9 z\n\n");
        let first = slots.occupy("2 a\n3 b\n4 c\n\n");
        slots.release(first, false);
        assert_eq!(slots.occupy("5 d\n\n"), first);
        assert_eq!(slots.count, 2);
        assert_eq!(recorded(&run), [(5, "d".to_owned()), (9, "z".to_owned())]);
        slots.release(other, false);
    }

    #[tokio::test(start_paused = true)]
    async fn slot_of_lost_response_is_kept_for_a_minute() {
        let (_directory, run, in_flight) = slots();
        let mut slots = in_flight.slots.into_inner();
        let lost = slots.occupy("2 a\n\n");
        slots.release(lost, true);
        let next = slots.occupy("3 b\n\n");
        assert_eq!(recorded(&run), [(2, "a".to_owned()), (3, "b".to_owned())]);
        tokio::time::advance(LOST_SLOT_KEPT).await;
        assert_eq!(slots.occupy("4 c\n\n"), lost);
        slots.release(next, false);
    }

    #[test]
    fn missing_file_means_nothing_in_flight() {
        let (_directory, run, _) = slots();
        std::fs::remove_file(run.path().join(NAME)).unwrap();
        assert_eq!(recorded(&run), []);
    }
}
