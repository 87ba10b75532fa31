//! Why a command ended without a result.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::endpoint::EndpointError;
use crate::account::{AccountError, LockError, StateDirError};
use crate::callback::PublicUrl;
use crate::charges::{ChargesError, ImportError};
use crate::error::chain;
use crate::export::ColumnError;
use crate::imagekit::{BuildError, Failure};
use crate::input::{AmbiguousNull, EncodingGuess, InputError};
use crate::ledger::{LedgerError, Stage};
use crate::plan::{PlanError, UnknownRow};
use crate::plural::{plural, thousands};
use crate::report::ReportError;
use crate::row::ExtensionName;
use crate::run::{ReadError, RunDirError, RunLockError, SessionError};
use crate::shell::quoted;
use crate::undo::UndoError;

/// Why a command ended without a result. Unless it is [`Self::Session`] or [`Self::Report`], no row
/// was attempted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command is not possible, or not allowed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The key must not be sent to the endpoint, or the endpoint is invalid.
    #[error(transparent)]
    Endpoint(Box<EndpointError>),
    /// The HTTP client cannot be created.
    #[error(transparent)]
    Client(#[from] BuildError),
    /// The input cannot be read, or is damaged beyond a single row.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A column to export does not exist.
    #[error(transparent)]
    Column(#[from] ColumnError),
    /// A run directory cannot be created or opened.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// A read of the account failed.
    #[error("cannot {purpose}: {failure}")]
    Read {
        /// What was to be read.
        purpose: ReadPurpose,
        /// The failure.
        failure: Failure,
    },
    /// The files of the sheet cannot be read.
    #[error("{source}; nothing was sent")]
    Files {
        /// What the files were read for.
        purpose: FilesPurpose,
        /// The reason.
        source: ReadError,
    },
    /// Another run is writing to the account.
    #[error(transparent)]
    AccountLock(#[from] LockError),
    /// Another process uses the run.
    #[error(transparent)]
    RunLock(#[from] RunLockError),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The state of the account on this machine cannot be used.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The recorded charges cannot be used.
    #[error(transparent)]
    Charges(#[from] ChargesError),
    /// A file of charges cannot be imported. Nothing of it was.
    #[error("cannot import {}: {}; nothing was imported", path.display(), chain(&**reason))]
    ImportCharges {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: Box<ImportError>,
    },
    /// The sheet cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The sheet of an undo cannot be made.
    #[error(transparent)]
    Undo(#[from] UndoError),
    /// A session failed. Its run can be resumed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The reports of a run cannot be written. They can be written again.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Another file cannot be read or written.
    #[error("cannot {action}")]
    File {
        /// What was to be done.
        action: String,
        /// The file system error.
        #[source]
        source: io::Error,
    },
    /// The deadline came before anything was sent.
    #[error("deadline reached before anything was sent; no row was attempted")]
    Deadline,
}

impl From<EndpointError> for Error {
    fn from(error: EndpointError) -> Self {
        Self::Endpoint(Box::new(error))
    }
}

impl From<StateDirError> for Error {
    fn from(error: StateDirError) -> Self {
        Self::Account(AccountError::State(error))
    }
}

impl Error {
    /// A file that cannot be read or written; `action` completes "cannot …".
    pub(super) fn file(action: impl Into<String>, source: io::Error) -> Self {
        Self::File { action: action.into(), source }
    }
}

/// What a failed read was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadPurpose {
    /// Listing one file, which verifies the endpoint and the key.
    Connect,
    /// The custom metadata fields of the account.
    MetadataFields,
    /// The saved extensions of the account.
    SavedExtensions,
    /// The files that rows name by path or URL.
    LookUp,
    /// The files to export.
    Export,
    /// The files of a run, to settle it.
    Settle,
    /// What extensions cost.
    Usage,
}

impl std::fmt::Display for ReadPurpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect | Self::Export => "read the library",
            Self::MetadataFields => "read the custom metadata fields of the account",
            Self::SavedExtensions => "read the saved extensions of the account",
            Self::LookUp => "look up files by path or URL",
            Self::Settle => "read the files of the run",
            Self::Usage => "read the usage of the account",
        })
    }
}

/// What the files of a sheet were read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilesPurpose {
    /// To compare the rows with them.
    Plan,
    /// To keep their values for an undo of a run that sends every row as is.
    Snapshots,
    /// To undo a run.
    Undo,
}

