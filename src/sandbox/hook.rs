//! The observer's place: a hook that sees every API request before and after its work.

use std::fmt;
use std::sync::Arc;

/// Where in its life a request is when the tap is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It has arrived whole and has its number; nothing of its work has been done.
    Arrived,
    /// Its work is done and committed (or refused); no byte of the response has been written.
    Worked,
}

/// What a tap is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookEvent {
    /// The number of the API request since the start, from 1. Internal requests have none.
    pub n: u64,
    /// Before or after the work.
    pub phase: Phase,
    /// The HTTP method.
    pub method: String,
    /// The path as it came, still percent-encoded.
    pub path: String,
}

/// A function called on the server's thread for each [`HookEvent`]. It may block (for example to
/// kill the client at that moment): everything stands still meanwhile.
#[derive(Clone)]
pub struct Hook(pub Arc<dyn Fn(&HookEvent) + Send + Sync>);

impl Hook {
    /// A tap that calls `look`.
    pub fn new(look: impl Fn(&HookEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(look))
    }

    pub(crate) fn call(&self, event: &HookEvent) {
        (self.0)(event);
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}
