//! A file whose reader may read only so much from one cell to the next.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

/// What was read, and how much may be.
#[derive(Debug, Default)]
pub(super) struct Meter {
    left: Cell<u64>,
    is_exceeded: Cell<bool>,
    /// Offset of the last read.
    offset: Cell<u64>,
}

impl Meter {
    /// Allows a number of bytes from now on.
    pub(super) fn allow(&self, bytes: u64) {
        self.left.set(bytes);
    }

    pub(super) fn is_exceeded(&self) -> bool {
        self.is_exceeded.get()
    }

    /// Where the last read began.
    pub(super) fn offset(&self) -> u64 {
        self.offset.get()
    }
}

/// The file.
pub(super) struct Metered {
    file: File,
    position: u64,
    meter: Rc<Meter>,
}

impl Metered {
    pub(super) fn new(mut file: File, meter: Rc<Meter>) -> io::Result<Self> {
        file.rewind()?;
        Ok(Self { file, position: 0, meter })
    }
}

impl Read for Metered {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.meter.left.get() == 0 {
            self.meter.is_exceeded.set(true);
            return Err(io::Error::other("a cell is too long"));
        }
        let read = self.file.read(into)?;
        self.meter.offset.set(self.position);
        self.meter.left.set(self.meter.left.get().saturating_sub(read as u64));
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Metered {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = self.file.seek(to)?;
        Ok(self.position)
    }
}