/// Why a command is refused. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Callbacks are to be received, and no request names a URL for them.
    #[error(
        "no request of this run names a URL for callbacks; `apply` takes it with --public-url, and without --listen the files are read instead"
    )]
    NoCallbackUrl,
    /// Callbacks are to be received at another URL than requests name.
    #[error(
        "the requests of this run name {0} for callbacks, so nothing would arrive at another URL; leave out --public-url"
    )]
    OtherCallbackUrl(PublicUrl),
    /// The path of the sheet is a directory.
    #[error("{} is {}, not a sheet", path.display(), directory_kind(*.run))]
    NotASheet {
        /// The directory.
        path: PathBuf,
        /// The stage of the run in it; `None` if it is no run directory.
        run: Option<Stage>,
    },
    /// A run returned the sheet that ran extensions on all of its rows.
    #[error(
        "{} ran --extensions {names} on all rows, and its sheets do not name them; nothing was sent; pass \
         --extensions {}, or copy the sheet elsewhere to apply it without them",
        run.display(), quoted(Path::new(names))
    )]
    ExtensionsOfRun {
        /// The run.
        run: PathBuf,
        /// The names that were given.
        names: String,
    },
    /// Callbacks cannot be received there.
    #[error("cannot listen for callbacks on {address}: {source}; nothing was sent")]
    CannotListen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The sheet, or the file with callbacks, cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The file system error.
        source: io::Error,
    },
    /// The sheet is not UTF-8, and no person has confirmed another encoding.
    #[error("the input is in another encoding than UTF-8, probably {0}; nothing was sent")]
    OtherEncoding(EncodingGuess),
    /// The sheet has no rows.
    #[error("the input has no rows")]
    NoRows,
    /// A row has the outcome `unknown`, and its extensions would be charged again.
    #[error(
        "row {} has an unknown outcome: {} may already have taken effect; nothing was sent",
        .0.row,
        .0.at_most_once
    )]
    UnknownOutcome(UnknownRow),
    /// A rule for the rows of one file needs them together, and each row is to be sent by itself.
    #[error("the rule for rows of one file needs them together, and each is to be sent by itself")]
    DuplicatesOfDirect,
    /// The sheet has nulls that may mean "no value" as well as "clear", and no setting tells which.
    #[error(
        "every row has the key {}{}, and {} of {} have null or \"\" in it: a program may have written that \
         for no value, or a person to clear the field; nothing was sent",
        .first.column,
        other_keys(*.others),
        thousands(.first.nulls),
        plural(.first.rows, "row", "rows")
    )]
    AmbiguousNulls {
        /// The first key with such nulls.
        first: AmbiguousNull,
        /// The number of other keys with them.
        others: u64,
    },
    /// More rows are invalid than allowed.
    #[error(
        "{} of {} invalid, more than the allowed {}%; nothing was sent",
        thousands(*.rejected),
        plural(*.rows, "row is", "rows are"),
        max_bad * 100.0
    )]
    TooManyInvalid {
        /// The invalid rows.
        rejected: u64,
        /// All rows.
        rows: u64,
        /// The allowed share.
        max_bad: f64,
    },
    /// Billed extensions would be sent without asking and without a limit.
    #[error(
        "this would run {} without a confirmation; nothing was sent",
        spending(*.units, *.unpriced_runs)
    )]
    UnlimitedSpending {
        /// The units of extensions with known units.
        units: u64,
        /// The runs of extensions with unknown units.
        unpriced_runs: u64,
    },
    /// Units are limited, and those of an extension are not known.
    #[error("the units of {} are not known, so that they cannot be limited", .0.as_str())]
    UnknownPrice(ExtensionName),
    /// The extensions that all rows are to run cannot be used; the reason names them.
    #[error("{0}; nothing was sent")]
    ExtensionsForAll(String),
    /// A saved extension, with this id, was changed or deleted since the run was planned.
    #[error(
        "the saved extension {0} was changed or deleted since this was planned, so that its price \
         and effect are not those that were planned; nothing was sent"
    )]
    SavedExtensionChanged(String),
    /// There is no person to confirm what would be sent.
    #[error("no person is there to confirm what would be sent; nothing was sent")]
    NotConfirmable,
    /// A person did not confirm.
    #[error("not confirmed; nothing was sent")]
    NotConfirmed,
    /// There is no key.
    #[error("no private key")]
    NoKey,
    /// The key cannot be used.
    #[error("{0}")]
    UnusableKey(String),
    /// The endpoint is not that of the run.
    #[error(
        "the run started at {run} and must continue there, but the settings name {given}; nothing \
         was sent"
    )]
    OtherEndpoint {
        /// The endpoint of the run.
        run: String,
        /// The endpoint of the settings.
        given: String,
    },
    /// The endpoint answers 404 to the API's own path.
    #[error(
        "the endpoint {0} is not the API: GET /v1/files returns 404; nothing was sent. Use the root \
         of the API, without /v1, such as {imagekit}",
        imagekit = super::endpoint::IMAGEKIT
    )]
    NotTheApi(String),
    /// The key differs from the one that the run started with.
    #[error("the API key differs from the one that this run started with; nothing was sent")]
    KeyDiffers,
    /// The key differs from the one that the sheet was planned with.
    #[error("the API key differs from the one that the sheet was planned with; nothing was sent")]
    KeyDiffersFromPlan,
    /// The run to settle used a sandbox of its own.
    #[error("{} used a sandbox of its own, which is gone; nothing can be settled", .0.display())]
    SandboxGone(PathBuf),
    /// The copy of the sheet in the run directory was edited.
    #[error("{} was edited since the run copied it; nothing was sent", .0.display())]
    EditedCopy(PathBuf),
    /// The sheet has an unfinished run.
    #[error("there is an unfinished run of this input: {}; nothing was sent", .0.display())]
    Unfinished(PathBuf),
    /// A later run has changed files, or is about to.
    #[error(
        "a later run ({}) has changed files or is about to; continuing this run would overwrite \
         newer values with older ones; nothing was sent",
        .0.display()
    )]
    LaterRun(PathBuf),
    /// The run has gone on since the sheet that it returned was edited, and has written it anew.
    #[error(
        "{} was edited before its run went on, so that its rows may be done or superseded by now; \
         nothing was sent",
        sheet.display()
    )]
    Replaced {
        /// The edited sheet.
        sheet: PathBuf,
        /// The sheet with the rows that are left, if there are any.
        by: PathBuf,
    },
    /// An undo has reverted changes of the run to resume, or of the run whose failed rows it sends.
    #[error("{} was undone by {}; nothing was sent", run.display(), by.display())]
    Undone {
        /// The directory of the undone run.
        run: PathBuf,
        /// The directory of the undo.
        by: PathBuf,
    },
    /// The run was retried before.
    #[error("{} was retried by {}; nothing was sent", run.display(), by.display())]
    Retried {
        /// The run directory.
        run: PathBuf,
        /// The directory of the retry.
        by: PathBuf,
        /// Whether the retry has finished.
        is_finished: bool,
    },
    /// The run is not in a stage in which the command is possible.
    #[error("{} {}", run.display(), problem)]
    Stage {
        /// The run directory.
        run: PathBuf,
        /// Its stage.
        problem: StageProblem,
    },
    /// There is nothing to undo.
    #[error("{} {}", run.display(), reason)]
    NothingToUndo {
        /// The run directory.
        run: PathBuf,
        /// The reason.
        reason: NothingToUndo,
    },
    /// The library is listed without an end, so that the files after it cannot be read.
    #[error(
        "ImageKit lists the same files again after {}; no sheet was written",
        plural(*.0, "file", "files")
    )]
    EndlessListing(u64),
    /// The name of the sheet to write has no known extension.
    #[error("cannot infer the format of {}: use a .csv, .jsonl or .xlsx extension", .0.display())]
    UnknownFormat(PathBuf),
    /// The sheet to write exists.
    #[error("{} already exists", .0.display())]
    Exists(PathBuf),
    /// The sandbox cannot be started.
    #[error("cannot start the sandbox: {0}")]
    Sandbox(String),
    /// The system has no random numbers, or cannot start a thread.
    #[error("the system fails to {0}")]
    System(String),
}

