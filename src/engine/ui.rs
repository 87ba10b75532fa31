//! What the engine tells the program around it, and what it asks.

use std::cell::Cell;
use std::future::Future;
use std::path::Path;

use jiff::ZonedDateTime;
use reqwest::Url;

use super::callback_report::CallbackReport;
use super::endpoint::EndpointSource;
use crate::account::Identity;
use crate::charges::{ChargesError, UnrecordedRun};
use crate::execute::Stop;
use crate::input::EncodingGuess;
use crate::plan::{FileDifference, InputSummary, PlanSummary};
use crate::report::Progress;
use crate::resolve::Resolution;
use crate::run::{ReadProgress, ReadStats, RunDir};
use crate::settings::Execution;
use crate::settle;
use crate::spending::{Prices, SpendingLimits};
use crate::undo::UndoSummary;

/// The program around the engine: it shows events, and answers questions if a person is there.
///
/// [`Unattended`] shows nothing and has no answers.
pub trait Ui {
    /// Something to show. Must not block: it delays requests.
    fn event(&self, event: Event<'_>);

    /// Whether a person can answer questions. If not, whatever needs consent is refused.
    fn can_ask(&self) -> bool;

    /// Asks a person; `true` for yes. Only called if [`Self::can_ask`].
    fn ask(&self, question: Question<'_>) -> impl Future<Output = bool>;
}

/// Shows nothing, and refuses whatever needs consent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unattended;

impl Ui for Unattended {
    fn event(&self, _event: Event<'_>) {}

    fn can_ask(&self) -> bool {
        false
    }

    async fn ask(&self, _question: Question<'_>) -> bool {
        false
    }
}

/// Something that happened, in the order of a run.
#[derive(Debug)]
pub enum Event<'e> {
    /// An earlier run is resumed in place of a new one.
    Resuming(&'e RunDir),
    /// Files are being read: how many of `total`, if that is known.
    Reading {
        /// What is counted, as a plural noun.
        what: &'static str,
        /// The number read so far.
        done: u64,
        /// The number to read.
        total: Option<u64>,
    },
    /// The reading is over.
    ReadingEnded,
    /// What a plan changes on one file.
    Difference(&'e FileDifference),
    /// What is about to be sent, or the content of a checked sheet.
    Preview(&'e Preview<'e>),
    /// What an undo does not restore; follows its preview.
    UndoPreview(&'e UndoSummary),
    /// The progress of sending, several times a second.
    Progress(&'e Progress),
    /// The sending is over.
    ProgressEnded,
    /// How far the settling of extensions and unknown outcomes is.
    Settling(settle::SettleProgress),
    /// The settling is over.
    SettlingEnded,
    /// A signal or the deadline stops the run; the requests in flight are finished first.
    Stopping(Stop),
    /// Something that a person should know.
    Notice(Notice<'e>),
}

/// Something that a person should know, and that does not stop the command.
#[derive(Debug)]
pub enum Notice<'e> {
    /// The sheet sets custom metadata, but there is no key to read the account's fields with.
    MetadataNotChecked,
    /// The sheet names saved extensions, or fields that extensions write, but there is no key to read
    /// those of the account with.
    ExtensionsNotChecked,
    /// An earlier version of the sheet has an unfinished run, which must not be resumed later.
    EarlierVersionUnfinished(&'e RunDir),
    /// The charges of an interrupted run cannot be recorded now.
    ChargesOfEarlierRun(&'e UnrecordedRun),
    /// The charges of this run cannot be recorded; the next run tries again.
    ChargesNotRecorded {
        /// The run.
        run: &'e RunDir,
        /// The reason.
        error: &'e ChargesError,
    },
    /// A new sandbox is started, without the changes of earlier sessions.
    NewSandbox,
    /// The sheet has changed since the run took its copy; the rest of the copy is sent.
    SheetChanged(&'e Path),
    /// The run that was retried has this number of rows of unknown outcome, which were not sent.
    UnknownNotRetried(&'e RunDir, u64),
    /// What became of the callbacks of the run.
    Callbacks(&'e CallbackReport),
    /// The run to undo is unfinished; what it has done so far is undone.
    UndoingUnfinished(&'e RunDir),
}

/// A question to a person.
#[derive(Debug)]
pub enum Question<'q> {
    /// Whether to send the private key to an endpoint that is not trusted.
    SendKey {
        /// The endpoint.
        endpoint: &'q Url,
        /// What sets the endpoint.
        source: &'q EndpointSource,
    },
    /// Whether to read the sheet in this encoding.
    ReadEncoding(&'q EncodingGuess),
    /// Whether to read a column as a known one whose name is nearly the same.
    ReadColumn {
        /// The column of the sheet.
        name: &'q str,
        /// The known column.
        column: &'q str,
    },
    /// Whether to send what the preview showed.
    Send {
        /// The requests, and the billed extensions.
        summary: &'q PlanSummary,
        /// The prices of the extensions.
        prices: &'q Prices,
        /// Whether more rows are invalid than allowed without a confirmation.
        has_too_many_invalid: bool,
    },
}

/// The content of a preview.
#[derive(Debug)]
pub struct Preview<'p> {
    /// The name of the input.
    pub input: &'p str,
    /// The worksheet that is read, of a workbook.
    pub worksheet: Option<&'p str>,
    /// All rows of the run, if `summary` counts only the remaining ones.
    pub rows_of_run: Option<u64>,
    /// The planned rows and requests.
    pub summary: &'p PlanSummary,
    /// Names of the ignored columns.
    pub ignored_columns: &'p [String],
    /// The number of empty cells, which leave their fields unchanged.
    pub empty_cells: u64,
    /// Statistics of reading the files, and the number of requests; `None` if nothing was read.
    pub reading: Option<(ReadStats, u64)>,
    /// The files that were looked up by path or URL; `None` if nothing was looked up.
    pub looked_up: Option<&'p Resolution>,
    /// The account and its limits; `None` for a check, which sends nothing.
    pub target: Option<Target<'p>>,
    /// Reads that check files for conflicts before they are changed; 0 if none are made.
    pub conflict_checks: u64,
    /// Whether the sheet is refused, so that only its rows and their problems matter.
    pub is_refused: bool,
}

impl<'p> Preview<'p> {
    /// The rows of a scanned input, without an account.
    pub(super) fn of(input: &'p str, scan: &'p InputSummary) -> Self {
        Self {
            input,
            worksheet: scan.worksheet.as_deref(),
            rows_of_run: None,
            summary: &scan.summary,
            ignored_columns: &scan.ignored_columns,
            empty_cells: scan.empty_cells,
            reading: None,
            looked_up: None,
            target: None,
            conflict_checks: 0,
            is_refused: false,
        }
    }
}

/// The sheet that a pilot is taken from.
#[derive(Debug, Clone, Copy)]
pub struct WholeSheet {
    /// All of its rows.
    pub rows: u64,
    /// Those that are invalid.
    pub invalid: u64,
}

/// The account that requests are sent to, and the limits.
#[derive(Debug)]
pub struct Target<'t> {
    /// The base URL of the API.
    pub endpoint: &'t str,
    /// The identity of the account.
    pub account: &'t Identity,
    /// Whether this machine knows no earlier run of the account.
    pub is_first_run: bool,
    /// Whether the account is a sandbox of the run.
    pub sandbox: bool,
    /// The rate limits and other settings of the executor.
    pub execution: &'t Execution,
    /// The prices and limits of billed extensions.
    pub spending: &'t SpendingLimits,
    /// All rows of the sheet, if only a pilot is sent now.
    pub pilot_of: Option<WholeSheet>,
    /// Whether snapshots are kept, so that the run can be undone; `None` where nothing is sent.
    pub can_undo: Option<bool>,
    /// The current local time.
    pub now: ZonedDateTime,
}

/// Tells how far the reading of files is.
#[derive(Debug)]
pub(super) struct ReadCounter<'u, U: Ui> {
    ui: &'u U,
    what: Cell<&'static str>,
    done: Cell<u64>,
    total: Cell<Option<u64>>,
}

impl<'u, U: Ui> ReadCounter<'u, U> {
    pub(super) fn new(ui: &'u U) -> Self {
        Self { ui, what: Cell::new(""), done: Cell::new(0), total: Cell::new(None) }
    }

    fn tell(&self) {
        let (what, done, total) = (self.what.get(), self.done.get(), self.total.get());
        self.ui.event(Event::Reading { what, done, total });
    }
}

impl<U: Ui> ReadProgress for ReadCounter<'_, U> {
    fn begin(&self, what: &'static str, count: Option<u64>) {
        self.what.set(what);
        self.done.set(0);
        self.total.set(count);
        self.tell();
    }

    fn add(&self, count: u64) {
        self.done.set(self.done.get() + count);
        self.tell();
    }
}

impl<U: Ui> Drop for ReadCounter<'_, U> {
    fn drop(&mut self) {
        self.ui.event(Event::ReadingEnded);
    }
}
