//! The files in a run directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

/// A line of a CSV file, by column name.
pub(crate) type Line = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunDirectory(PathBuf);

impl RunDirectory {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn name(&self) -> String {
        self.0.display().to_string()
    }

    /// Sort key by start: the second, and the number within the second.
    pub(crate) fn start_key(&self) -> (String, u32) {
        let name = self
            .0
            .file_name()
            .expect("a run directory should have a name")
            .to_string_lossy()
            .into_owned();
        let (second, number) = name.split_once('Z').unwrap_or((&name, ""));
        (second.to_owned(), number.trim_start_matches('-').parse().unwrap_or(1))
    }

    /// When the run last finished; `None` if never.
    pub(crate) fn finished_at(&self) -> Option<SystemTime> {
        fs::metadata(self.0.join("summary.json")).and_then(|file| file.modified()).ok()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        let text = fs::read_to_string(self.0.join(name));
        text.unwrap_or_else(|error| panic!("{name} of {}: {error}", self.name()))
    }

    pub(crate) fn report(&self) -> Vec<Line> {
        csv_lines(&self.text("report.csv"))
    }

    /// Status and code of every row, in input order.
    pub(crate) fn outcomes(&self) -> Vec<String> {
        let outcome = |line: Line| {
            let (status, code) = (&line["status"], &line["code"]);
            if code.is_empty() { status.clone() } else { format!("{status} {code}") }
        };
        self.report().into_iter().map(outcome).collect()
    }

    pub(crate) fn summary(&self) -> Value {
        serde_json::from_str(&self.text("summary.json")).expect("the summary should be JSON")
    }

    pub(crate) fn count(&self, status: &str) -> u64 {
        self.summary()["rows"][status].as_u64().expect("every status should be counted")
    }

    /// File and field of every value that an undo did not restore.
    pub(crate) fn not_undone(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.0.join("not_undone.csv")).unwrap_or_default();
        let lines = csv_lines(&text).into_iter();
        lines.map(|line| (line["fileId"].clone(), line["field"].clone())).collect()
    }
}

fn csv_lines(text: &str) -> Vec<Line> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(|line| line.expect("the file should be CSV")).collect()
}
