//! Errors of commands: what a person can do about an error of the engine, and its exit code.

use ikbulk::engine::{
    self, AccountError, Concern, EndpointError, Failure, FilesPurpose, ImportError, LedgerError,
    LockError, NothingToUndo, PlanError, ReadError, ReadPurpose, Refusal, RunLockError,
    SessionError, Stage, StageProblem, StateDirError, UndoError,
};
use ikbulk::exit_codes::{ABORTED, INCOMPLETE, LOCKED, NOT_WRITTEN, REFUSED};
use ikbulk::internals::{chain, path_argument};

/// An error that ends a command: its message and its exit code.
#[derive(Debug)]
pub(super) struct CliError {
    pub(super) message: String,
    pub(super) exit_code: u8,
}

impl CliError {
    /// Invalid usage or input; nothing was sent.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: REFUSED }
    }

    /// A file cannot be read or written.
    pub(super) fn not_written(error: &dyn std::error::Error) -> Self {
        Self { message: chain(error), exit_code: NOT_WRITTEN }
    }
}

impl From<engine::Error> for CliError {
    fn from(error: engine::Error) -> Self {
        Self { message: message(&error), exit_code: exit_code(&error) }
    }
}

fn exit_code(error: &engine::Error) -> u8 {
    use engine::Error;
    match error {
        Error::Refused(_)
        | Error::Endpoint(_)
        | Error::Client(_)
        | Error::Input(_)
        | Error::Column(_)
        | Error::RunDir(_)
        | Error::Files { source: ReadError::Input(_), .. }
        | Error::Ledger(LedgerError::NeverBegun { .. })
        | Error::Plan(PlanError::Input(_))
        | Error::Undo(UndoError::Input(_))
        | Error::Session(SessionError::Thread(_)) => REFUSED,
        Error::Read { failure, .. } | Error::Files { source: ReadError::Api(failure), .. } => {
            match failure.concerns() {
                Concern::Request => REFUSED,
                Concern::Environment | Concern::Account => ABORTED,
            }
        }
        Error::ImportCharges { reason, .. } => match **reason {
            ImportError::Line { .. } | ImportError::Read(_) => REFUSED,
            ImportError::Charges(_) => NOT_WRITTEN,
        },
        Error::AccountLock(LockError::Held { .. })
        | Error::RunLock(RunLockError::Held { .. } | RunLockError::Reporting { .. }) => LOCKED,
        Error::Account(AccountError::State(error))
        | Error::AccountLock(LockError::State(error)) => match error {
            StateDirError::Nowhere | StateDirError::Unsafe { .. } => REFUSED,
            StateDirError::Io { .. } => NOT_WRITTEN,
        },
        Error::Files { source: ReadError::Ledger(_) | ReadError::Account(_), .. }
        | Error::AccountLock(LockError::File { .. })
        | Error::RunLock(RunLockError::File { .. })
        | Error::Account(_)
        | Error::Ledger(_)
        | Error::Charges(_)
        | Error::Plan(PlanError::Ledger(_) | PlanError::PriorRuns(_))
        | Error::Undo(UndoError::Ledger(_) | UndoError::Write(_))
        | Error::Session(SessionError::Ledger(_) | SessionError::ReadBack(_))
        | Error::Report(_)
        | Error::File { .. } => NOT_WRITTEN,
        Error::Deadline => INCOMPLETE,
    }
}

/// The message, followed by what a person can do.
fn message(error: &engine::Error) -> String {
    use engine::Error;
    match error {
        Error::Refused(Refusal::NotConfirmable) => {
            "not a terminal: pass --yes to send without confirmation; nothing was sent".to_owned()
        }
        Error::Refused(refusal) => chain(refusal) + &refusal_hint(refusal),
        Error::AccountLock(LockError::Held { .. }) | Error::RunLock(RunLockError::Held { .. }) => {
            format!("{error}; pass --wait-lock to wait for it")
        }
        Error::Endpoint(endpoint) => endpoint_message(endpoint),
        Error::Read { purpose, failure } => failed_read(*purpose, failure),
        Error::Files { purpose, source: source @ ReadError::Api(failure) } => {
            let cause = chain(source);
            let workaround = match purpose {
                _ if failure.concerns() == Concern::Account => "",
                FilesPurpose::Plan => " (--direct applies the sheet without reading them)",
                FilesPurpose::Snapshots => {
                    " (--no-snapshot skips reading them, which disables `ikbulk undo`)"
                }
                FilesPurpose::Undo => "",
            };
            let (cause, hint) = (cause.trim_end_matches('.'), read_hint(failure));
            format!("{cause}{workaround}{hint}; nothing was sent")
        }
        Error::Files { source, .. } => chain(source),
        other => chain(other),
    }
}

