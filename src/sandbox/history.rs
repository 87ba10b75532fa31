//! The last changes, file by file. Bounded: a run of millions keeps only the newest.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};

use super::clock::Iso;
use super::response::request_id;

/// How many changes are kept in all; the oldest go first.
const CHANGES_MAX: usize = 100_000;
/// How many bytes of request bodies are kept in all.
const BODIES_BYTES_MAX: usize = 32 << 20;

/// One change of one file.
#[derive(Debug)]
struct Change {
    n: u64,
    wall_ms: i64,
    call: &'static str,
    file: Box<str>,
    /// Shared by all files of a bulk call.
    body: Arc<str>,
}

/// All changes, newest last.
#[derive(Debug, Default)]
pub(crate) struct History {
    changes: VecDeque<Change>,
    bodies_bytes: usize,
}

impl History {
    /// Notes that request `n` changed these files.
    pub(crate) fn note<'a>(
        &mut self,
        n: u64,
        call: &'static str,
        files: impl Iterator<Item = &'a str>,
        body: &[u8],
    ) {
        let wall_ms = super::clock::Clock::wall_ms();
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

    /// The changes of one file, oldest first.
    pub(crate) fn of(&self, file: &str) -> Vec<Value> {
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
            history.note(n, "patch", ["f"].into_iter(), b"{}");
        }
        let kept = history.of("f");
        assert_eq!(kept.len(), CHANGES_MAX);
        assert_eq!(kept[0]["n"], 6);
    }

    #[test]
    fn large_bodies_push_old_changes_out_sooner() {
        let mut history = History::default();
        let body = vec![b' '; BODIES_BYTES_MAX / 4 + 1];
        for n in 1..=10 {
            history.note(n, "patch", ["f"].into_iter(), &body);
        }
        assert_eq!(history.of("f").len(), 3);
    }
}
