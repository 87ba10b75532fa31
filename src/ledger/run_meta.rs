//! What a run is: its kind, its input and settings, and how far it is.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::account::Identity;
use crate::input::{Format, ReadOptions};
use crate::row::Rules;
use crate::settings::Planning;
use crate::spending::SpendingLimits;

/// Metadata of a run. Planning completes it. Afterwards, only `account`, `position`, `stage`, `writes`,
/// `spending`, `saves_responses` and `fails_on_pending` change, when the run is resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct RunMeta {
    /// Random id, never used again.
    pub id: String,
    /// What it does.
    pub kind: RunKind,
    /// Position in the order in which runs were created, independent of clocks.
    pub position: u64,
    /// Name of the input as given.
    pub input_name: String,
    /// Absolute path of the sheet; `None` for standard input and for an undo run.
    pub input_path: Option<OsString>,
    /// Format of the input.
    pub input_format: Format,
    /// How the text of the input is read.
    #[serde(default)]
    pub read_options: ReadOptions,
    /// Fingerprint of the input's content.
    pub input_fingerprint: String,
    /// Number of rows in the input.
    pub rows: u64,
    /// Whether certainly no file is in several rows, so that no row supersedes another.
    #[serde(default)]
    pub names_files_once: bool,
    /// Planned number of writes; 0 if unknown.
    pub writes: u64,
    /// URL of the API.
    pub endpoint: String,
    /// The account that the run belongs to.
    pub account: Identity,
    /// Whether it runs against the built-in sandbox.
    pub sandbox: bool,
    /// Whether any row requests an extension, so that the extension history applies.
    #[serde(default)]
    pub has_extensions: bool,
    /// How its cells are read.
    #[serde(flatten)]
    pub rules: Rules,
    /// The account's custom metadata schema as JSON; empty if it was not read.
    pub fields: String,
    /// Start time, in UTC (RFC 3339).
    pub begun: String,
    /// How rows become requests.
    pub planning: Planning,
    /// Limits of billed extensions, which hold for later sessions, too.
    #[serde(default)]
    pub spending: SpendingLimits,
    /// Whether the file objects in responses are saved.
    #[serde(default)]
    pub saves_responses: bool,
    /// Whether a pending extension at the end counts as unfinished business for the exit code.
    #[serde(default)]
    pub fails_on_pending: bool,
    /// Progress through planning and sending.
    pub stage: Stage,
}

impl RunMeta {
    /// Whether the run's input is that sheet, in any version and by any of its paths. If the run
    /// directory is beside the sheet, equal file names suffice, because both may have been moved
    /// together.
    #[must_use]
    pub fn is_of_sheet(&self, sheet: &Path, is_beside: bool) -> bool {
        let Some(path) = self.input_path.as_ref().map(Path::new) else {
            return false;
        };
        let has_same_name = is_beside && path.file_name() == sheet.file_name();
        path == sheet || has_same_name || is_same_file(path, sheet)
    }

    /// Whether files are checked for conflicts before they are changed.
    #[must_use]
    pub fn checks_conflicts(&self) -> bool {
        self.kind == RunKind::Plan
    }

    /// Whether files are checked for conflicts in the sessions after the first: what the run compared may be
    /// long ago by then. The other kinds send what their sheet says.
    #[must_use]
    pub fn checks_conflicts_when_resumed(&self) -> bool {
        self.checks_conflicts() || matches!(self.kind, RunKind::Undo { .. })
    }

    /// Whether it retries this run.
    #[must_use]
    pub fn retries(&self, run: &Self) -> bool {
        matches!(&self.kind, RunKind::Retry { of, .. } if *of == run.id)
    }

    /// Whether it runs extensions again that have run before, or retries a run that did.
    #[must_use]
    pub fn reruns_extensions(&self) -> bool {
        let is_retry_of_such = matches!(self.kind, RunKind::Retry { reruns_extensions: true, .. });
        is_retry_of_such
            || matches!(self.planning, Planning::Diff(options) if options.rerun_extensions)
    }

    /// Whether it undoes this run.
    #[must_use]
    pub fn undoes(&self, run: &Self) -> bool {
        matches!(&self.kind, RunKind::Undo { of } if *of == run.id)
    }
}

/// Whether two paths lead to the same file, through links.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let file = |path: &Path| fs::metadata(path).ok().map(|it| (it.dev(), it.ino()));
    file(one).is_some_and(|it| Some(it) == file(other))
}

/// What a run does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// Applies a sheet.
    Apply,
    /// Saves the plan of a sheet; if executed, it checks files for conflicts before it changes them.
    Plan,
    /// Sends the failed rows of another run again.
    Retry {
        /// Id of that run.
        of: String,
        /// Whether that run was to run extensions again that had run before it.
        #[serde(default)]
        reruns_extensions: bool,
    },
    /// Restores the values from before another run.
    Undo {
        /// Id of that run.
        of: String,
    },
}

impl RunKind {
    /// Whether the run has all rows of its sheet.
    #[must_use]
    pub fn is_of_whole_sheet(&self) -> bool {
        matches!(self, Self::Apply | Self::Plan)
    }
}

/// Progress of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The snapshot is being read; nothing has been sent.
    Planning,
    /// A saved plan; nothing has been sent.
    Planned,
    /// Requests may have been sent.
    Running,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Exit code of the program.
    pub exit_code: u8,
    /// Rows not attempted, not completely, or not yet known to be changed; the run can be resumed for
    /// them.
    pub rows_left: u64,
}

/// Whether a ledger has every request that its run sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completeness {
    /// It has every one.
    Complete,
    /// Idempotent requests are recorded when their response arrives, and a session was killed, or
    /// stopped while some were in flight: they may have taken effect.
    MayMissRequests,
}
