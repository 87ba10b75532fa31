//! Connecting to an account: its identity, its local state, and rate-limited reads.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use super::access::Client;
use super::error::{Error, ReadPurpose, Refusal};
use super::locks::lock_account;
use super::settings::Settings;
use super::ui::Ui;
use crate::account::{AccountDb, AccountId, AccountLock, AccountName, RateFile, StateDir};
use crate::execute::Reads;
use crate::imagekit::{Failure, Listing};
use crate::input::{Format, ReadOptions};
use crate::ledger::{LedgerFile, RunKind, RunMeta, Stage};
use crate::request::Endpoint;
use crate::row::{FileId, Resolved, Rules};
use crate::run::{RunDir, unsettled_files};
use crate::settings::{Execution, Planning};
use crate::spending::SpendingLimits;

/// A connection to an account.
pub(super) struct Connection {
    pub(super) client: Client,
    /// Sends the reads of this command, within the rate limit.
    pub(super) reads: Reads,
    /// The use of the rate limits, shared with other processes on this machine.
    pub(super) rates: Arc<RateFile>,
    /// `None` for the built-in sandbox, which has no local state.
    pub(super) local: Option<LocalState>,
}

/// The state of an account on this machine: locks, runs, charges.
pub(super) struct LocalState {
    pub(super) state: StateDir,
    pub(super) db: AccountDb,
    pub(super) account: AccountId,
}

/// The parameters of a new run, except its account.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct NewRun {
    pub(super) kind: RunKind,
    pub(super) input_name: String,
    /// The absolute path of the sheet; `None` for standard input and pipes.
    pub(super) input_path: Option<PathBuf>,
    pub(super) input_format: Format,
    pub(super) read_options: ReadOptions,
    pub(super) input_fingerprint: String,
    pub(super) rows: u64,
    pub(super) names_files_once: bool,
    pub(super) has_extensions: bool,
    pub(super) rules: Rules,
    pub(super) fields: String,
    pub(super) planning: Planning,
    pub(super) spending: SpendingLimits,
    pub(super) saves_responses: bool,
    pub(super) fails_on_pending: bool,
}

/// A listed file, of which only the URL is read.
#[derive(Deserialize)]
struct ListedUrl {
    #[serde(default)]
    url: Option<String>,
}

impl Connection {
    /// Takes the lock of the account; with `wait`, waits for it. The built-in sandbox has no lock.
    pub(super) async fn lock(
        &self,
        run: &RunDir,
        wait: bool,
    ) -> Result<Option<AccountLock>, Error> {
        match &self.local {
            Some(LocalState { state, account, .. }) => {
                lock_account(state, *account, run.path(), wait).await.map(Some)
            }
            None => Ok(None),
        }
    }

    /// Takes the lock of the account of the key, and also of the account that a run started on if
    /// that is recorded under another key. `check_key` then fails unless the keys may belong to the
    /// same account.
    pub(super) async fn lock_account_of_run(
        &self,
        run: &RunDir,
        started: &RunMeta,
        wait: bool,
        check_key: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Vec<AccountLock>, Error> {
        let mut locks: Vec<_> = self.lock(run, wait).await?.into_iter().collect();
        let Some(LocalState { state, db, account }) = &self.local else {
            return Ok(locks);
        };
        let started_on = db.account_of(&started.account)?;
        if started_on != *account {
            check_key()?;
            locks.push(lock_account(state, started_on, run.path(), wait).await?);
            db.join(*account, started_on)?;
        }
        Ok(locks)
    }

    /// Connects to the account of a key. Listing one file verifies the endpoint and the key, and
    /// returns the account name. With `refused_if_busy`, fails without a request if another run
    /// holds the account.
    pub(super) async fn open(
        mut client: Client,
        state: StateDir,
        execution: &Execution,
        refused_if_busy: Option<&RunDir>,
    ) -> Result<Self, Error> {
        let db = AccountDb::open(&state)?;
        let mut account = db.account_of(&client.identity)?;
        if let Some(run) = refused_if_busy {
            drop(lock_account(&state, account, run.path(), false).await?);
        }
        let mut rates = Arc::new(RateFile::of_account(&state, account)?);
        let mut reads = Reads::sharing(execution, &rates);
        client.identity.name = account_name(&client, &reads).await?;
        let account_by_name = db.account_of(&client.identity)?;
        if account_by_name != account {
            account = account_by_name;
            rates = Arc::new(RateFile::of_account(&state, account)?);
            reads = Reads::sharing(execution, &rates);
        }
        if client.identity.name.is_none() {
            client.identity.name = db.name_of(account)?;
        }
        Ok(Self { client, reads, rates, local: Some(LocalState { state, db, account }) })
    }

    /// Connects to the account that a run started on; see [`Settings::client_of_run`].
    pub(super) async fn to_account_of_run(
        settings: &Settings,
        run: &RunDir,
        meta: &RunMeta,
        refused_if_busy: Option<&RunDir>,
        prompt: Option<&impl Ui>,
    ) -> Result<Self, Error> {
        let client = settings.client_of_run(run, meta, prompt).await?;
        Self::open(client, settings.open_state()?, &settings.execution, refused_if_busy).await
    }

    /// Connects to the built-in sandbox of a run.
    pub(super) fn to_sandbox(
        client: Client,
        run: &RunDir,
        execution: &Execution,
    ) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let path = run.sandbox_rates();
        let file = options
            .open(&path)
            .map_err(|error| Error::file(format!("create {}", path.display()), error))?;
        let rates = Arc::new(RateFile::new(file));
        Ok(Self { client, reads: Reads::sharing(execution, &rates), rates, local: None })
    }

