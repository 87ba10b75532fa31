//! Reaching an account: which one it is, what this machine keeps of it, and reads within its limits.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use super::locks::lock_account;
use super::prepare::hint;
use super::settings_args::{Client, SettingsArgs};
use super::trust::{EndpointSource, IMAGEKIT};
use super::{CliError, Screen};
use crate::account::{AccountDb, AccountId, AccountName, RateFile, StateDir};
use crate::execute::Reads;
use crate::imagekit::{Failure, Listing};
use crate::input::Format;
use crate::ledger::{LedgerFile, RunMeta, Stage};
use crate::request::Endpoint;
use crate::row::{FileId, Resolved};
use crate::run::{RunDir, unsettled_files};
use crate::settings::{Execution, Planning};

/// An account that a command can read from.
pub(super) struct Connection {
    pub(super) client: Client,
    /// The reads of the command.
    pub(super) reads: Reads,
    /// How far the account's limits are used up.
    pub(super) rates: Arc<RateFile>,
    /// `None` for a sandbox of the run's own, of which nothing is kept.
    pub(super) kept: Option<LocalState>,
}

/// What this machine keeps of an account.
pub(super) struct LocalState {
    pub(super) state: StateDir,
    pub(super) db: AccountDb,
    pub(super) account: AccountId,
}

/// What a run is made of, beside the account that it is on.
pub(super) struct NewRun {
    pub(super) input_name: String,
    /// Where the sheet is; `None` where there is none.
    pub(super) input_path: Option<PathBuf>,
    pub(super) input_format: Format,
    pub(super) input_fingerprint: String,
    pub(super) rows: u64,
    pub(super) pays: bool,
    pub(super) clear_token: String,
    pub(super) fields: String,
    pub(super) guarded: bool,
    pub(super) planning: Planning,
}

/// The first file of a list, of which only the URL matters.
#[derive(Deserialize)]
struct FirstFile {
    #[serde(default)]
    url: Option<String>,
}

impl Connection {
    /// Reaches the account of a key: one list of one file shows that the endpoint is an API, that
    /// the key is accepted, and whose files it lists. Where a run cannot begin because another one
    /// is known to write to the account, nothing is requested.
    pub(super) async fn open(
        mut client: Client,
        state: StateDir,
        execution: &Execution,
        refused_if_busy: Option<&RunDir>,
    ) -> Result<Self, CliError> {
        let db = AccountDb::open(&state)?;
        let mut account = db.account_of(&client.identity)?;
        if let Some(run) = refused_if_busy {
            drop(lock_account(&state, account, run, false).await?);
        }
        let mut rates = Arc::new(RateFile::of_account(&state, account)?);
        let mut reads = Reads::sharing(execution, &rates);
        client.identity.name = account_name(&client, &reads).await?;
        let learned = db.account_of(&client.identity)?;
        if learned != account {
            account = learned;
            rates = Arc::new(RateFile::of_account(&state, account)?);
            reads = Reads::sharing(execution, &rates);
        }
        if client.identity.name.is_none() {
            client.identity.name = db.name_of(account)?;
        }
        Ok(Self { client, reads, rates, kept: Some(LocalState { state, db, account }) })
    }

    /// Reaches the account that a run began on.
    ///
    /// The endpoint that its ledger names is trusted only if the run began here; `person` can be
    /// asked otherwise.
    pub(super) async fn to_run(
        settings: &SettingsArgs,
        run: &RunDir,
        meta: &RunMeta,
        execution: &Execution,
        refused_if_busy: Option<&RunDir>,
        person: Option<&Screen>,
    ) -> Result<Self, CliError> {
        let state = settings.state_dir()?;
        let begun_here = AccountDb::open(&state)?.began(&meta.id, &meta.endpoint)?;
        let source = EndpointSource::Run { path: run.path().to_owned(), begun_here };
        let client = settings.api_of_run(&meta.endpoint, &source, person).await?;
        Self::open(client, state, execution, refused_if_busy).await
    }

