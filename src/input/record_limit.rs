//! A reader that fails if a record exceeds [`RECORD_BYTES_MAX`], because an unclosed quote turns
//! the rest of the file into one record.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

use super::RECORD_BYTES_MAX;

/// Bytes read since the last complete record; shared by [`RecordLimit`] and the parser.
#[derive(Debug, Clone, Default)]
pub(super) struct SinceRecord(Rc<Cell<u64>>);

impl SinceRecord {
    pub(super) fn record_read(&self) {
        self.0.set(0);
    }

    pub(super) fn is_exceeded(&self) -> bool {
        self.0.get() > RECORD_BYTES_MAX
    }
}

/// The limiting reader.
#[derive(Debug)]
pub(super) struct RecordLimit<R> {
    inner: R,
    since: SinceRecord,
}

impl<R> RecordLimit<R> {
    pub(super) fn new(inner: R) -> (Self, SinceRecord) {
        let since = SinceRecord::default();
        (Self { inner, since: since.clone() }, since)
    }
}

impl<R: Read> Read for RecordLimit<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.since.is_exceeded() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "record too long"));
        }
        let read = self.inner.read(buffer)?;
        self.since.0.set(self.since.0.get() + read as u64);
        Ok(read)
    }
}

impl<R: Seek> Seek for RecordLimit<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.since.record_read();
        self.inner.seek(to)
    }
}
