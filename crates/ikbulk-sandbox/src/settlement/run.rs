//! Settles pending extensions: writes their results and sends their callbacks.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::clock::Clock;
use crate::extensions::extension::Extension;
use crate::extensions::outcome::{FinalStatus, Settlement};
use crate::extensions::result;
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
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                let result = sandbox.settle(&run, status);
                if let (Some(result), Some(url)) = (result, &run.webhook_url) {
                    sandbox.call_back(url, run.id(), run.generation, &result);
                }
            });
        }
    }

    /// Settles an extension. Returns the body of its callback; `None` if the sandbox was reset since.
    fn settle(&self, run: &ExtensionRun, status: FinalStatus) -> Option<Value> {
        let (name, file) = (run.extension.name(), run.file.as_str());
        let mut state = self.state();
        if state.generation != run.generation {
            return None;
        }
        let key = state.store.find(file)?;
        let result = if status.is_success(file, name) {
            let (_, details) = state.store.edit(key);
            result::write(&run.extension, file, details);
            details.touch(Clock::wall_ms());
            let object = state.store.object(key);
            json!({"service": name, "status": "SUCCESS", "fileObject": object})
        } else {
            // The API does not document the format of errors.
            let error = json!({"message": "The sandbox simulated a failure of this extension."});
            json!({"service": name, "status": "FAILURE", "fileId": file, "error": error})
        };
        let recorded = json!({"service": name, "status": result["status"]});
        state.recorder.settled(run.n, file, &recorded);
        Some(result)
    }
}
