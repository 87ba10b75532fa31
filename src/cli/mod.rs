//! The command line: one module per command, and what the commands share.

mod apply;
mod callback_args;
mod charges;
mod check;
#[cfg(test)]
mod documented_commands;
mod error;
mod executed;
mod export;
mod guess;
mod help;
mod key;
mod library_args;
mod limit_args;
mod listen_args;
mod plan;
mod question;
mod quirk_args;
mod read_args;
mod render;
mod report;
mod resume;
mod retry;
mod run_sandbox;
mod sandbox;
mod sandbox_limit_args;
mod screen;
mod session_args;
mod settings_args;
mod settings_file;
mod settle;
mod sheet_args;
mod sheet_json;
mod stop;
mod terminal_ui;
mod undo;
mod usage;
mod values;

pub(crate) use screen::{Screen, Verbosity};

use std::future::Future;

use clap::{Parser, Subcommand, ValueEnum};

use error::CliError;
use ikbulk::engine::Stop;
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
    #[command(after_long_help = help::with_settings_files(help::PLAN))]
    Plan(Box<plan::Plan>),
    /// Apply a sheet: preview, ask, send
    #[command(after_long_help = help::with_settings_files(help::APPLY))]
    Apply(Box<apply::Apply>),
    /// Resume an interrupted run
    #[command(after_long_help = help::RESUME)]
    Resume(Box<resume::Resume>),
    /// Send the failed rows of a run, and run its failed extensions, again
    #[command(after_long_help = help::RETRY)]
    Retry(Box<retry::Retry>),
    /// Find the final status of pending extensions and unknown outcomes
    #[command(after_long_help = help::SETTLE)]
    Settle(Box<settle::Settle>),
    /// Revert a run: restore the values from before it
    #[command(after_long_help = help::UNDO)]
    Undo(Box<undo::Undo>),
    /// Regenerate the reports of a run, or show the progress of a running one
    #[command(after_long_help = help::REPORT)]
    Report(report::Report),
    /// Export the library, a folder or a search as a sheet to edit and apply
    #[command(after_long_help = help::EXPORT)]
    Export(Box<export::Export>),
    /// Inspect, export and import the charges that are remembered on this machine
    Charges(charges::Charges),
    /// Show what the account's extensions cost, and measure prices that are not published
    #[command(after_long_help = help::USAGE)]
    Usage(Box<usage::Usage>),
    /// Run a local ImageKit for trials and tests
    #[command(after_long_help = help::SANDBOX)]
    Sandbox(Box<sandbox::Sandbox>),
}

impl Command {
    async fn run(self, screen: &Screen, signal: StopSignal) -> Result<u8, CliError> {
        match self {
            Self::Check(check) => check.run(screen).await,
            Self::Plan(plan) => plan.run(screen).await,
            Self::Apply(apply) => Box::pin(apply.run(screen, signal)).await,
            Self::Resume(resume) => Box::pin(resume.run(screen, signal)).await,
            Self::Retry(retry) => Box::pin(retry.run(screen, signal)).await,
            Self::Settle(settle) => settle.run(screen, signal).await,
            Self::Undo(undo) => Box::pin(undo.run(screen, signal)).await,
            Self::Export(export) => export.run(screen, signal).await,
            Self::Report(report) => report.run(screen).await,
            Self::Charges(charges) => Box::pin(charges.run(screen)).await,
            Self::Usage(usage) => usage.run(screen).await,
            Self::Sandbox(sandbox) => sandbox.run(screen, signal).await,
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
