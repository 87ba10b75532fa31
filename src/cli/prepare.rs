//! What commands do before they do what they are for: take an input over, get at the account's
//! custom metadata fields, and take its lock.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::connect::{Connection, LocalState};
use super::question::Question;
use super::settings_args::{Client, SettingsArgs};
use super::stop::on_thread;
use super::{CliError, Screen};
use crate::charges::Charges;
use crate::error::chain;
use crate::execute::Reads;
use crate::imagekit::{Concern, Failure};
use crate::input::{
    Context, Format, Input, STANDARD_INPUT, StagedInput, UnnamedInput, stage_input,
    stage_unnamed_input,
};
use crate::plan::{PlanSummary, PriorRunLookup};
use crate::request::Endpoint;
use crate::row::{Resolved, Rules, Schema};
use crate::sandbox::{self, Library};

/// What a person can do where ImageKit cannot be read.
pub(super) fn hint(failure: &Failure) -> &'static str {
    match failure.concerns() {
        Concern::Environment if matches!(failure, Failure::Throttled(_)) => {
            "; stop what else uses up the account's limit, or run it again later (--down-max says \
             how long to try)"
        }
        Concern::Account => "; check the key in IMAGEKIT_PRIVATE_KEY or --key-file",
        Concern::Environment => {
            "; check the network and --endpoint and run it again, --down-max says how long to try"
        }
        Concern::Request => "",
    }
}

/// An input as it was typed: a path, or `-` for standard input.
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

    /// The path of a file that stays. Standard input does not, nor does a pipe with a name, like that
    /// of `<(…)`: it can be read once, and another one has the same name.
    pub(super) fn file(&self) -> Option<&Path> {
        let is_stream =
            |path: &Path| fs::metadata(path).is_ok_and(|it| !it.is_file() && !it.is_dir());
        self.path().filter(|path| !is_stream(path))
    }

    /// What its runs lie beside: itself, or for what does not stay a name in the state directory.
    pub(super) fn beside(&self, settings: &SettingsArgs) -> Result<PathBuf, CliError> {
        match self.file() {
            Some(path) => Ok(path.to_owned()),
            None => Ok(settings.state_dir()?.path().join("stdin")),
        }
    }

    /// Where it is, wherever the program is started the next time; `None` for what does not stay.
    pub(super) fn absolute_path(&self) -> Option<PathBuf> {
        std::path::absolute(self.file()?).ok()
    }

    /// What people call it.
    pub(super) fn name(&self) -> String {
        self.path().map_or(STANDARD_INPUT.to_owned(), |path| path.display().to_string())
    }

    /// What a run knows it by: all that do not stay are one.
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
        let taken_over = on_thread(move || {
            let (from, name) = input.open()?;
            stage_input(from, name, format, &directory).map_err(|error| CliError::of(&error))
        });
        taken_over.await.unwrap_or_else(|error| Err(CliError::of(&error)))
    }

    /// Copies the input to a file without a name, of which nothing is left when the program ends.
    pub(super) async fn stage_unnamed_input(
        &self,
        format: Option<Format>,
    ) -> Result<UnnamedInput, CliError> {
        let input = self.clone();
        let taken_over = on_thread(move || {
            let (from, name) = input.open()?;
            stage_unnamed_input(from, name, format).map_err(|error| CliError::of(&error))
        });
        taken_over.await.unwrap_or_else(|error| Err(CliError::of(&error)))
    }

    fn open(&self) -> Result<(Box<dyn Read>, &Path), CliError> {
        let Some(path) = self.path() else {
            return Ok((Box::new(io::stdin().lock()), Path::new("-")));
        };
        match File::open(path) {
            Ok(file) => Ok((Box::new(file), path)),
            Err(error) => Err(CliError::new(format!("cannot read {}: {error}", path.display()))),
        }
    }
}

/// The account's fields as text to keep, and as a schema.
pub(super) struct Fields {
    pub(super) json: String,
    pub(super) schema: Option<Schema>,
}

impl Fields {
    /// No schema: names and values go as they stand.
    pub(super) fn unchecked() -> Self {
        Self { json: String::new(), schema: None }
    }

