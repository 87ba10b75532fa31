//! The command line: one module per command, and what the commands share.

mod apply;
mod callback_args;
mod check;
mod connect;
#[cfg(test)]
mod documented_commands;
mod export;
mod finish;
mod guess;
mod help;
mod hint;
mod key;
mod library_args;
mod limit_args;
mod locks;
mod plan;
mod prepare;
mod question;
mod quirk_args;
mod render;
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

pub(crate) use screen::{Screen, Verbosity};

use std::future::Future;

use clap::{Parser, Subcommand, ValueEnum};

use ikbulk::account::{AccountError, StateDirError};
use ikbulk::charges::ChargesError;
use ikbulk::error::chain;
use ikbulk::execute::Stop;
use ikbulk::exit_codes;
use ikbulk::imagekit::{Concern, Failure};
use ikbulk::ledger::LedgerError;
use stop::{StopSignal, until_stopped};

/// Bulk-edit an ImageKit media library from a spreadsheet.
#[derive(Debug, Parser)]
#[command(name = "ikbulk", version, max_term_width = 100, after_help = help::TOP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Increase verbosity (-vv for trace logs)
    #[arg(short, long, action = clap::ArgAction::Count, global = true, help_heading = help::OUTPUT)]
    pub(crate) verbose: u8,
    /// Print errors only
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = help::OUTPUT)]
    pub(crate) quiet: bool,
    /// The format of log lines
    #[arg(long, value_enum, default_value = "text", global = true, value_name = "FORMAT",
        help_heading = help::OUTPUT, hide_short_help = true)]
    pub(crate) log_format: LogFormat,
}

impl Cli {
    pub(crate) fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, _) => Verbosity::Verbose,
        }
    }
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Plain text, for people.
    Text,
    /// One JSON object per line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Validate a sheet; send nothing
    #[command(after_long_help = help::CHECK)]
    Check(Box<check::Check>),
    /// Show what a sheet would change and save the plan; change nothing
    #[command(after_long_help = help::PLAN)]
    Plan(Box<plan::Plan>),
    /// Apply a sheet: preview, ask, send
    #[command(after_long_help = help::APPLY)]
    Apply(Box<apply::Apply>),
    /// Resume an interrupted run
    #[command(after_long_help = help::RESUME)]
    Resume(Box<resume::Resume>),
    /// Revert a run: restore the values from before it
    #[command(after_long_help = help::UNDO)]
    Undo(Box<undo::Undo>),
    /// Regenerate the reports of a run, or show the progress of a running one
    #[command(after_long_help = help::REPORT)]
    Report(report::Report),
    /// Export the library, a folder or a search as a sheet to edit and apply
    #[command(after_long_help = help::EXPORT)]
    Export(Box<export::Export>),
    /// Run a local ImageKit for trials and tests
    #[command(after_long_help = help::SANDBOX)]
    Sandbox(Box<sandbox::Sandbox>),
}

impl Command {
    async fn run(self, screen: &Screen, signal: StopSignal) -> Result<u8, CliError> {
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

/// An error that ends a command: its message and its exit code.
#[derive(Debug)]
struct CliError {
    message: String,
    exit_code: u8,
}

impl CliError {
    /// Invalid usage or input; nothing was sent.
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: exit_codes::REFUSED }
    }

    fn from_error(error: &dyn std::error::Error) -> Self {
        Self::new(chain(error))
    }

    /// A failed read, before anything was sent. The exit code is that of refused input only where
    /// ImageKit rejected the request itself.
    fn read_failed(failure: &Failure, message: impl Into<String>) -> Self {
        let exit_code = match failure.concerns() {
            Concern::Request => exit_codes::REFUSED,
            Concern::Environment | Concern::Account => exit_codes::ABORTED,
        };
        Self { message: message.into(), exit_code }
    }

    /// The ledger, a report or another file cannot be read or written.
    fn not_written(error: &dyn std::error::Error) -> Self {
        Self { message: chain(error), exit_code: exit_codes::NOT_WRITTEN }
    }
}

impl From<LedgerError> for CliError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::NeverBegun { .. } => Self::from_error(&error),
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
            StateDirError::Nowhere | StateDirError::Unsafe { .. } => Self::from_error(&error),
            StateDirError::Io { .. } => Self::not_written(&error),
        }
    }
}

/// Parses the command line; exits with usage errors, or after printing help or the version.
pub(crate) fn parse() -> Cli {
    Cli::try_parse().unwrap_or_else(|error| guess::with_hint(error).exit())
}

/// Runs a command and returns its exit code (see [`ikbulk::exit_codes`]).
///
/// `signal` resolves when the program is asked to stop. `report` ignores it: the command never
/// waits, so the default signal handling ends it.
pub(crate) async fn run(cli: Cli, screen: &Screen, signal: impl Future<Output = Stop>) -> u8 {
    let result = match cli.command {
        Command::Report(report) => report.run(screen).await,
        command => until_stopped(signal, |signal| command.run(screen, signal)).await,
    };
    result.unwrap_or_else(|error| {
        screen.error(&error.message);
        error.exit_code
    })
}