fn endpoint_message(error: &EndpointError) -> String {
    let EndpointError::NotTrusted { url, user_file, .. } = error else {
        return chain(error);
    };
    let user_file = user_file.as_ref().map(|path| {
        format!(", or add it to a profile in your user settings file, {}", path.display())
    });
    let user_file = user_file.unwrap_or_default();
    format!("{error}.\nIf you trust the endpoint, pass --endpoint {url}{user_file}")
}

fn failed_read(purpose: ReadPurpose, failure: &Failure) -> String {
    let cause = failure.to_string();
    let cause = format!("{}{}", cause.trim_end_matches('.'), read_hint(failure));
    match purpose {
        ReadPurpose::Connect | ReadPurpose::LookUp | ReadPurpose::SavedExtensions => {
            format!("cannot {purpose}: {cause}; nothing was sent")
        }
        ReadPurpose::MetadataFields => {
            format!("cannot {purpose} (--no-schema skips validating them): {cause}")
        }
        ReadPurpose::Usage => format!("cannot {purpose}: {cause}"),
        ReadPurpose::Export => format!("cannot {purpose}: {cause}; no sheet was written"),
        ReadPurpose::Settle => format!("cannot {purpose}: {cause}; what was settled is kept"),
    }
}

/// What a person can do about a failed read.
fn read_hint(failure: &Failure) -> &'static str {
    match failure.concerns() {
        Concern::Environment if matches!(failure, Failure::Throttled(_)) => {
            "; stop other clients of the account, or try again later (--down-max sets how long to \
             retry)"
        }
        Concern::Account => "; check the key in IMAGEKIT_PRIVATE_KEY or --key-file",
        Concern::Environment => {
            "; check the network and --endpoint, then try again (--down-max sets how long to retry)"
        }
        Concern::Request => "",
    }
}

/// What a person can do about a refusal.
fn refusal_hint(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotASheet { path, run: Some(Stage::Planned) } => {
            format!("; apply it with: ikbulk apply --plan {}", path_argument(path))
        }
        Refusal::NotASheet { path, run: Some(Stage::Running) } => {
            let run = path_argument(path);
            format!("; resume it with `ikbulk resume {run}`, revert it with `ikbulk undo {run}`")
        }
        Refusal::Unfinished(path) => {
            let run = path_argument(path);
            format!(
                "\nresume it:      ikbulk resume {run}\n\
                 or revert it:   ikbulk undo {run}\n\
                 then apply the sheet again"
            )
        }
        Refusal::Retried { by, is_finished: true, .. } => {
            format!("; what failed again: ikbulk retry {}", path_argument(by))
        }
        Refusal::Retried { by, .. } => {
            format!("; what is left of that: ikbulk resume {}", path_argument(by))
        }
        Refusal::Stage { run, problem } => stage_hint(*problem, &path_argument(run)),
        Refusal::OtherEncoding(guess) => format!(
            ". If these words are right, pass --encoding {}; otherwise save the sheet as “CSV UTF-8”, or \
             name the right encoding",
            guess.encoding
        ),
        Refusal::UnknownPrice(name) => {
            let name = name.as_str();
            format!(
                "; pass --price {name}=UNITS, or limit runs instead of units: --max-extension-runs {name}=N"
            )
        }
        Refusal::NothingToUndo { reason: NothingToUndo::Sandbox, .. } => {
            ". To try undo, start `ikbulk sandbox`".to_owned()
        }
        Refusal::NothingToUndo { reason: NothingToUndo::NoSnapshots, .. } => {
            " (--no-snapshot keeps none)".to_owned()
        }
        Refusal::UnlimitedSpending { unpriced_runs: 0, .. } => {
            ". Pass --max-units N or --max-extension-runs NAME=N to set a limit".to_owned()
        }
        Refusal::UnlimitedSpending { .. } => {
            ". Pass --max-extension-runs NAME=N to set a limit, or --max-units N with the --price of each \
             extension whose units are not known"
                .to_owned()
        }
        Refusal::Replaced { by, .. } if by.exists() => {
            format!(".\nMake the same edits in {}, and apply that", by.display())
        }
        Refusal::Replaced { .. } => "; the run has no such rows left".to_owned(),
        Refusal::Undone { .. } => {
            ".\nTo send its changes again, apply its sheet, or its failed.csv".to_owned()
        }
        other => fixed_hint(other).to_owned(),
    }
}

