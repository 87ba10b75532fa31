//! The settings of the engine.

use std::any::Any;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;

use super::access::{Access, Client};
use super::callback_report::Callbacks;
use super::endpoint::EndpointSource;
use super::error::{Error, Refusal};
use super::ui::Ui;
use crate::account::{AccountDb, StateDir, StateDirError};
use crate::input::Input;
use crate::ledger::RunMeta;
use crate::plan::{InputSummary, PlanSummary};
use crate::row::Rules;
use crate::run::RunDir;
use crate::settings::Execution;
use crate::spending::{Prices, Runs, SpendingLimits};

/// The settings of the engine, validated.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The endpoint and the key of the account.
    pub access: Access,
    /// Rate limits, attempts, and when to abort.
    pub execution: Execution,
    /// The directory of locks, recent writes and charges. Without one, only runs on a sandbox are
    /// possible.
    pub state_dir: Option<PathBuf>,
    /// The share of invalid rows above which a sheet is refused unless a person confirms, from 0
    /// to 1.
    pub max_bad: f64,
    /// Limits of billed extensions.
    pub spending: SpendingLimits,
    /// Maximum units that are sent without asking if no limit of units is set. Of extensions with
    /// unknown units, at most [`UNPRICED_RUNS_MAX`] runs are.
    pub unasked_units_max: u64,
    /// Whether the file objects in responses are saved, in `responses.jsonl` of the run directory.
    pub saves_responses: bool,
    /// Whether an extension that is pending at the end of a run makes the exit code 1.
    pub fails_on_pending: bool,
    /// How the cells of a sheet are read.
    pub rules: Rules,
    /// How callbacks about pending extensions reach this program.
    pub callbacks: Callbacks,
    /// Starts the sandbox of a run; `None` refuses such runs.
    pub sandbox: Option<Arc<dyn StartSandbox>>,
}

/// Maximum runs of extensions with unknown units that are sent without asking.
pub const UNPRICED_RUNS_MAX: u64 = 100;

/// Starts a local ImageKit for one run.
pub trait StartSandbox: fmt::Debug {
    /// Starts a sandbox whose library has the files that the input names.
    ///
    /// # Errors
    /// The input cannot be read, or the sandbox cannot be started.
    fn start(&self, input: &Input) -> Result<Sandbox, Error>;
}

/// A running sandbox.
#[derive(Debug)]
pub struct Sandbox {
    /// Its base URL, on a loopback address.
    pub endpoint: String,
    /// The key that it accepts.
    pub key: SecretString,
    /// Stops the sandbox when dropped.
    pub server: Box<dyn Any>,
}

/// Whether what the preview shows may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Ask the person at the [`Ui`]; without one, refuse.
    Ask,
    /// It may.
    Given,
}