/// Why a run cannot be applied or resumed in its stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageProblem {
    /// A saved plan, which is applied, not resumed.
    SavedPlan,
    /// A run that was interrupted while planning.
    RunNotPlanned,
    /// A plan that was interrupted while planning.
    PlanNotSaved,
    /// A run to retry that is unfinished.
    NotFinished,
    /// A run, or a plan that has been applied, which has finished.
    Finished {
        /// Whether it was a plan.
        is_plan: bool,
    },
    /// A run, or a plan that has been applied, which is resumed.
    Unfinished {
        /// Whether it was a plan.
        is_plan: bool,
    },
}

impl std::fmt::Display for StageProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = |is_plan| if is_plan { "a plan" } else { "a run, not a saved plan," };
        match *self {
            Self::SavedPlan => f.write_str("is a saved plan"),
            Self::RunNotPlanned | Self::PlanNotSaved => {
                f.write_str("was interrupted while planning; nothing was sent")
            }
            Self::NotFinished => f.write_str("is unfinished; nothing was sent"),
            Self::Finished { is_plan } => write!(f, "is {} that has finished", what(is_plan)),
            Self::Unfinished { is_plan } => write!(f, "is {} that is unfinished", what(is_plan)),
        }
    }
}

/// Why a run cannot be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NothingToUndo {
    /// It ran on a sandbox of its own.
    Sandbox,
    /// It has not started.
    NotStarted,
    /// It kept no snapshots, or changed no files.
    NoSnapshots,
}

impl std::fmt::Display for NothingToUndo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sandbox => {
                "ran on its own sandbox, which is gone with all of its changes; there is nothing to \
                 undo"
            }
            Self::NotStarted => "has not started; there is nothing to undo",
            Self::NoSnapshots => {
                "has no snapshots of its files, or changed none; there is nothing to restore"
            }
        })
    }
}

/// What would be spent, for people.
fn spending(units: u64, unpriced_runs: u64) -> String {
    let units =
        (units > 0).then(|| format!("billed extensions for {}", plural(units, "unit", "units")));
    let unpriced = (unpriced_runs > 0).then(|| {
        format!("{} of extensions with unknown units", plural(unpriced_runs, "run", "runs"))
    });
    let both: Vec<String> = [units, unpriced].into_iter().flatten().collect();
    both.join(" and ")
}

fn other_keys(others: u64) -> String {
    match others {
        0 => String::new(),
        others => format!(" and {}", plural(others, "other key", "other keys")),
    }
}

fn directory_kind(run: Option<Stage>) -> &'static str {
    match run {
        Some(Stage::Planned) => "a saved plan",
        Some(Stage::Running) => "a run directory",
        Some(Stage::Planning) | None => "a directory",
    }
}