    /// Whether this machine knows no other run of the account. Charges by other machines or users
    /// are then unknown.
    pub(super) fn is_first_run(&self, meta: &RunMeta) -> bool {
        // A read error counts as "not first"; creating the run reports it.
        let has_history = |local: &LocalState| local.db.has_history(local.account, &meta.id);
        self.local.as_ref().is_some_and(|local| matches!(has_history(local), Ok(false)))
    }

    /// Creates the ledger of a new run and registers the run.
    pub(super) fn create_run(
        &self,
        run: &RunDir,
        new: NewRun,
        files: Option<&Resolved>,
    ) -> Result<(RunMeta, LedgerFile), Error> {
        let meta = RunMeta {
            id: new_id()?,
            kind: new.kind,
            position: self.next_position(run)?,
            input_name: new.input_name,
            input_path: new.input_path.map(PathBuf::into_os_string),
            input_format: new.input_format,
            read_options: new.read_options,
            input_fingerprint: new.input_fingerprint,
            rows: new.rows,
            names_files_once: new.names_files_once,
            writes: 0,
            endpoint: self.client.endpoint.clone(),
            account: self.client.identity.clone(),
            sandbox: self.local.is_none(),
            has_extensions: new.has_extensions,
            rules: new.rules,
            fields: new.fields,
            begun: Timestamp::now().to_string(),
            planning: new.planning,
            spending: new.spending,
            saves_responses: new.saves_responses,
            fails_on_pending: new.fails_on_pending,
            stage: Stage::Planning,
        };
        let ledger = LedgerFile::create(run.path(), &meta, files)?;
        self.register(run, &meta)?;
        Ok((meta, ledger))
    }

    /// The position of a new run in the order of runs: after all runs that this machine knows, and
    /// after all in the same directory.
    pub(super) fn next_position(&self, run: &RunDir) -> Result<u64, Error> {
        let known = self.local.as_ref().map_or(Ok(1), |local| local.db.next_position())?;
        Ok(known.max(run.last_position_beside() + 1))
    }

    /// Registers a run in the local state of the account.
    pub(super) fn register(&self, run: &RunDir, meta: &RunMeta) -> Result<(), Error> {
        let Some(LocalState { db, account, .. }) = &self.local else {
            return Ok(());
        };
        Ok(db.register(*account, &run.entry(meta))?)
    }

    /// Files on which requests of other runs may still take effect.
    pub(super) fn unsettled_files(&self, except: &RunMeta) -> Result<Vec<FileId>, Error> {
        let Some(LocalState { db, account, .. }) = &self.local else {
            return Ok(Vec::new());
        };
        Ok(unsettled_files(db, *account, &except.id, Timestamp::now())?)
    }

    /// Marks the files that other runs may still change, so that the new run does not rely on their
    /// snapshots.
    pub(super) fn mark_unsettled(&self, ledger: &LedgerFile, meta: &RunMeta) -> Result<(), Error> {
        let files = self.unsettled_files(meta)?;
        Ok(ledger.set_unsettled(&files)?)
    }
}

/// A lost response is normally retried. With status 404 it is final, even from a proxy: a server
/// without the path will not get it a moment later.
fn reject_on_404(failure: Failure) -> Failure {
    match failure {
        Failure::Lost { code, message, http_status: Some(404), request_id, .. } => {
            Failure::Rejected { code, message, http_status: 404, request_id, missing: Vec::new() }
        }
        other => other,
    }
}

/// A unique id. Not guessable, so that no ledger from elsewhere can claim to be a run of this
/// machine.
fn new_id() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Refusal::System(format!("give random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The account name in the URL of the first file; `None` if the library is empty or the key may not
/// list files.
async fn account_name(client: &Client, reads: &Reads) -> Result<Option<AccountName>, Error> {
    let library = Listing::default();
    let first = || async {
        let response = client.api.list::<ListedUrl>(&library, 0, 1).await;
        response.map_err(reject_on_404)
    };
    match reads.read(Endpoint::List, first).await {
        Ok(files) => {
            let url = files.into_iter().next().and_then(|file| file.url);
            Ok(url.as_deref().and_then(AccountName::of_file_url))
        }
        Err(Failure::Rejected { http_status: 404, .. }) => {
            Err(Refusal::NotTheApi(client.endpoint.clone()).into())
        }
        Err(Failure::Rejected { .. }) => Ok(None),
        Err(failure) => Err(Error::Read { purpose: ReadPurpose::Connect, failure }),
    }
}
