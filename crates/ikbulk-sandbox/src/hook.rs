//! Hook that observes every API request before and after it is processed.

use std::fmt;
use std::sync::Arc;

/// Progress of a request when the hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The request was received completely, and is not processed yet.
    Arrived,
    /// The request was processed or rejected, and nothing of the response was sent yet.
    Processed,
}

/// Argument of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookEvent {
    /// Number of the API request since the start, from 1. Internal requests are not counted.
    pub n: u64,
    /// Whether the request was processed yet.
    pub phase: Phase,
    /// HTTP method, in upper case.
    pub method: String,
    /// Path of the URL, percent-encoded as received.
    pub path: String,
}

/// A function called on the server's thread for each [`HookEvent`]. It may block, for example to kill
/// the client at that moment; the sandbox stands still meanwhile.
#[derive(Clone)]
pub struct Hook(pub Arc<dyn Fn(&HookEvent) + Send + Sync>);

impl Hook {
    /// Wraps a function.
    pub fn new(function: impl Fn(&HookEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }

    pub(crate) fn call(&self, event: &HookEvent) {
        (self.0)(event);
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}
