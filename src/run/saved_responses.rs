//! The file `responses.jsonl` of the run directory: every file object that ImageKit returned, for
//! programs that want more of it than the report has.
//!
//! Each response is one line, written at once when it arrives and before the ledger records its
//! outcome: after a crash the file has complete lines only, and what a resumed run sends again has
//! another response.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::RunDir;
use crate::execute::{NotSent, Transport};
use crate::imagekit::{Accepted, Echo, Failure, FileState, SendResult};
use crate::ledger::{Counters, Recorded};
use crate::request::{Call, Idempotent, Sendable, StepRef};
use crate::row::FileId;

const NAME: &str = "responses.jsonl";
/// How much of the file is read at once, to find its last line.
const CHUNK_BYTES: u64 = 64 << 10;

/// A transport that saves the file objects in responses.
#[derive(Debug)]
pub(crate) struct SavedResponses<'t, T> {
    transport: &'t T,
    /// `None` if the run does not save them.
    file: Option<ResponseFile>,
}

#[derive(Debug)]
struct ResponseFile {
    file: File,
    /// The first error; nothing is written after it.
    error: RefCell<Option<io::Error>>,
    failed: Notify,
}

/// A line of the file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'l> {
    /// The rows whose step the request completes.
    rows: Vec<u64>,
    step: &'static str,
    request_id: Option<&'l str>,
    /// Verbatim.
    file: &'l RawValue,
}

impl<'t, T> SavedResponses<'t, T> {
    /// Opens the file to continue it, if the run saves responses.
    ///
    /// # Errors
    /// The file cannot be created, or its last line not be read.
    pub(crate) fn open(run: &RunDir, transport: &'t T, is_saving: bool) -> io::Result<Self> {
        let file = is_saving.then(|| ResponseFile::open(run)).transpose()?;
        Ok(Self { transport, file })
    }

    /// Resolves when a response could not be saved.
    pub(crate) async fn failed(&self) {
        match &self.file {
            Some(file) => file.failed.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Syncs the file to disk, unless writing to it has failed before.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let file = self.file.as_ref().filter(|file| file.error.borrow().is_none());
        file.map_or(Ok(()), |file| file.file.sync_all())
    }

    fn save(&self, call: &Call, files: &[FileId], steps: &[StepRef], accepted: &Accepted) {
        if let Some(file) = &self.file
            && let Some(line) = line(call, files, steps, accepted)
        {
            file.append(&line);
        }
    }
}

impl ResponseFile {
    fn open(run: &RunDir) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(run.path().join(NAME))?;
        remove_partial_line(&mut file)?;
        Ok(Self { file, error: RefCell::new(None), failed: Notify::new() })
    }

    /// Appends a line in one write, which a kill does not split.
    fn append(&self, line: &[u8]) {
        let mut error = self.error.borrow_mut();
        if error.is_some() {
            return;
        }
        if let Err(cause) = (&self.file).write_all(line) {
            tracing::error!("cannot write {NAME}: {cause}");
            *error = Some(cause);
            self.failed.notify_one();
        }
    }
}

/// Removes what follows the last line end: a disk that was full can leave a part of a line.
fn remove_partial_line(file: &mut File) -> io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(CHUNK_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut chunk = Vec::new();
        (&mut *file).take(end - start).read_to_end(&mut chunk)?;
        if let Some(last) = memchr::memrchr(b'\n', &chunk) {
            end = start + last as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length { file.set_len(end) } else { Ok(()) }
}

/// The line of a response; `None` if it has no file object.
fn line(call: &Call, files: &[FileId], steps: &[StepRef], accepted: &Accepted) -> Option<Vec<u8>> {
    if !matches!(call, Call::Details(_) | Call::Publish(_) | Call::ReadBack(_)) {
        return None;
    }
    let (file, step) = (files.first()?, steps.first()?);
    Echo::read(&accepted.body, file).ok()?;
    let line = Line {
        rows: steps.iter().map(|step| step.row).collect(),
        step: step.kind.as_str(),
        request_id: accepted.request_id.as_deref(),
        file: serde_json::from_slice(&accepted.body).ok()?,
    };
    let mut line = serde_json::to_vec(&line).ok()?;
    // In JSON, a line end can only stand between two values.
    line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    line.push(b'\n');
    Some(line)
}

impl<T: Transport> Transport for SavedResponses<'_, T> {
    async fn check(&self, request: &impl Sendable) -> Result<(), NotSent> {
        self.transport.check(request).await
    }

    fn own_reads(&self) -> Counters {
        self.transport.own_reads()
    }

    async fn send(&self, request: &Idempotent) -> Result<Accepted, Failure> {
        let response = self.transport.send(request).await;
        if let Ok(accepted) = &response {
            self.save(request.call(), request.files(), request.steps(), accepted);
        }
        response
    }

    async fn send_at_most_once(&self, recorded: Recorded) -> SendResult {
        let result = self.transport.send_at_most_once(recorded).await;
        if let SendResult::Accepted(request, accepted) = &result {
            self.save(request.call(), request.files(), request.steps(), accepted);
        }
        result
    }

    async fn file_state(&self, file: &FileId) -> Result<FileState, Failure> {
        self.transport.file_state(file).await
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.transport.probe().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_last_line_is_removed() {
        let long = "x".repeat(200_000);
        let cases = [
            ("", ""),
            ("{}\n", "{}\n"),
            ("{}\n{\"ro", "{}\n"),
            ("{\"ro", ""),
            (&format!("{{}}\n{long}"), "{}\n"),
            (&format!("{long}\n{{"), &format!("{long}\n")),
        ];
        for (before, after) in cases {
            let mut file = tempfile::tempfile().expect("a file can be made");
            file.write_all(before.as_bytes()).expect("it can be written");
            remove_partial_line(&mut file).expect("it can be read");
            let mut text = String::new();
            file.rewind().and_then(|()| file.read_to_string(&mut text)).expect("it can be read");
            assert_eq!(text, after);
        }
    }
}
