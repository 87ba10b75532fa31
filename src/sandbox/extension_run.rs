//! Runs of extensions. One that was pending when its request was answered ends here, writes what it
//! found, and is called back.

use std::sync::Arc;

use serde_json::{Value, json};

use super::clock::Clock;
use super::extension_outcome::{self, End, Ending};
use super::extensions::Extension;
use super::state::Sandbox;

/// One extension at work on one file.
#[derive(Debug)]
pub(crate) struct ExtensionRun {
    /// The request that asked for it.
    pub(crate) n: u64,
    /// Its place among the extensions of that request.
    pub(crate) place: usize,
    /// When the request came.
    pub(crate) generation: u64,
    pub(crate) file: String,
    pub(crate) extension: Extension,
    pub(crate) webhook_url: Option<String>,
}

impl ExtensionRun {
    /// The same for the same run of the same requests, every time.
    pub(crate) fn id(&self) -> String {
        format!("msg_{}_{}", self.n, self.place)
    }
}

impl Sandbox {
    /// Lets a pending run end in its time, if pending runs end here at all.
    pub(crate) fn end_later(self: &Arc<Self>, run: ExtensionRun) {
        if let Some(Ending { after, end }) = self.config.ending {
            let sandbox = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                if let Some(told) = sandbox.end(&run, end) {
                    sandbox.call_back(run, &told);
                }
            });
        }
    }

    /// Ends a run and says how, in the words of the callback. After a reset nothing is left of it.
    fn end(&self, run: &ExtensionRun, end: End) -> Option<Value> {
        let (name, file) = (run.extension.name(), run.file.as_str());
        let mut state = self.state();
        if state.generation != run.generation {
            return None;
        }
        let key = state.store.find(file)?;
        let told = if end.is_success(file, name) {
            let (_, details) = state.store.edit(key);
            extension_outcome::write_result(&run.extension, file, details);
            details.touch(Clock::wall_ms());
            let object = state.store.object(key);
            json!({"service": name, "status": "SUCCESS", "fileObject": object})
        } else {
            // What an error looks like is not documented.
            let error = json!({"message": "The sandbox let this run fail."});
            json!({"service": name, "status": "FAILURE", "fileId": file, "error": error})
        };
        let noted = json!({"service": name, "status": told["status"]});
        state.recorder.ended(run.n, file, &noted);
        Some(told)
    }
}