    /// One GET of the account's fields, if the input sets custom metadata.
    pub(super) async fn of(
        client: &Client,
        input: &Input,
        reads: &Reads,
    ) -> Result<Self, CliError> {
        if !input.mentions_metadata().map_err(|error| CliError::of(&error))? {
            return Ok(Self::unchecked());
        }
        match reads.read(Endpoint::MetadataFields, || client.api.schema()).await {
            Ok((schema, body)) => {
                let json = String::from_utf8_lossy(&body).into_owned();
                Ok(Self { json, schema: Some(schema) })
            }
            Err(failure) => {
                let message = format!(
                    "cannot read the account's custom metadata fields, which the input sets \
                     (--no-schema goes without): {failure}{}",
                    hint(&failure)
                );
                Err(CliError::not_read(&failure, message))
            }
        }
    }

    /// What cells are read with; `files` are those that have been looked up.
    pub(super) fn context(&self, clear_token: String, files: Option<Resolved>) -> Context {
        let (schema, files) = (self.schema.clone(), files.map(Arc::new));
        Context { rules: Rules { clear_token }, schema, files }
    }
}

/// Starts a sandbox of its own for a run, whose library holds the files that the input names.
pub(super) fn start_sandbox(
    input: &Input,
    settings: &SettingsArgs,
) -> Result<(sandbox::Running, Client), CliError> {
    let mut records = input.records(None).map_err(|error| CliError::of(&error))?;
    let (mut ids, mut targets) = (Vec::new(), Vec::new());
    while records.advance().map_err(|error| CliError::of(&error))?.is_some() {
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
    let config = sandbox::Config { library, ..sandbox::Config::default() };
    let running = sandbox::start(config)
        .map_err(|error| CliError::new(format!("cannot start the sandbox: {error}")))?;
    let client = settings.api_of_sandbox(&running.base_url(), running.key())?;
    Ok((running, client))
}

/// Refuses what could not be confirmed, before anything is read for it.
pub(super) fn refuse_unattended(attended: bool) -> Result<(), CliError> {
    let why = "not a terminal, so nothing can be confirmed; --yes sends without asking. Nothing was \
               sent";
    if attended { Ok(()) } else { Err(CliError::new(why)) }
}

/// Asks whether to send what was shown, or what remains of it where more rows are bad than may be.
/// Where nothing is to be sent, there is nothing to ask.
pub(super) async fn ask(
    attended: bool,
    summary: &PlanSummary,
    max_bad: f64,
    screen: &Screen,
) -> Result<(), CliError> {
    refuse_unattended(attended)?;
    let is_confirmed = match Question::about(summary, max_bad) {
        None => true,
        Some(Question::YesOrNo(question)) => screen.ask(&question).await,
        Some(Question::Number(question, number)) => screen.ask_for(&question, number).await,
    };
    if is_confirmed { Ok(()) } else { Err(CliError::new("nothing was sent")) }
}

/// The memory of charges for a run that runs extensions, with the charges of interrupted runs in it.
/// The account's lock is held.
pub(super) fn charges(
    connection: &Connection,
    pays: bool,
    screen: &Screen,
) -> Result<Option<Charges>, CliError> {
    let Some(LocalState { state, account, .. }) = connection.kept.as_ref().filter(|_| pays) else {
        return Ok(None);
    };
    let charges = Charges::open(state, &connection.client.identity.service)?;
    for unrecorded in charges.record_open_runs(*account)? {
        screen.error(&chain(&unrecorded));
    }
    Ok(Some(charges))
}

/// Tells the planner in which run an extension already ran on a file.
pub(super) fn already_ran(connection: &Connection, pays: bool) -> Result<PriorRunLookup, CliError> {
    let Some(LocalState { state, .. }) = connection.kept.as_ref().filter(|_| pays) else {
        return Ok(Box::new(|_, _| None));
    };
    let charges = Charges::open(state, &connection.client.identity.service)?;
    Ok(Box::new(move |file, extension| match charges.find(file, extension) {
        Ok(charge) => charge.map(|charge| charge.to_string()),
        // What cannot be looked up is not charged a second time.
        Err(error) => Some(chain(&error)),
    }))
}
