//! Settles a run: finds the final status of its pending extensions and unknown outcomes.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::Engine;
use super::callbacks::CallbackIntake;
use super::connection::{Connection, LocalState};
use super::error::{Error, ReadPurpose, Refusal};
use super::load::load_sent;
use super::locks::lock_run;
use super::recorded_charges::{open_charges, record_charges};
use super::settings::{Consent, prompt};
use super::ui::{Event, Ui};
use crate::account::{AccountDb, AccountId, Writer};
use crate::charges::Charges;
use crate::error::chain;
use crate::execute::{Reads, Stop};
use crate::history::RunRecord;
use crate::ledger::{LedgerFile, RunMeta, Stage};
use crate::report::{Reports, rewrite};
use crate::run::{LoadedRun, RunDir, RunDirError};
use crate::settings::Execution;
use crate::settle::{
    ApiStates, OpenSteps, OtherRuns, SettleError, SettleProgress, SettleStop, Settler,
};

/// How long files are read for final statuses, unless told otherwise.
pub const SETTLE_FOR: Duration = Duration::from_mins(15);
/// Other runs that ended longer before the run began cannot have had anything pending then.
const PENDING_MAX: SignedDuration = SignedDuration::from_hours(24);
/// How much longer than its patience a settling may take for its first reading.
const FIRST_READING_EXTRA: Duration = Duration::from_secs(5);

/// Options of settling a run.
#[derive(Debug, Clone, Copy)]
pub struct SettleOptions<'s> {
    /// How long to read; the files are read once in any case. What has no final status then stays
    /// as it is.
    pub patience: Duration,
    /// Whether another key than the run started with is accepted, after a key rotation.
    pub key_changed: bool,
    /// Whether to wait for another process that executes the run.
    pub wait_lock: bool,
    /// A file of callbacks that another receiver has saved: they are settled by it, and nothing is
    /// read or received.
    pub saved: Option<&'s Path>,
}

impl Default for SettleOptions<'_> {
    fn default() -> Self {
        Self { patience: SETTLE_FOR, key_changed: false, wait_lock: false, saved: None }
    }
}

/// The result of settling a run.
#[derive(Debug)]
pub struct SettleReport {
    /// The run.
    pub run: RunDir,
    /// The reports, with what was settled.
    pub reports: Reports,
    /// Extensions and publications that had no final status before.
    pub open_before: u64,
    /// Those that have none now.
    pub open_now: u64,
    /// Why it ended.
    pub stop: SettleStop<Stop>,
    /// Whether its requests named a URL for callbacks, so that what is left can be settled by
    /// listening.
    pub names_callback_url: bool,
    /// Whether the charges of the run are recorded as they are known now. If not, the next run with
    /// extensions on the account tries again.
    pub are_charges_recorded: bool,
}

impl Engine {
    /// Finds the final status of pending extensions, and of requests whose response was lost, by
    /// reading the files; records it, and writes the reports again. Changes no file. Can be stopped
    /// by `signal`, and repeated.
    ///
    /// # Errors
    /// See [`Error`]. What was settled before an error is recorded.
    pub async fn settle(
        &self,
        run: &Path,
        options: SettleOptions<'_>,
        ui: &impl Ui,
        signal: impl Future<Output = Stop>,
    ) -> Result<SettleReport, Error> {
        let run = RunDir::open(run)?;
        let _lock = lock_run(&run, options.wait_lock).await?;
        let run = load_sent(run)?;
        let steps = OpenSteps::of(run.record())?;
        let open_before = steps.left();
        let steps = RefCell::new(steps);
        let ended = self.settle_steps(&run, &steps, (options, signal), ui).await;
        // What was settled before an error is in the reports, too.
        let reports = rewrite(&run.directory, run.record())?;
        let reports = Reports { successor: run.directory.successor()?, ..reports };
        let (stop, are_charges_recorded) = ended?;
        let open_now = steps.borrow().left();
        let names_callback_url = run.ledger.callback_url()?.is_some();
        Ok(SettleReport {
            run: run.directory,
            reports,
            open_before,
            open_now,
            stop,
            names_callback_url,
            are_charges_recorded,
        })
    }