/// The hint of a refusal that is the same for every sheet and run.
fn fixed_hint(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoRows => "; pass --allow-empty to accept that",
        Refusal::UnknownOutcome(_) => {
            ". Check the file and empty these cells, or pass --repeat-unknown to send them again, \
             which can be charged twice"
        }
        Refusal::DuplicatesOfDirect => "; leave out one of --duplicates and --direct",
        Refusal::AmbiguousNulls { .. } => {
            ". Pass --null-means leave to keep these fields, or --null-means clear to clear them"
        }
        Refusal::TooManyInvalid { .. } => ". Fix them, or pass a higher --max-bad",
        Refusal::SavedExtensionChanged(_) => {
            ".\nPlan the rest again: apply the sheet, or its report of failed rows, as a new run. An \
             unfinished run must be reverted before, with `ikbulk undo RUN`, also if it has nothing to \
             revert"
        }
        Refusal::NoKey => {
            ": set IMAGEKIT_PRIVATE_KEY, or pass --key-file FILE; without an account, try `ikbulk \
             apply FILE --sandbox` or `ikbulk sandbox`"
        }
        Refusal::OtherEndpoint { .. } => {
            "; remove --endpoint, IMAGE_KIT_BASE_URL or the endpoint of the profile"
        }
        Refusal::KeyDiffers => ".\nIf the key was rotated, pass --key-changed",
        Refusal::KeyDiffersFromPlan => ".\nPlan the sheet again with this key",
        Refusal::EditedCopy(_) => {
            ".\nThe ledger of the run refers to the original rows. Apply the edited file as a new \
             sheet: copy it elsewhere, then `ikbulk apply` the copy"
        }
        Refusal::LaterRun(_) => {
            ".\nApply the sheet again to send what is left, or pass --over-later-runs"
        }
        Refusal::Exists(_) => "; pass --overwrite to replace it",
        Refusal::EndlessListing(_) => "; export one folder at a time with --folder",
        Refusal::NotASheet { .. }
        | Refusal::UnlimitedSpending { .. }
        | Refusal::Unfinished(_)
        | Refusal::Retried { .. }
        | Refusal::Replaced { .. }
        | Refusal::Undone { .. }
        | Refusal::Stage { .. }
        | Refusal::OtherEncoding(_)
        | Refusal::UnknownPrice(_)
        | Refusal::NothingToUndo { .. }
        | Refusal::CannotListen { .. }
        | Refusal::ExtensionsOfRun { .. }
        | Refusal::Unreadable { .. }
        | Refusal::ExtensionsForAll(_)
        | Refusal::NotConfirmable
        | Refusal::NotConfirmed
        | Refusal::UnusableKey(_)
        | Refusal::SandboxGone(_)
        | Refusal::NotTheApi(_)
        | Refusal::UnknownFormat(_)
        | Refusal::Sandbox(_)
        | Refusal::NoCallbackUrl
        | Refusal::OtherCallbackUrl(_)
        | Refusal::System(_) => "",
    }
}

fn stage_hint(problem: StageProblem, run: &str) -> String {
    match problem {
        StageProblem::SavedPlan => format!("; apply it with: ikbulk apply --plan {run}"),
        StageProblem::RunNotPlanned => ". Apply the sheet again".to_owned(),
        StageProblem::PlanNotSaved => ". Plan the sheet again".to_owned(),
        StageProblem::Finished { .. } => format!("; see: ikbulk report {run}"),
        StageProblem::Unfinished { .. } => format!("; run: ikbulk resume {run}"),
        StageProblem::NotFinished => format!("; first finish it: ikbulk resume {run}"),
    }
}