    /// Reaches a sandbox of a run's own.
    pub(super) fn to_sandbox(
        client: Client,
        run: &RunDir,
        execution: &Execution,
    ) -> Result<Self, CliError> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(run.sandbox_rates());
        let rates = Arc::new(RateFile::new(file.map_err(|error| CliError::not_written(&error))?));
        Ok(Self { client, reads: Reads::sharing(execution, &rates), rates, kept: None })
    }

    /// Whether no other run is known to have written to the account, so that what other machines
    /// or users were charged for is not known either.
    pub(super) fn is_first_run(&self, meta: &RunMeta) -> bool {
        // What cannot be read says nothing; the run itself cannot begin without it.
        let has_history = |kept: &LocalState| kept.db.has_history(kept.account, &meta.id);
        self.kept.as_ref().is_some_and(|kept| matches!(has_history(kept), Ok(false)))
    }

    /// Begins a run on the account: makes its ledger and registers it.
    pub(super) fn begin(
        &self,
        run: &RunDir,
        new: NewRun,
        files: Option<&Resolved>,
    ) -> Result<(RunMeta, LedgerFile), CliError> {
        let meta = RunMeta {
            id: new_id()?,
            position: self.next_position(run)?,
            input_name: new.input_name,
            input_path: new.input_path.map(PathBuf::into_os_string),
            input_format: new.input_format,
            input_fingerprint: new.input_fingerprint,
            rows: new.rows,
            writes: 0,
            endpoint: self.client.endpoint.clone(),
            account: self.client.identity.clone(),
            sandbox: self.kept.is_none(),
            pays: new.pays,
            clear_token: new.clear_token,
            fields: new.fields,
            begun: Timestamp::now().to_string(),
            guarded: new.guarded,
            planning: new.planning,
            stage: Stage::Planning,
        };
        let ledger = LedgerFile::create(run.path(), &meta, files)?;
        self.register(run, &meta)?;
        Ok((meta, ledger))
    }

    /// The position of a run that begins now: after all that this machine knows, and all beside it.
    pub(super) fn next_position(&self, run: &RunDir) -> Result<u64, CliError> {
        let known = self.kept.as_ref().map_or(Ok(1), |kept| kept.db.next_position())?;
        Ok(known.max(run.last_position_beside() + 1))
    }

    /// Registers a run with what this machine keeps of the account.
    pub(super) fn register(&self, run: &RunDir, meta: &RunMeta) -> Result<(), CliError> {
        let Some(LocalState { db, account, .. }) = &self.kept else {
            return Ok(());
        };
        Ok(db.register(*account, &run.entry(meta))?)
    }

    /// The files on which requests of other runs may still take effect.
    pub(super) fn unsettled_files(&self, except: &RunMeta) -> Result<Vec<FileId>, CliError> {
        let Some(LocalState { db, account, .. }) = &self.kept else {
            return Ok(Vec::new());
        };
        Ok(unsettled_files(db, *account, &except.id, Timestamp::now())?)
    }

    /// Has a new run rely on no value of a file that another run may still change.
    pub(super) fn mark_unsettled(
        &self,
        ledger: &LedgerFile,
        meta: &RunMeta,
    ) -> Result<(), CliError> {
        let files = self.unsettled_files(meta)?;
        ledger.set_unsettled(&files).map_err(|error| CliError::not_written(&error))
    }
}

/// A server that has no such path will not have it a moment later either, even if it is a proxy that answers.
fn refused_if_not_there(failure: Failure) -> Failure {
    match failure {
        Failure::Lost { code, message, http_status: Some(404), request_id, .. } => {
            Failure::Refused { code, message, http_status: 404, request_id, missing: Vec::new() }
        }
        other => other,
    }
}

/// An id that no other run has and that cannot be guessed, so that no ledger from elsewhere can
/// claim to be a run of this machine.
fn new_id() -> Result<String, CliError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| CliError::new(format!("the system has no random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The account that the first file of the library belongs to; `None` where there is none, or where
/// the key may not list files.
async fn account_name(client: &Client, reads: &Reads) -> Result<Option<AccountName>, CliError> {
    let library = Listing::default();
    let first = || async {
        let answer = client.api.list::<FirstFile>(&library, 0, 1).await;
        answer.map_err(refused_if_not_there)
    };
    match reads.read(Endpoint::List, first).await {
        Ok(files) => {
            let url = files.into_iter().next().and_then(|file| file.url);
            Ok(url.as_deref().and_then(AccountName::of_file_url))
        }
        Err(Failure::Refused { http_status: 404, .. }) => Err(CliError::new(format!(
            "the endpoint {} answers 404 to GET /v1/files, so it is not the API; nothing was sent. \
             Name the API's root, which has no /v1 in it, such as {IMAGEKIT}",
            client.endpoint
        ))),
        Err(Failure::Refused { .. }) => Ok(None),
        Err(failure) => {
            let hint = hint(&failure);
            let message = format!("cannot read the library: {failure}{hint}; nothing was sent");
            Err(CliError::not_read(&failure, message))
        }
    }
}