    /// Settles by the callbacks that were saved, stored or arrive, and by reading. Returns why it ended,
    /// and whether the charges are recorded.
    async fn settle_steps(
        &self,
        run: &LoadedRun,
        steps: &RefCell<OpenSteps>,
        (options, signal): (SettleOptions<'_>, impl Future<Output = Stop>),
        ui: &impl Ui,
    ) -> Result<(SettleStop<Stop>, bool), Error> {
        let LoadedRun { directory, meta, ledger, .. } = run;
        let callbacks = &self.settings().callbacks;
        callbacks.refuse_other_url(ledger)?;
        let listener = if options.saved.is_none() { callbacks.listen(ledger)? } else { None };
        let intake = CallbackIntake::new(ledger, steps, listener.as_ref());
        intake.take_stored()?;
        if let Some(saved) = options.saved {
            self.take_others_into_account(meta, &mut steps.borrow_mut())?;
            intake.take_saved(saved)?;
        }
        if options.saved.is_some() || steps.borrow().left() == 0 {
            intake.tell(ui);
            let stop = if steps.borrow().left() == 0 {
                SettleStop::Settled
            } else {
                SettleStop::SavedTaken
            };
            return Ok((stop, record_charges(self.charges_of_run(meta), directory, ledger, ui)));
        }
        let connection = self.connect_to_settle(directory, meta, options, ui).await?;
        let settling = Settling {
            directory,
            run: run.record(),
            connection: &connection,
            execution: &self.settings().execution,
            intake: &intake,
        };
        let ended = settling.read(options.patience, signal, ui).await;
        intake.tell(ui);
        let are_charges_recorded = settling.record_charges(ui);
        Ok((ended?, are_charges_recorded))
    }

    /// Takes the other runs of the account into account, without a connection. A saved callback can be
    /// as old as any of them.
    fn take_others_into_account(&self, meta: &RunMeta, steps: &mut OpenSteps) -> Result<(), Error> {
        if meta.sandbox {
            return Ok(());
        }
        let db = AccountDb::open(&self.settings().open_state()?)?;
        let runs = RunsOfAccount { db: &db, account: db.account_of(&meta.account)? };
        let others = OthersOnMachine::new(meta, Some(runs), None);
        Ok(others.take_into_account(steps)?)
    }

    /// Opens the charges database for a run with billed extensions, without a connection.
    fn charges_of_run(&self, meta: &RunMeta) -> Result<Option<Charges>, Error> {
        if meta.sandbox || !meta.has_extensions {
            return Ok(None);
        }
        Ok(Some(Charges::open(&self.settings().open_state()?, &meta.account.service)?))
    }

    async fn connect_to_settle(
        &self,
        run: &RunDir,
        meta: &RunMeta,
        options: SettleOptions<'_>,
        ui: &impl Ui,
    ) -> Result<Connection, Error> {
        if meta.sandbox {
            return Err(Refusal::SandboxGone(run.path().to_owned()).into());
        }
        let prompt = prompt(ui, Consent::Ask);
        let connection =
            Connection::to_account_of_run(self.settings(), run, meta, None, prompt).await?;
        if let Some(LocalState { db, account, .. }) = &connection.local
            && db.account_of(&meta.account)? != *account
            && !options.key_changed
        {
            return Err(Refusal::KeyDiffers.into());
        }
        connection.register(run, meta)?;
        Ok(connection)
    }
}

/// Whether a run that has sent everything has pending extensions or unknown outcomes, whose final
/// status may be known by now. Not if it used a sandbox of its own, which is gone.
pub(super) fn has_unsettled(run: &RunDir) -> Result<bool, Error> {
    let run = LoadedRun::load(run.clone())?;
    Ok(!run.meta.sandbox && OpenSteps::of(run.record())?.left() > 0)
}

/// A run that is being settled. Its lock is held.
pub(super) struct Settling<'s> {
    pub(super) directory: &'s RunDir,
    pub(super) run: RunRecord<'s>,
    pub(super) connection: &'s Connection,
    pub(super) execution: &'s Execution,
    pub(super) intake: &'s CallbackIntake<'s>,
}

