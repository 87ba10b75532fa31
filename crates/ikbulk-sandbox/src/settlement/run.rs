//! Settles pending extensions: writes their results and sends their callbacks.

use std::sync::Arc;

use serde_json::json;

use crate::clock::Clock;
use crate::extensions::extension::Extension;
use crate::extensions::outcome::{FinalStatus, Settlement};
use crate::extensions::result;
use crate::settlement::callback::FileChange;
use crate::state::Sandbox;

/// An extension that runs on a file.
#[derive(Debug)]
pub(crate) struct ExtensionRun {
    /// Number of the request that started it.
    pub(crate) n: u64,
    /// Index among the extensions of that request.
    pub(crate) place: usize,
    /// [`State::generation`](crate::state::State::generation) when the request arrived.
    pub(crate) generation: u64,
    pub(crate) file: String,
    pub(crate) extension: Extension,
    pub(crate) webhook_url: Option<String>,
}

impl FileChange {
    /// What a successful extension does to a file.
    pub(crate) fn of(extension: &Extension) -> Self {
        match extension {
            Extension::RemoveBg => Self::NewVersion,
            _ => Self::Updated,
        }
    }
}

impl ExtensionRun {
    /// Deterministic id, used as `webhook-id`.
    pub(crate) fn id(&self) -> String {
        format!("msg_{}_{}", self.n, self.place)
    }
}

impl Sandbox {
    /// Settles a pending extension after the configured delay, if one is configured.
    pub(crate) fn settle_later(self: &Arc<Self>, run: ExtensionRun) {
        if let Some(Settlement { after, status }) = self.config.settlement {
            let sandbox = Arc::clone(self);
            let due_ns = self.clock.after(after);
            tokio::spawn(async move {
                sandbox.clock.sleep_until(due_ns).await;
                sandbox.settle(&run, status);
            });
        }
    }

    /// Settles an extension and sends its callback, unless the sandbox was reset since.
    fn settle(self: &Arc<Self>, run: &ExtensionRun, status: FinalStatus) {
        let (name, file) = (run.extension.name(), run.file.as_str());
        let mut state = self.state();
        if state.generation != run.generation {
            return;
        }
        let Some(key) = state.store.find(file) else { return };
        let result = if status.is_success(file, name) {
            let (_, details) = state.store.edit(key);
            result::write(&run.extension, file, &self.config.found_tags, details);
            details.touch(Clock::wall_ms());
            self.announce(&mut state, key, FileChange::of(&run.extension));
            let object = state.store.object(key);
            json!({"service": name, "status": "SUCCESS", "fileObject": object})
        } else {
            // The API does not document the format of errors.
            let error = json!({"message": "The sandbox simulated a failure of this extension."});
            json!({"service": name, "status": "FAILURE", "fileId": file, "error": error})
        };
        let recorded = json!({"service": name, "status": result["status"]});
        state.recorder.settled(run.n, file, &recorded);
        if let Some(url) = &run.webhook_url {
            self.call_back(&mut state, url, run.id(), &result);
        }
    }
}