impl Settings {
    /// The default settings for an account. Without a state directory, only runs on a sandbox are
    /// possible.
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self {
            access,
            execution: Execution::default(),
            state_dir: None,
            max_bad: 0.01,
            spending: SpendingLimits::default(),
            unasked_units_max: 1000,
            saves_responses: false,
            fails_on_pending: false,
            rules: Rules::default(),
            callbacks: Callbacks::default(),
            sandbox: None,
        }
    }

    /// Opens the state directory.
    pub(super) fn open_state(&self) -> Result<StateDir, Error> {
        let path = self.state_dir.as_deref().ok_or(StateDirError::Nowhere)?;
        Ok(StateDir::open(path)?)
    }

    /// A client at the endpoint that a run started on. The endpoint in its ledger is trusted only if
    /// the run started on this machine; otherwise the person at `prompt` is asked.
    pub(super) async fn client_of_run(
        &self,
        run: &RunDir,
        meta: &RunMeta,
        prompt: Option<&impl Ui>,
    ) -> Result<Client, Error> {
        let started_here = AccountDb::open(&self.open_state()?)?.began(&meta.id, &meta.endpoint)?;
        let source = EndpointSource::Run { path: run.path().to_owned(), started_here };
        self.access.client_of_run(&meta.endpoint, &source, prompt).await
    }

    /// Starts the sandbox of a run.
    pub(super) fn start_sandbox(&self, input: &Input) -> Result<(Box<dyn Any>, Client), Error> {
        let missing = || Refusal::Sandbox("none is configured".to_owned());
        let Sandbox { endpoint, key, server } =
            self.sandbox.as_ref().ok_or_else(missing)?.start(input)?;
        Ok((server, self.access.client_of_sandbox(&endpoint, key)?))
    }

    /// The reason to refuse a sheet unless a person confirms it: more of its rows are invalid than
    /// allowed.
    #[must_use]
    pub fn too_many_invalid(&self, summary: &PlanSummary) -> Option<Refusal> {
        self.too_many_invalid_except(summary, 0)
    }

    /// The reason to refuse a sheet, where `undecided` of the rejected rows may be valid: only the library
    /// shows.
    pub(super) fn too_many_invalid_except(
        &self,
        summary: &PlanSummary,
        undecided: u64,
    ) -> Option<Refusal> {
        let (rejected, rows, max_bad) =
            (summary.rejected.saturating_sub(undecided), summary.rows, self.max_bad);
        (summary.rejected_share_without(undecided) > max_bad).then_some(Refusal::TooManyInvalid {
            rejected,
            rows,
            max_bad,
        })
    }

    /// Refuses to send billed extensions without asking, above the default limit and without a
    /// limit of units.
    pub(super) fn refuse_unlimited_spending(
        &self,
        summary: &PlanSummary,
        spending: &SpendingLimits,
    ) -> Result<(), Refusal> {
        let is_limited = |name| spending.limits_units() || spending.limits_runs_of(name);
        let unlimited = summary.extension_runs.iter().filter(|(name, _)| !is_limited(*name));
        let unlimited: Runs = unlimited.collect();
        let units = unlimited.units(&spending.prices);
        let unpriced_runs = unlimited.unpriced(&spending.prices).total();
        if units <= self.unasked_units_max && unpriced_runs <= UNPRICED_RUNS_MAX {
            return Ok(());
        }
        Err(Refusal::UnlimitedSpending { units, unpriced_runs })
    }

    /// Asks for confirmation of the preview. Asks nothing if nothing is to be sent.
    pub(super) async fn confirm(
        &self,
        summary: &PlanSummary,
        prices: &Prices,
        can_ask: bool,
        ui: &impl Ui,
    ) -> Result<(), Error> {
        require_person(can_ask)?;
        let has_too_many_invalid = self.too_many_invalid(summary).is_some();
        let question = super::ui::Question::Send { summary, prices, has_too_many_invalid };
        if summary.writes == 0 || ui.ask(question).await {
            Ok(())
        } else {
            Err(Refusal::NotConfirmed.into())
        }
    }
}

/// Refuses a limit of units for extensions whose units are not known.
pub(super) fn refuse_unknown_prices(
    summary: &PlanSummary,
    spending: &SpendingLimits,
) -> Result<(), Refusal> {
    let unpriced = summary.extension_runs.unpriced(&spending.prices);
    match unpriced.iter().next() {
        Some((name, _)) if spending.limits_units() => Err(Refusal::UnknownPrice(name)),
        _ => Ok(()),
    }
}

/// Why a sheet is refused: it has nulls that may mean "no value" as well as "clear", and no setting
/// tells which.
pub(super) fn ambiguous_nulls(scan: &InputSummary, rules: &Rules) -> Option<Refusal> {
    let first = scan.ambiguous_nulls.first().filter(|_| rules.null_means.is_none())?;
    let others = scan.ambiguous_nulls.len() as u64 - 1;
    Some(Refusal::AmbiguousNulls { first: first.clone(), others })
}

/// Fails if there is no person to confirm the preview, before anything is read.
pub(super) fn require_person(can_ask: bool) -> Result<(), Refusal> {
    if can_ask { Ok(()) } else { Err(Refusal::NotConfirmable) }
}

/// The person to ask; `None` if consent is given or there is no person.
pub(super) fn prompt<U: Ui>(ui: &U, consent: Consent) -> Option<&U> {
    (consent == Consent::Ask && ui.can_ask()).then_some(ui)
}