impl Settling<'_> {
    /// Reads until everything is settled, for at most that long. The first reading may take up to
    /// [`FIRST_READING_EXTRA`] longer, so that a short patience is enough for one.
    pub(super) async fn read(
        &self,
        patience: Duration,
        signal: impl Future<Output = Stop>,
        ui: &impl Ui,
    ) -> Result<SettleStop<Stop>, Error> {
        let reads = Reads::sharing(self.execution, &self.connection.rates);
        let states = ApiStates { api: &self.connection.client.api, reads: &reads };
        let changed = Notify::new();
        let settler = Settler {
            ledger: self.run.ledger,
            states: &states,
            others: &self.others(),
            steps: self.intake.steps,
            changed: &changed,
            awaits_callbacks: self.intake.listener.is_some(),
            concurrency: reads.concurrency().get(),
        };
        let was_read = Notify::new();
        let stop = async {
            let deadline = async {
                sleep(patience).await;
                // Not longer: the API may answer no read at all.
                drop(timeout(FIRST_READING_EXTRA, was_read.notified()).await);
                Stop::Deadline
            };
            let (signal, deadline) = (pin!(signal.fuse()), pin!(deadline.fuse()));
            futures_util::future::select(signal, deadline).await.factor_first().0
        };
        let on_progress = |progress: SettleProgress| {
            if progress.wait.is_some() {
                was_read.notify_one();
            }
            ui.event(Event::Settling(progress));
        };
        let ended = tokio::select! {
            ended = settler.run(stop, on_progress) => ended.map_err(Error::from),
            error = self.intake.take_arriving(&changed) => Err(error.into()),
        };
        ui.event(Event::SettlingEnded);
        self.run.ledger.add_reads(reads.counters())?;
        ended
    }

    /// The other runs, as far as reading is concerned.
    fn others(&self) -> OthersOnMachine<'_> {
        let local = self.connection.local.as_ref();
        let runs = local.map(|it| RunsOfAccount { db: &it.db, account: it.account });
        OthersOnMachine::new(self.run.meta, runs, Some(PENDING_MAX))
    }

    /// Settles a run that has just ended. An error is logged: the run itself is over. Returns whether
    /// anything may have been settled.
    pub(super) async fn settle(
        &self,
        patience: Duration,
        signal: impl Future<Output = Stop>,
        ui: &impl Ui,
    ) -> bool {
        if self.intake.steps.borrow().left() == 0 {
            return false;
        }
        if let Err(error) = self.read(patience, signal, ui).await {
            tracing::warn!("{}; `ikbulk settle` continues", chain(&error));
        }
        self.intake.tell(ui);
        true
    }

    /// Records the charges as they are known now; tells of an error and returns `false` on failure.
    pub(super) fn record_charges(&self, ui: &impl Ui) -> bool {
        let charges = open_charges(self.connection, self.run.meta.has_extensions);
        record_charges(charges, self.directory, self.run.ledger, ui)
    }
}

/// The runs of an account, as this machine knows them.
#[derive(Clone, Copy)]
struct RunsOfAccount<'s> {
    db: &'s AccountDb,
    account: AccountId,
}

