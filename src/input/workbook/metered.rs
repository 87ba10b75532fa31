//! A file of XML whose reader may read only so much text from one cell to the next.
//!
//! Tags do not count, however many there are: spreadsheet programs write hundreds of thousands of
//! formatted rows without a cell. Only a single tag is limited, because it is held as a whole.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

use memchr::{memchr, memrchr2};

/// What was read, and how much may be.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Bytes of text that may be read from one cell to the next, and of one tag; `None` before the
    /// cells, because what is loaded as a whole has limits of its own.
    allowed: Cell<Option<u64>>,
    /// Bytes of text since the last cell.
    text: Cell<u64>,
    /// Bytes of the tag that is being read.
    tag: Cell<u64>,
    is_in_tag: Cell<bool>,
    /// Whether a cell ended since the last read.
    had_cell: Cell<bool>,
    is_exceeded: Cell<bool>,
    /// Offset of the last read.
    offset: Cell<u64>,
}

impl Meter {
    /// Allows a number of bytes of text from now on.
    pub(super) fn allow(&self, bytes: u64) {
        self.allowed.set(Some(bytes));
        self.text.set(0);
        self.had_cell.set(true);
    }

    fn is_used_up(&self) -> bool {
        let read = self.text.get().max(self.tag.get());
        self.allowed.get().is_some_and(|allowed| read > allowed)
    }

    /// Counts what was read.
    fn count(&self, bytes: &[u8]) {
        if self.allowed.get().is_none() {
            return;
        }
        // Where each read has cells, only its end can belong to a long text or tag.
        let last = if self.had_cell.take() { memrchr2(b'<', b'>', bytes) } else { None };
        match last.and_then(|last| bytes.get(last..)?.split_first()) {
            Some((mark, rest)) => {
                self.is_in_tag.set(*mark == b'<');
                self.text.set(0);
                self.tag.set(0);
                self.count_each(rest);
            }
            None => self.count_each(bytes),
        }
    }

    fn count_each(&self, mut bytes: &[u8]) {
        loop {
            let (counter, end) =
                if self.is_in_tag.get() { (&self.tag, b'>') } else { (&self.text, b'<') };
            let end = memchr(end, bytes);
            counter.set(counter.get() + end.unwrap_or(bytes.len()) as u64);
            let Some(rest) = end.and_then(|end| bytes.get(end + 1..)) else { return };
            bytes = rest;
            self.is_in_tag.set(!self.is_in_tag.get());
            self.tag.set(0);
        }
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
        if self.meter.is_used_up() {
            self.meter.is_exceeded.set(true);
            return Err(io::Error::other("a cell is too long"));
        }
        let read = self.file.read(into)?;
        self.meter.offset.set(self.position);
        self.meter.count(into.get(..read).unwrap_or_default());
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Metered {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = self.file.seek(to)?;
        self.meter.is_in_tag.set(false);
        self.meter.tag.set(0);
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether more than 100 bytes of text without a cell, or of a tag, were read.
    fn is_used_up(reads: &[&str]) -> bool {
        let meter = Meter::default();
        meter.allow(100);
        for read in reads {
            meter.count(read.as_bytes());
        }
        meter.is_used_up()
    }

    #[test]
    fn long_texts_and_tags_are_noticed_wherever_they_begin() {
        let (text, tags) = ("x".repeat(60), "<c/>".repeat(60));
        for start in ["", "<v>", "<c/><v>", "<v", "<v a='", "</v"] {
            let first = format!("{start}{text}");
            assert!(!is_used_up(&[&first]), "{start}");
            assert!(is_used_up(&[&first, &text]), "{start}");
            assert!(is_used_up(&[start, &text, &text]), "{start}");
            assert!(!is_used_up(&[&first, &tags]), "{start}");
        }
        assert!(!is_used_up(&[&tags, &tags, &text]));
        assert!(
            is_used_up(&[&tags, &text, &tags, &text]),
            "text of formatted cells counts together"
        );
    }

    #[test]
    fn a_cell_begins_the_count_again() {
        let meter = Meter::default();
        for _ in 0..10 {
            meter.allow(100);
            meter.count("<v>".as_bytes());
            meter.count("x".repeat(90).as_bytes());
        }
        assert!(!meter.is_used_up());
    }
}
