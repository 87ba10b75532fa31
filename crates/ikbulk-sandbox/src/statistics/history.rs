//! History of changes per file, limited to the newest ones.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::request_id::request_id;
use crate::clock::Iso;

/// Maximum number of changes kept, of all files.
const CHANGES_MAX: usize = 100_000;
/// Maximum total size of the request bodies kept.
const BODIES_BYTES_MAX: usize = 32 << 20;

/// A change of a file.
#[derive(Debug)]
struct Change {
    n: u64,
    wall_ms: i64,
    call: &'static str,
    file: Box<str>,
    /// Shared by all files of a bulk call.
    body: Arc<str>,
}

/// The changes of all files, newest last.
#[derive(Debug, Default)]
pub(crate) struct History {
    changes: VecDeque<Change>,
    bodies_bytes: usize,
}

impl History {
    /// Records that request `n` changed these files.
    pub(crate) fn record<'a>(
        &mut self,
        n: u64,
        call: &'static str,
        files: impl Iterator<Item = &'a str>,
        body: &[u8],
    ) {
        let wall_ms = crate::clock::Clock::wall_ms();
        let body: Arc<str> = String::from_utf8_lossy(body).into();
        for file in files {
            self.bodies_bytes += body.len();
            let (file, body) = (file.into(), Arc::clone(&body));
            self.changes.push_back(Change { n, wall_ms, call, file, body });
        }
        while self.changes.len() > CHANGES_MAX || self.bodies_bytes > BODIES_BYTES_MAX {
            let Some(oldest) = self.changes.pop_front() else {
                break;
            };
            self.bodies_bytes -= oldest.body.len();
        }
    }

    /// The changes of a file, oldest first.
    pub(crate) fn of_file(&self, file: &str) -> Vec<Value> {
        let changes = self.changes.iter().filter(|change| *change.file == *file);
        changes.map(Change::to_value).collect()
    }
}

impl Change {
    fn to_value(&self) -> Value {
        json!({
            "n": self.n,
            "at": Iso(self.wall_ms).to_string(),
            "requestId": request_id(self.n),
            "call": self.call,
            "body": serde_json::from_str(&self.body).unwrap_or(Value::Null),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_changes_are_kept() {
        let mut history = History::default();
        for n in 1..=CHANGES_MAX as u64 + 5 {
            history.record(n, "patch", ["f"].into_iter(), b"{}");
        }
        let kept = history.of_file("f");
        assert_eq!(kept.len(), CHANGES_MAX);
        assert_eq!(kept[0]["n"], 6);
    }

    #[test]
    fn size_of_bodies_limits_history() {
        let mut history = History::default();
        let body = vec![b' '; BODIES_BYTES_MAX / 4 + 1];
        for n in 1..=10 {
            history.record(n, "patch", ["f"].into_iter(), &body);
        }
        assert_eq!(history.of_file("f").len(), 3);
    }
}