/// The other runs of the account on this machine.
struct OthersOnMachine<'s> {
    meta: &'s RunMeta,
    /// `None` if the run used a sandbox of its own.
    runs: Option<RunsOfAccount<'s>>,
    /// Runs that ended longer before this one began cannot have caused anything that is found now.
    /// Without a limit, they count for as long as they can be read.
    age_max: Option<SignedDuration>,
    /// The runs that were taken into account, with the times of their last changes.
    known: RefCell<Vec<(String, Option<Timestamp>)>>,
    /// The ids of the runs that cannot be read. Each is told once.
    unreadable: RefCell<BTreeSet<String>>,
}

/// Another run, as it is in the state of the account.
struct Other {
    id: String,
    run: Result<RunDir, RunDirError>,
    path: PathBuf,
    /// When it changed last, as far as that is known.
    last: Option<Timestamp>,
    is_earlier: bool,
}

impl<'s> OthersOnMachine<'s> {
    fn new(
        meta: &'s RunMeta,
        runs: Option<RunsOfAccount<'s>>,
        age_max: Option<SignedDuration>,
    ) -> Self {
        let (known, unreadable) = (RefCell::default(), RefCell::default());
        Self { meta, runs, age_max, known, unreadable }
    }

    /// The runs that may have had requests in flight, or extensions pending, since the run began.
    fn others(&self) -> Result<Vec<Other>, SettleError> {
        let Some(RunsOfAccount { db, account }) = self.runs else {
            return Ok(Vec::new());
        };
        let begun: Option<Timestamp> = self.meta.begun.parse().ok();
        let writers = db.writers(account)?.into_iter().filter(|writer| writer.id != self.meta.id);
        let writers = writers.filter_map(|Writer { id, path, wrote_at, .. }| {
            let run = RunDir::open(&path);
            let last = Some(wrote_at).max(run.as_ref().ok().and_then(RunDir::last_modified));
            let ended_before = begun.zip(last).map(|(begun, last)| begun.duration_since(last));
            let is_earlier = ended_before.is_some_and(|before| before.is_positive());
            let age_max = if run.is_ok() { self.age_max } else { Some(PENDING_MAX) };
            let is_past = ended_before.zip(age_max).is_some_and(|(before, max)| before > max);
            (!is_past).then_some(Other { id, run, path, last, is_earlier })
        });
        Ok(writers.collect())
    }

    fn tell_unreadable(&self, other: &Other, why: &str) {
        if self.unreadable.borrow_mut().insert(other.id.clone()) {
            tracing::warn!(
                "cannot tell which files the run {} changed: {}; it may have caused whatever changed \
                 on the files of this run, so that changes prove nothing",
                other.path.display(),
                why
            );
        }
    }
}

impl OtherRuns for OthersOnMachine<'_> {
    fn take_into_account(&self, steps: &mut OpenSteps) -> Result<(), SettleError> {
        let others = self.others()?;
        let now: Vec<(String, Option<Timestamp>)> =
            others.iter().map(|it| (it.id.clone(), it.last)).collect();
        if *self.known.borrow() == now {
            return Ok(());
        }
        steps.forget_others();
        for other in others {
            let taken = match &other.run {
                Ok(run) => take_run(steps, run, other.is_earlier).map_err(|error| chain(&error)),
                Err(error) => Err(chain(error)),
            };
            if let Err(why) = taken {
                self.tell_unreadable(&other, &why);
                steps.beside_unreadable();
            }
        }
        *self.known.borrow_mut() = now;
        Ok(())
    }
}

fn take_run(steps: &mut OpenSteps, run: &RunDir, is_earlier: bool) -> Result<(), SettleError> {
    let ledger = LedgerFile::observe(run.path())?;
    if ledger.meta()?.stage != Stage::Running {
        return Ok(());
    }
    steps.beside(LoadedRun::with_ledger(run.clone(), ledger)?.record(), is_earlier)
}

impl From<SettleError> for Error {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Input(error) => error.into(),
            SettleError::Ledger(error) => error.into(),
            SettleError::Account(error) => error.into(),
            SettleError::Api(failure) => Self::Read { purpose: ReadPurpose::Settle, failure },
        }
    }
}
