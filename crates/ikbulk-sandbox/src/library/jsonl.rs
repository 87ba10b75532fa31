//! Reads a library from JSONL, with one file object of the API per line.

use std::io::{self, BufRead};

use serde_json::{Map, Value};

use crate::library::initial::Library;

/// Reason why a library cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line} {problem}")]
pub struct LibraryError {
    line: usize,
    problem: LineProblem,
}

#[derive(Debug, thiserror::Error)]
enum LineProblem {
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("is not a JSON object: {0}")]
    NoObject(serde_json::Error),
    #[error("has no fileId")]
    NoFileId,
    #[error("repeats the fileId {0}")]
    Duplicate(String),
    #[error("is a {0}; only files are supported")]
    NotAFile(String),
}

impl Library {
    /// Adds the files of a JSONL. Unlike [`Self::insert`], does not generate omitted descriptions.
    /// Empty lines are skipped.
    ///
    /// # Errors
    /// A line is not a file object, or has a duplicate `fileId`.
    pub fn add_lines(&mut self, lines: impl BufRead) -> Result<(), LibraryError> {
        for (line, text) in (1..).zip(lines.lines()) {
            let added = text.map_err(LineProblem::Unreadable).and_then(|text| self.add_line(&text));
            added.map_err(|problem| LibraryError { line, problem })?;
        }
        Ok(())
    }

    fn add_line(&mut self, text: &str) -> Result<(), LineProblem> {
        if text.trim().is_empty() {
            return Ok(());
        }
        let mut file: Map<String, Value> =
            serde_json::from_str(text).map_err(LineProblem::NoObject)?;
        match file.get("type").and_then(Value::as_str) {
            None | Some("file") => {}
            Some(other) => return Err(LineProblem::NotAFile(other.to_owned())),
        }
        let id = file.get("fileId").and_then(Value::as_str).ok_or(LineProblem::NoFileId)?;
        if self.has(id) {
            return Err(LineProblem::Duplicate(id.to_owned()));
        }
        // The API omits descriptions that were never set.
        file.entry("description").or_insert(Value::Null);
        self.insert(Value::Object(file));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::synthetic::synthetic_id;

    fn added(library: &mut Library, lines: &str) -> Result<(), String> {
        library.add_lines(lines.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn line_can_replace_synthetic_file() {
        let mut library = Library::synthetic(3, 1);
        let id = synthetic_id(1, 2);
        let lines = format!("{{\"fileId\":\"{id}\"}}\n\n{{\"type\":\"file\",\"fileId\":\"b\"}}");
        assert_eq!(added(&mut library, &lines), Ok(()));
        assert_eq!(library.inserted_places(), 0..2);
        for id in [id.as_str(), "b"] {
            let key = library.find(id).unwrap();
            assert_eq!(library.details(key).description, None);
        }
    }

    #[test]
    fn invalid_line_is_reported_with_its_number() {
        for (lines, expected) in [
            ("{\"fileId\":\"a\"}\nfileId,tags\n", "line 2 is not a JSON object: "),
            ("[1]", "line 1 is not a JSON object: "),
            ("\n{\"fileId\":5}", "line 2 has no fileId"),
            ("{\"fileId\":\"a\"}\n{\"fileId\":\"a\"}", "line 2 repeats the fileId a"),
            ("{\"type\":\"folder\"}", "line 1 is a folder; "),
        ] {
            let error = added(&mut Library::new(), lines).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
