//! What was typed, command by command, and turning it into what is done.

mod apply;
mod callback_args;
mod check;
mod connect;
mod export;
mod finish;
mod key;
mod library_args;
mod limit_args;
mod locks;
mod plan;
mod prepare;
mod question;
mod quirk_args;
mod report;
mod resume;
mod run_execution;
mod sandbox;
mod sandbox_limit_args;
mod scan;
mod screen;
mod settings_args;
mod settings_file;
mod sheet;
mod stop;
mod trust;
mod undo;
mod values;

pub use screen::Screen;
pub use settings_args::SettingsArgs;

use std::future::Future;

use clap::{Parser, Subcommand, ValueEnum};

use crate::account::{AccountError, StateDirError};
use crate::charges::ChargesError;
use crate::error::chain;
use crate::execute::Stop;
use crate::imagekit::{Concern, Failure};
use crate::ledger::LedgerError;
use stop::{Heard, until_stopped};

/// Apply a spreadsheet of changes to an ImageKit media library.
#[derive(Debug, Parser)]
#[command(name = "ikbulk", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Say more; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// How log lines are written
    #[arg(long, value_enum, default_value = "text", global = true, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read and validate everything, send nothing
    Check(Box<check::Check>),
    /// Show what a sheet would change, in how many requests and until when; save that
    Plan(Box<plan::Plan>),
    /// Show what is about to happen, ask, and do it
    Apply(Box<apply::Apply>),
    /// Go on with an unfinished run
    Resume(Box<resume::Resume>),
    /// Put back what was there before a run
    Undo(Box<undo::Undo>),
    /// Write the reports of a run again, or say how far it is while it runs
    Report(report::Report),
    /// Write the library, a folder or a search as a sheet to edit and apply
    Export(Box<export::Export>),
    /// Serve a local ImageKit to try things on
    Sandbox(Box<sandbox::Sandbox>),
}

impl Command {
    async fn run(self, screen: &Screen, signal: Heard) -> Result<u8, CliError> {
        match self {
            Self::Check(check) => check.run(screen).await,
            Self::Plan(plan) => plan.run(screen).await,
            Self::Apply(apply) => apply.run(screen, signal).await,
            Self::Resume(resume) => resume.run(screen, signal).await,
            Self::Undo(undo) => undo.run(screen, signal).await,
            Self::Export(export) => export.run(screen, signal).await,
            Self::Report(report) => report.run(screen).await,
            Self::Sandbox(sandbox) => sandbox.run(screen, signal).await,
        }
    }
}

/// The exit code for wrong usage and refused input: nothing was sent.
const REFUSED: u8 = 2;
/// The exit code for a key that is not accepted and for an outage.
const ABORTED: u8 = 3;
/// The exit code for a ledger or report that cannot be written.
const NOT_WRITTEN: u8 = 4;
/// The exit code for a deadline before all rows were attempted.
const NOT_ATTEMPTED: u8 = 5;
/// The exit code for rows of unknown outcome.
const UNKNOWN: u8 = 6;
/// The exit code for another run being in the way.
const IN_THE_WAY: u8 = 75;

/// Why a command did not come to an end of its own, and the exit code that says so.
#[derive(Debug)]
struct CliError {
    message: String,
    exit_code: u8,
}

impl CliError {
    /// Nothing was sent, because something about the call or the input is wrong.
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: REFUSED }
    }

    fn of(error: &dyn std::error::Error) -> Self {
        Self::new(chain(error))
    }

    /// ImageKit could not be read, so that nothing was sent. Only where ImageKit refused the request
    /// is something about the call or the input wrong.
    fn not_read(failure: &Failure, message: impl Into<String>) -> Self {
        let exit_code = match failure.concerns() {
            Concern::Request => REFUSED,
            Concern::Environment | Concern::Account => ABORTED,
        };
        Self { message: message.into(), exit_code }
    }

    fn not_written(error: &dyn std::error::Error) -> Self {
        Self { message: chain(error), exit_code: NOT_WRITTEN }
    }
}

impl From<LedgerError> for CliError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::NeverBegun { .. } => Self::of(&error),
            error => Self::not_written(&error),
        }
    }
}

impl From<ChargesError> for CliError {
    fn from(error: ChargesError) -> Self {
        Self::not_written(&error)
    }
}

impl From<AccountError> for CliError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::State(error) => error.into(),
            error => Self::not_written(&error),
        }
    }
}

impl From<StateDirError> for CliError {
    fn from(error: StateDirError) -> Self {
        match error {
            StateDirError::Nowhere | StateDirError::Unsafe { .. } => Self::of(&error),
            StateDirError::Io { .. } => Self::not_written(&error),
        }
    }
}

/// Runs a command to its exit code. `signal` resolves when the program is asked to stop. It is not
/// looked at by what never waits, which signals end as they end any program.
pub async fn run(cli: Cli, screen: &Screen, signal: impl Future<Output = Stop>) -> u8 {
    let done = match cli.command {
        Command::Report(report) => report.run(screen).await,
        command => until_stopped(signal, |heard| command.run(screen, heard)).await,
    };
    done.unwrap_or_else(|refusal| {
        screen.error(&refusal.message);
        refusal.exit_code
    })
}
