//! Removes the run directory of a command that ends before it sends or saves anything.

use crate::run::RunDir;

/// Removes the run directory when dropped, unless [`Self::keep`] was called.
#[derive(Debug)]
pub(super) struct DiscardUnlessStarted(Option<RunDir>);

impl DiscardUnlessStarted {
    pub(super) fn new(run: &RunDir) -> Self {
        Self(Some(run.clone()))
    }

    /// Keeps the directory: the run has started, or its plan is saved.
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for DiscardUnlessStarted {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run.discard();
        }
    }
}
