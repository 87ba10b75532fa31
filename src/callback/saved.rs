//! Callbacks that another receiver has saved.

use std::cell::Cell;
use std::io::{self, BufRead, ErrorKind, Read};
use std::rc::Rc;

use serde_json::de::IoRead;
use serde_json::value::RawValue;
use serde_json::{Deserializer, StreamDeserializer};

use super::body::{BODY_BYTES_MAX, Callback, Malformed};

/// Bytes of a body, with the white space before it. A body that arrives is bounded to
/// [`BODY_BYTES_MAX`]; what saved it may have written it with more space.
const SAVED_BYTES_MAX: usize = 16 * BODY_BYTES_MAX;

/// The bodies in a file: one JSON object after the other, with or without line ends between them.
pub(crate) struct SavedBodies<R: BufRead> {
    bodies: StreamDeserializer<'static, IoRead<Bounded<R>>, Box<RawValue>>,
    /// The bytes that may still be read of the next body.
    left: Rc<Cell<usize>>,
    /// Number of the last body, from 1.
    number: u64,
    is_over: bool,
}

/// Why a saved body cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SavedError {
    /// The body is not a callback; those after it are.
    #[error("body {number} is {source}")]
    Malformed {
        /// Its number, from 1.
        number: u64,
        /// What is wrong with it.
        #[source]
        source: Malformed,
    },
    /// The text is not JSON, or ends too early. What follows cannot be read.
    #[error("body {number} is not JSON (line {line}); what follows is not read")]
    Json {
        /// Its number, from 1.
        number: u64,
        /// The line of the file.
        line: usize,
    },
    /// The body exceeds [`SAVED_BYTES_MAX`]. What follows cannot be read.
    #[error("body {number} is larger than 16 MiB; what follows is not read")]
    TooLarge {
        /// Its number, from 1.
        number: u64,
    },
    /// The file cannot be read.
    #[error("cannot read on after body {number}")]
    Read {
        /// Number of the last body that could be read.
        number: u64,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
}

impl<R: BufRead> SavedBodies<R> {
    /// Reads bodies from a file.
    pub(crate) fn new(file: R) -> Self {
        let left = Rc::new(Cell::new(SAVED_BYTES_MAX));
        let bounded = Bounded { file, left: Rc::clone(&left) };
        let bodies = Deserializer::from_reader(bounded).into_iter();
        Self { bodies, left, number: 0, is_over: false }
    }

    /// Whether everything was read.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }
}

impl<R: BufRead> Iterator for SavedBodies<R> {
    type Item = Result<Callback, SavedError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        self.left.set(SAVED_BYTES_MAX);
        let Some(body) = self.bodies.next() else {
            self.is_over = true;
            return None;
        };
        let before = self.number;
        self.number += 1;
        let number = self.number;
        Some(match body {
            Ok(body) => Callback::parse(body.get().as_bytes())
                .map_err(|source| SavedError::Malformed { number, source }),
            Err(error) => {
                self.is_over = true;
                let line = error.line();
                Err(match error.io_error_kind() {
                    Some(ErrorKind::FileTooLarge) => SavedError::TooLarge { number },
                    Some(_) => SavedError::Read { number: before, source: error.into() },
                    None => SavedError::Json { number, line },
                })
            }
        })
    }
}

/// A reader that fails with [`ErrorKind::FileTooLarge`] when nothing is left.
struct Bounded<R> {
    file: R,
    left: Rc<Cell<usize>>,
}

impl<R: BufRead> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.left.get());
        let buffer = buffer.get_mut(..length).unwrap_or_default();
        if buffer.is_empty() {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let read = self.file.read(buffer)?;
        self.left.set(self.left.get().saturating_sub(read));
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: &str = r#"{"service":"remove-bg","status":"FAILURE","fileId":"a"}"#;

    /// The files and the errors.
    fn read(text: &[u8]) -> Vec<String> {
        let of = |read: Result<Callback, SavedError>| match read {
            Ok(callback) => callback.file.as_str().to_owned(),
            Err(error) => error.to_string(),
        };
        SavedBodies::new(text).map(of).collect()
    }

    #[test]
    fn bodies_follow_each_other_in_any_layout() {
        let pretty = FAILED.replace(',', ",\n  ");
        assert_eq!(read(FAILED.as_bytes()), ["a"]);
        assert_eq!(read(format!("{FAILED}\n{FAILED}\r\n\n{FAILED}\n").as_bytes()), ["a"; 3]);
        assert_eq!(read(format!("{FAILED}{FAILED}{pretty}").as_bytes()), ["a"; 3]);
        assert_eq!(read(b""), Vec::<String>::new());
        assert_eq!(read(b"\n \n"), Vec::<String>::new());
    }

    #[test]
    fn body_that_is_no_callback_is_named_and_skipped() {
        let text = format!("{FAILED}\n{{\"service\":1}}\n{FAILED}");
        let read = read(text.as_bytes());
        assert_eq!((read[0].as_str(), read[2].as_str(), read.len()), ("a", "a", 3));
        assert!(read[1].starts_with("body 2 is not a callback: "), "{}", read[1]);
    }

    #[test]
    fn large_body_ends_the_file() {
        let space = " ".repeat(SAVED_BYTES_MAX - FAILED.len() - 1);
        assert_eq!(read(format!("{FAILED}{space}{FAILED}\n{FAILED}").as_bytes()), ["a"; 3]);
        let endless = io::repeat(b' ').take(u64::MAX);
        let text = FAILED.as_bytes().chain(br#"{"service":""#.as_slice());
        let mut bodies = SavedBodies::new(io::BufReader::new(text.chain(endless)));
        assert!(matches!(bodies.next(), Some(Ok(_))));
        assert!(matches!(bodies.next(), Some(Err(SavedError::TooLarge { number: 2 }))));
        assert!(bodies.next().is_none() && bodies.is_over());
    }

    #[test]
    fn text_that_is_not_json_ends_the_file() {
        for (text, number, line) in [
            (format!("{FAILED}\n{FAILED}x{FAILED}"), 3, 2),
            (format!("{FAILED}\n{{\"service\":"), 2, 2),
            (format!("{FAILED}\n\n\u{1b}[2J\n{FAILED}"), 2, 3),
            ("PK\u{3}\u{4}".to_owned(), 1, 1),
        ] {
            let read = read(text.as_bytes());
            let end = format!("body {number} is not JSON (line {line}); what follows is not read");
            assert_eq!((read.len(), read.last()), (number, Some(&end)), "{text}");
        }
    }
}
