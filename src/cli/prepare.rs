//! What commands do before they do what they are for: take an input over, get at the account's
//! custom metadata fields, and take its lock.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::choices::{Choices, Client};
use super::{IN_THE_WAY, Refusal, Screen};
use crate::account::state_dir::StateDir;
use crate::error::chain;
use crate::execute::Reads;
use crate::imagekit::Failure;
use crate::input::{Context, Format, Input, Owned, STANDARD_INPUT, take_over};
use crate::ledger::Facts;
use crate::plan::{Bought, Tally};
use crate::request::Endpoint;
use crate::row::{Resolved, Rules, Schema};
use crate::run::{AccountLock, LockError, PaidWork, RunDir, RunDirError, RunLock, RunLockError};
use crate::sandbox::{self, Library};
use crate::words::counted;

/// What to do where the account was not accepted.
pub(super) const CHECK_KEY: &str = "; check the key in IMAGEKIT_PRIVATE_KEY or --key-file";

/// An input as it was typed: a path, or `-` for standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InputArg(Option<PathBuf>);

impl From<&str> for InputArg {
    fn from(text: &str) -> Self {
        Self((text != "-").then(|| text.into()))
    }
}

impl InputArg {
    pub(super) fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// What its runs lie beside: itself, or for standard input a name in the state directory.
    pub(super) fn beside(&self, choices: &Choices) -> Result<PathBuf, Refusal> {
        match self.path() {
            Some(path) => Ok(path.to_owned()),
            None => Ok(choices.state_dir()?.path().join("stdin")),
        }
    }

    pub(super) fn name(&self) -> String {
        self.path().map_or(STANDARD_INPUT.to_owned(), |path| path.display().to_string())
    }

