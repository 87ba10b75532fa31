//! A row that set a field.

use std::rc::Rc;

/// A row, and the ids of its requests. Rows that were merged share requests.
#[derive(Debug, Clone)]
pub(super) struct Setter {
    pub(super) row: u64,
    requests: Rc<[String]>,
}

impl Setter {
    pub(super) fn new(row: u64, requests: Vec<String>) -> Self {
        Self { row, requests: requests.into() }
    }

    /// Whether one of its requests has this id.
    pub(super) fn sent(&self, request: &String) -> bool {
        self.requests.contains(request)
    }
}
