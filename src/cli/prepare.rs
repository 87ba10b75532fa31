//! Shared preparation of commands: staging the input, reading the custom metadata fields,
//! confirmation, and charges.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::connect::{Connection, LocalState};
use super::hint::with_hint;
use super::question::Question;
use super::settings_args::{Client, SettingsArgs};
use super::stop::on_thread;
use super::{CliError, Screen};
use ikbulk::charges::Charges;
use ikbulk::error::chain;
use ikbulk::execute::Reads;
use ikbulk::input::{
    Context, Format, Input, STANDARD_INPUT, StagedInput, UnnamedInput, stage_input,
    stage_unnamed_input,
};
use ikbulk::ledger::{LedgerFile, Stage};
use ikbulk::plan::{PlanSummary, PriorRunLookup};
use ikbulk::plural::{plural, thousands};
use ikbulk::request::Endpoint;
use ikbulk::row::{Resolved, Rules, Schema};
use ikbulk::run::RunDir;
use ikbulk::shell::quoted;
use ikbulk_sandbox::{Config, Library, Running};

/// An input argument: a path, or `-` for standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InputArg(Option<PathBuf>);

impl From<OsString> for InputArg {
    fn from(name: OsString) -> Self {
        Self((name != "-").then(|| name.into()))
    }
}

impl InputArg {
    pub(super) fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// The path, if it is a file that can be read again. Standard input cannot, nor can a named
    /// pipe such as `<(…)`, whose name another pipe may have later.
    pub(super) fn file(&self) -> Option<&Path> {
        let is_stream =
            |path: &Path| fs::metadata(path).is_ok_and(|it| !it.is_file() && !it.is_dir());
        self.path().filter(|path| !is_stream(path))
    }

    /// The path beside which the runs of the input are created: its own, or a name in the state
    /// directory if the input cannot be read again.
    pub(super) fn runs_beside(&self, settings: &SettingsArgs) -> Result<PathBuf, CliError> {
        match self.file() {
            Some(path) => Ok(path.to_owned()),
            None => Ok(settings.state_dir()?.path().join("stdin")),
        }
    }

    /// The absolute path; `None` if the input cannot be read again.
    pub(super) fn absolute_path(&self) -> Option<PathBuf> {
        std::path::absolute(self.file()?).ok()
    }

    /// The name for people.
    pub(super) fn name(&self) -> String {
        self.path().map_or(STANDARD_INPUT.to_owned(), |path| path.display().to_string())
    }

    /// The name that the ledger records. All inputs that cannot be read again have the same one.
    pub(super) fn recorded_name(&self) -> String {
        self.file().map_or(STANDARD_INPUT.to_owned(), |path| path.display().to_string())
    }

    /// Copies the input into a directory.
    pub(super) async fn stage_input(
        &self,
        format: Option<Format>,
        directory: &Path,
    ) -> Result<StagedInput, CliError> {
        let (input, directory) = (self.clone(), directory.to_owned());
        let staged = on_thread(move || {
            let (from, name) = input.open()?;
            stage_input(from, name, format, &directory)
                .map_err(|error| CliError::from_error(&error))
        });
        staged.await.unwrap_or_else(|error| Err(CliError::from_error(&error)))
    }

    /// Copies the input to an unnamed file, which the system removes when the program ends.
    pub(super) async fn stage_unnamed_input(
        &self,
        format: Option<Format>,
    ) -> Result<UnnamedInput, CliError> {
        let input = self.clone();
        let staged = on_thread(move || {
            let (from, name) = input.open()?;
            stage_unnamed_input(from, name, format).map_err(|error| CliError::from_error(&error))
        });
        staged.await.unwrap_or_else(|error| Err(CliError::from_error(&error)))
    }

    /// Refuses a path that is missing or a directory, before anything else is asked of a person.
    pub(super) fn require_sheet(&self) -> Result<(), CliError> {
        match self.path() {
            Some(path) if path.is_dir() => Err(not_a_sheet(path)),
            Some(path) => match fs::metadata(path) {
                Ok(_) => Ok(()),
                Err(error) => {
                    Err(CliError::new(format!("cannot read {}: {error}", path.display())))
                }
            },
            None => Ok(()),
        }
    }

    fn open(&self) -> Result<(Box<dyn Read>, &Path), CliError> {
        let Some(path) = self.path() else {
            return Ok((Box::new(io::stdin().lock()), Path::new("-")));
        };
        if path.is_dir() {
            return Err(not_a_sheet(path));
        }
        match File::open(path) {
            Ok(file) => Ok((Box::new(file), path)),
            Err(error) => Err(CliError::new(format!("cannot read {}: {error}", path.display()))),
        }
    }
}

/// The error for a directory in place of a sheet. For a run directory, it names the right command.
fn not_a_sheet(directory: &Path) -> CliError {
    let path = quoted(directory);
    let stage = RunDir::open(directory)
        .ok()
        .and_then(|run| LedgerFile::observe(run.path()).ok()?.meta().ok())
        .map(|meta| meta.stage);
    let hint = match stage {
        Some(Stage::Planned) => {
            format!("a saved plan, not a sheet; apply it with: ikbulk apply --plan {path}")
        }
        Some(Stage::Running) => format!(
            "a run directory, not a sheet; resume it with `ikbulk resume {path}`, revert it with \
             `ikbulk undo {path}`"
        ),
        Some(Stage::Planning) | None => "a directory, not a sheet".to_owned(),
    };
    CliError::new(format!("{path} is {hint}"))
}