    /// Copies the input into a directory.
    pub(super) fn take_over(
        &self,
        format: Option<Format>,
        directory: &Path,
    ) -> Result<Owned, Refusal> {
        let owned = match self.path() {
            Some(path) => {
                let file = File::open(path).map_err(|error| {
                    Refusal::new(format!("cannot read {}: {error}", path.display()))
                })?;
                take_over(file, path, format, directory)
            }
            None => take_over(io::stdin().lock(), Path::new("-"), format, directory),
        };
        owned.map_err(|error| Refusal::of(&error))
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
    pub(super) async fn of(client: &Client, input: &Input, reads: &Reads) -> Result<Self, Refusal> {
        if !input.mentions_metadata().map_err(|error| Refusal::of(&error))? {
            return Ok(Self::unchecked());
        }
        match reads.read(Endpoint::MetadataFields, || client.api.schema()).await {
            Ok((schema, body)) => {
                let json = String::from_utf8_lossy(&body).into_owned();
                Ok(Self { json, schema: Some(schema) })
            }
            Err(failure) => Err(Refusal::new(format!(
                "cannot read the account's custom metadata fields, which the input sets \
                 (--no-schema goes without): {failure}{}",
                if matches!(failure, Failure::Account { .. }) { CHECK_KEY } else { "" }
            ))),
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
    choices: &Choices,
) -> Result<(sandbox::Running, Client), Refusal> {
    let mut records = input.records(None).map_err(|error| Refusal::of(&error))?;
    let (mut ids, mut targets) = (Vec::new(), Vec::new());
    while records.advance().map_err(|error| Refusal::of(&error))?.is_some() {
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
        .map_err(|error| Refusal::new(format!("cannot start the sandbox: {error}")))?;
    let client = choices.client(&running.base_url(), running.key().to_owned().into())?;
    Ok((running, client))
}

/// Asks whether to send what was shown, or what remains of it where more rows are bad than may be.
pub(super) fn ask(
    attended: bool,
    tally: &Tally,
    max_bad: f64,
    screen: &Screen,
) -> Result<(), Refusal> {
    if !attended {
        Err(Refusal::new("there is nobody to ask; --yes sends without asking. Nothing was sent"))
    } else if screen.ask(&question(tally, max_bad)) {
        Ok(())
    } else {
        Err(Refusal::new("nothing was sent"))
    }
}

fn question(tally: &Tally, max_bad: f64) -> String {
    if tally.rejected_share() <= max_bad {
        return "Send this?".to_owned();
    }
    let bad = if tally.rejected == 1 { "is bad" } else { "are bad" };
    let rows = counted(tally.rows, "row", "rows");
    format!("{} of {rows} {bad}, more than --max-bad allows. Send the rest?", tally.rejected)
}

/// Takes the account's lock, waiting for it if asked to.
pub(super) async fn lock(
    state: &StateDir,
    account: &str,
    run: &RunDir,
    wait: bool,
) -> Result<AccountLock, Refusal> {
    const LOOK_EVERY: Duration = Duration::from_secs(1);
    let mut waits = false;
    loop {
        match AccountLock::take(state, account, run.path()) {
            Ok(lock) => {
                if waits {
                    tracing::info!("the other run has ended; going on");
                }
                return Ok(lock);
            }
            Err(LockError::Held { holder }) if wait => {
                if !waits {
                    tracing::info!("waiting for another run on this account: {holder}");
                }
                waits = true;
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(error @ LockError::Held { .. }) => {
                let message = format!("{error}; --wait-lock waits for it");
                return Err(Refusal { message, exit_code: IN_THE_WAY });
            }
            Err(error) => return Err(Refusal::not_written(&error)),
        }
    }
}

/// The directory of a new run, and its lock.
pub(super) fn new_run(created: Result<RunDir, RunDirError>) -> Result<(RunDir, RunLock), Refusal> {
    let run = created.map_err(|error| Refusal::of(&error))?;
    match RunLock::take(&run) {
        Ok(lock) => Ok((run, lock)),
        Err(error) => {
            run.discard();
            Err(Refusal::not_written(&error))
        }
    }
}

/// Takes the lock of an existing run, waiting if asked to for the process that executes it, and
/// always a moment for one that only reads it.
pub(super) async fn lock_run(run: &RunDir, wait: bool) -> Result<RunLock, Refusal> {
    const LOOK_EVERY: Duration = Duration::from_millis(100);
    const OBSERVED_MAX: Duration = Duration::from_secs(5);
    let mut observed = Duration::ZERO;
    let mut waits = false;
    loop {
        match RunLock::take(run) {
            Ok(lock) => return Ok(lock),
            Err(error @ RunLockError::Held { .. }) if wait => {
                if !waits {
                    tracing::info!("{error}; waiting for it to end");
                }
                waits = true;
            }
            Err(RunLockError::Observed { .. }) if observed < OBSERVED_MAX => observed += LOOK_EVERY,
            Err(error @ RunLockError::Held { .. }) => {
                let message = format!("{error}; --wait-lock waits for it");
                return Err(Refusal { message, exit_code: IN_THE_WAY });
            }
            Err(error @ RunLockError::Observed { .. }) => {
                return Err(Refusal { message: error.to_string(), exit_code: IN_THE_WAY });
            }
            Err(error @ RunLockError::File { .. }) => return Err(Refusal::not_written(&error)),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What earlier runs on the account bought, if this run is to be remembered with them. The account's
/// lock is held.
pub(super) fn paid_work(
    state: Option<&StateDir>,
    client: &Client,
    is_remembered: bool,
    screen: &Screen,
) -> Result<Option<PaidWork>, Refusal> {
    let Some(state) = state.filter(|_| is_remembered) else {
        return Ok(None);
    };
    let paid =
        PaidWork::open(state, &client.account).map_err(|error| Refusal::not_written(&error))?;
    let unrecorded = paid.record_open_runs().map_err(|error| Refusal::not_written(&error))?;
    for unrecorded in unrecorded {
        screen.error(&chain(&unrecorded));
    }
    Ok(Some(paid))
}

/// What the planner asks whether an extension was paid for on a file.
pub(super) fn bought(state: Option<&StateDir>, facts: &Facts) -> Result<Bought, Refusal> {
    let Some(state) = state.filter(|_| facts.pays) else {
        return Ok(Box::new(|_, _| None));
    };
    let paid =
        PaidWork::open(state, &facts.account).map_err(|error| Refusal::not_written(&error))?;
    Ok(Box::new(move |file, extension| match paid.known(file, extension) {
        Ok(bought) => bought.map(|bought| bought.to_string()),
        // Rather nothing than twice.
        Err(error) => Some(chain(&error)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_says_where_more_rows_are_bad_than_may_be() {
        let asked = |rejected| {
            let tally = Tally { rows: 68, rejected, ..Tally::default() };
            question(&tally, 0.02)
        };
        assert_eq!(asked(1), "Send this?");
        assert_eq!(asked(7), "7 of 68 rows are bad, more than --max-bad allows. Send the rest?");
    }
}
