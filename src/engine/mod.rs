//! The engine: checks, plans, applies, resumes, undoes and reports, for any program around it.
//!
//! An [`Engine`] has validated [`Settings`]. It tells a [`Ui`] what happens, asks it questions, and
//! returns typed results and errors; it never touches a terminal. [`Unattended`] is the `Ui` of a
//! program without a person: it is silent, and whatever needs consent is refused.
//!
//! ```
//! use std::future::pending;
//!
//! use ikbulk::engine::{
//!     Access, ApplyOptions, Consent, Engine, Executed, Key, Limits, Settings, Sheet, Unattended,
//!     UndoOptions,
//! };
//! use ikbulk_sandbox::{Config, Library};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A local ImageKit with one file.
//! let library = Library::from_ids(["file_1".to_owned()]);
//! let sandbox = ikbulk_sandbox::start(Config { library, ..Config::default() })?;
//!
//! let directory = tempfile::tempdir()?;
//! let sheet = directory.path().join("sheet.csv");
//! std::fs::write(&sheet, "fileId,addTags\nfile_1,winter-2027\n")?;
//!
//! let key = Key::Given(sandbox.key().to_owned().into());
//! let mut settings = Settings::new(Access::with_key(key).at(sandbox.base_url()));
//! settings.state_dir = Some(directory.path().join("state"));
//! let engine = Engine::new(settings);
//!
//! let options = ApplyOptions::new(Consent::Given);
//! let executed = engine.apply(&Sheet::at(&sheet), options, &Unattended, pending()).await?;
//! let Executed::Ran(applied) = executed else { panic!("there is no earlier run") };
//! assert_eq!(applied.reports.summary.rows.updated, 1);
//!
//! // Restore the values from before.
//! let options = UndoOptions::new(Consent::Given);
//! let undone = engine.undo(applied.run.path(), options, &Unattended, pending()).await?;
//! assert_eq!(undone.summary.rows, 1);
//! # Ok(())
//! # }
//! ```

mod access;
mod apply;
mod callback_report;
mod callbacks;
mod charges;
mod check;
mod columns;
mod connection;
mod discard;
mod endpoint;
mod error;
mod existing_run;
mod export;
mod extensions;
mod fields;
mod limits;
mod load;
mod locks;
mod plan;
mod prepared_run;
mod prior_runs;
mod reading;
mod recorded_charges;
mod report;
mod retry;
mod scan;
mod settings;
mod settle;
mod sheet;
mod sheet_plan;
mod source;
mod trust;
mod ui;
mod undo;
mod usage;

pub use access::{Access, Key};
pub use apply::ApplyOptions;
pub use callback_report::{CallbackReport, Callbacks};
pub use charges::RecordedCharges;
pub use endpoint::{EndpointError, EndpointSource};
pub use error::{Error, FilesPurpose, NothingToUndo, ReadPurpose, Refusal, StageProblem};
pub use existing_run::ResumeOptions;
pub use export::ExportOptions;
pub use limits::Limits;
pub use plan::{PlanOptions, SavedPlan};
pub use prepared_run::{Executed, RunReport};
pub use report::Reported;
pub use retry::RetryOptions;
pub use settings::{Consent, Sandbox, Settings, StartSandbox, UNPRICED_RUNS_MAX};
pub use settle::{SETTLE_FOR, SettleOptions, SettleReport};
pub use sheet::Sheet;
pub use source::Source;
pub use trust::Trust;
pub use ui::{Event, Notice, Preview, Question, Target, Ui, Unattended, WholeSheet};
pub use undo::{UndoOptions, Undone};
pub use usage::{AccountUsage, usage_period};

// What the options, results, events and errors of the commands are made of.
pub use crate::account::{
    AccountError, AccountName, Identity, KeyFingerprint, LockError, Service, StateDirError,
};
pub use crate::callback::{Counts, PublicUrl, PublicUrlError};
pub use crate::charges::{
    Charge, ChargeCertainty, ChargeCounts, ChargesError, ChargesOverview, ExportedCharges,
    FileCharge, ImportError, ImportedCharges,
};
pub use crate::execute::{AbortReason, EndReason, Stop};
pub use crate::export::{ColumnError, Exported};
pub use crate::findings::{ColumnFinding, Finding, Severity};
pub use crate::imagekit::{Concern, Failure, Listing};
pub use crate::input::{Delimiter, Excerpt, Format, InputError, ReadOptions, TextEncoding};
pub use crate::ledger::{Counters, LedgerError, Stage};
pub use crate::outcome::{Code, Status};
pub use crate::plan::{
    ColumnCounts, Disagreement, FileDifference, InputSummary, InvalidCause, InvalidCell,
    InvalidCells, LostTags, PlanError, PlanSummary, SkippedExtensions,
};
pub use crate::report::{
    Billed, ExtensionCounts, Fraction, Hold, Progress, ReportError, Reports, RowCounts,
    RunProgress, Summary,
};
pub use crate::request::Endpoint;
pub use crate::resolve::Resolution;
pub use crate::row::{
    Duplicates, ExtensionFingerprint, ExtensionName, ExtensionNames, FileId, Locale, NullMeans,
    Problem, Rejection, RowPos, SchemaError, Units,
};
pub use crate::run::{
    ReadError, ReadStats, RunDir, RunDirError, RunLockError, SessionError, Successor,
};
pub use crate::settings::{
    AbortLimits, DiffOptions, Execution, Planning, Rate, RateLimit, SkipTagged,
};
pub use crate::settle::{SettleError, SettleProgress, SettleStop};
pub use crate::spending::{PeriodLimits, Prices, Runs, SpendingLimits, Spent};
pub use crate::undo::{SkipReason, UndoError, UndoSummary};
pub use crate::usage::{ExtensionUsage, Measurement, Period, PeriodError, Price, Usage};

/// Applies sheets to the library of an account.
///
/// Each command is one method: it does everything that belongs to the command, from reading the
/// sheet to writing the reports, and tells a [`Ui`] what happens on the way. See the [module](self)
/// for an example.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
}

impl Engine {
    /// An engine for the account of these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}