/// The custom metadata fields of an account: the JSON for the ledger, and the schema.
pub(super) struct Fields {
    pub(super) json: String,
    pub(super) schema: Option<Schema>,
}

impl Fields {
    /// No schema: custom metadata is sent as is.
    pub(super) fn unchecked() -> Self {
        Self { json: String::new(), schema: None }
    }

    /// Fetches the fields of the account, in one GET, if the input sets custom metadata.
    pub(super) async fn fetch(
        client: &Client,
        input: &Input,
        reads: &Reads,
    ) -> Result<Self, CliError> {
        if !input.mentions_metadata().map_err(|error| CliError::from_error(&error))? {
            return Ok(Self::unchecked());
        }
        match reads.read(Endpoint::MetadataFields, || client.api.schema()).await {
            Ok((schema, body)) => {
                let json = String::from_utf8_lossy(&body).into_owned();
                Ok(Self { json, schema: Some(schema) })
            }
            Err(failure) => {
                let message = format!(
                    "cannot read the custom metadata fields of the account (--no-schema skips \
                     validating them): {}",
                    with_hint(&failure)
                );
                Err(CliError::read_failed(&failure, message))
            }
        }
    }

    /// The context for reading cells; `files` are the resolved paths and URLs.
    pub(super) fn context(&self, clear_token: String, files: Option<Resolved>) -> Context {
        let (schema, files) = (self.schema.clone(), files.map(Arc::new));
        Context { rules: Rules { clear_token }, schema, files }
    }
}

/// Starts the built-in sandbox of a run. Its library has the files that the input names.
/// Why a sheet is refused without a person to confirm it: more of its rows are invalid than allowed.
pub(super) fn too_many_invalid(summary: &PlanSummary, max_bad: f64) -> Option<String> {
    let why = || {
        format!(
            "{} of {} invalid, more than --max-bad allows ({}%); nothing was sent. Fix them, or \
             pass a higher --max-bad",
            thousands(summary.rejected),
            plural(summary.rows, "row is", "rows are"),
            max_bad * 100.0
        )
    };
    (summary.rejected_share() > max_bad).then(why)
}

pub(super) fn start_sandbox(
    input: &Input,
    settings: &SettingsArgs,
) -> Result<(Running, Client), CliError> {
    let mut records = input.records(None).map_err(|error| CliError::from_error(&error))?;
    let (mut ids, mut targets) = (Vec::new(), Vec::new());
    while records.advance().map_err(|error| CliError::from_error(&error))?.is_some() {
        let id = records.file_id();
        if !id.is_empty() {
            ids.push(id.into_owned());
        }
        targets.extend(records.target());
    }
    let mut library = Library::from_ids(ids);
    for target in &targets {
        let url = target.url().map(|url| format!("https:{url}"));
        library.add_at(target.file_path(), url.as_deref());
    }
    let config = Config { library, ..Config::default() };
    let running = ikbulk_sandbox::start(config)
        .map_err(|error| CliError::new(format!("cannot start the sandbox: {error}")))?;
    let client = settings.api_of_sandbox(&running.base_url(), running.key())?;
    Ok((running, client))
}

/// Fails if there is no person to confirm the preview, before anything is read.
pub(super) fn require_terminal(interactive: bool) -> Result<(), CliError> {
    let why = "not a terminal: pass --yes to send without confirmation; nothing was sent";
    if interactive { Ok(()) } else { Err(CliError::new(why)) }
}

/// Asks for confirmation of the preview. Asks nothing if nothing is to be sent.
pub(super) async fn ask(
    interactive: bool,
    summary: &PlanSummary,
    max_bad: f64,
    screen: &Screen,
) -> Result<(), CliError> {
    require_terminal(interactive)?;
    let is_confirmed = match Question::for_summary(summary, max_bad) {
        None => true,
        Some(Question::YesOrNo(question)) => screen.ask(&question).await,
        Some(Question::Number(question, number)) => screen.ask_for_number(&question, number).await,
    };
    if is_confirmed { Ok(()) } else { Err(CliError::new("nothing was sent")) }
}

/// Opens the charges database for a run with billed extensions, and records the charges of
/// interrupted runs first. The lock of the account must be held.
pub(super) fn charges(
    connection: &Connection,
    has_extensions: bool,
    screen: &Screen,
) -> Result<Option<Charges>, CliError> {
    let Some(LocalState { state, account, .. }) =
        connection.local.as_ref().filter(|_| has_extensions)
    else {
        return Ok(None);
    };
    let charges = Charges::open(state, &connection.client.identity.service)?;
    for unrecorded in charges.record_open_runs(*account)? {
        screen.error(&chain(&unrecorded));
    }
    Ok(Some(charges))
}

/// Looks up in which earlier run an extension already ran on a file, for the planner.
pub(super) fn already_ran(
    connection: &Connection,
    has_extensions: bool,
) -> Result<PriorRunLookup, CliError> {
    let Some(LocalState { state, .. }) = connection.local.as_ref().filter(|_| has_extensions)
    else {
        return Ok(Box::new(|_, _| None));
    };
    let charges = Charges::open(state, &connection.client.identity.service)?;
    Ok(Box::new(move |file, extension| match charges.find(file, extension) {
        Ok(charge) => charge.map(|charge| charge.to_string()),
        // If the lookup fails, skip the extension: it may have been charged before.
        Err(error) => Some(chain(&error)),
    }))
}
