//! `ikbulk apply`: previews a sheet, asks for confirmation, and sends it.

use std::future::Future;

use clap::Args;
use ikbulk::engine::{ApplyOptions, Planning, Stop};

use super::executed::print_executed;
use super::help::PLANNING;
use super::session_args::SessionArgs;
use super::settings_args::{SettingsArgs, consent};
use super::sheet_args::SheetArgs;
use super::terminal_ui::TerminalUi;
use super::{CliError, Screen};

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Apply {
    /// Apply without asking for confirmation
    #[arg(short, long)]
    yes: bool,
    /// FILE is a run directory: apply its saved plan, skip files that changed since
    #[arg(long, conflicts_with_all = ["direct", "continue_run", "sandbox", "run_dir"])]
    plan: bool,
    /// Resume the unfinished run of this sheet, if any, else start one (for cron)
    #[arg(long = "continue")]
    continue_run: bool,
    #[command(flatten)]
    session: SessionArgs,
    #[command(flatten)]
    sheet: SheetArgs,
    /// Send every row as is, without comparing with the library
    #[arg(long, help_heading = PLANNING,
        conflicts_with_all = ["exact", "rerun_extensions", "skip_tagged"])]
    direct: bool,
    /// Skip reading the files before a --direct run; disables `ikbulk undo`
    #[arg(long, help_heading = PLANNING, requires = "direct", hide_short_help = true)]
    no_snapshot: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Apply {
    pub(super) async fn run(
        self,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, CliError> {
        if !self.sheet.sandbox {
            screen.require_shown_or(self.yes)?;
        }
        let settings = self.settings.with_profile()?;
        let sheet = self.sheet.to_sheet(settings.columns());
        let (engine, limits) = self.session.prepare(settings.for_sheet(&self.sheet)?)?;
        let (ui, consent) = (TerminalUi::new(screen), consent(self.yes));
        let executed = if self.plan {
            engine.apply_plan(self.sheet.file.path(), consent, limits, &ui, signal).await?
        } else {
            let options = ApplyOptions {
                planning: if self.direct {
                    Planning::Direct
                } else {
                    Planning::Diff(self.sheet.diff_options())
                },
                keeps_snapshots: !self.no_snapshot,
                consent,
                resumes_unfinished: self.continue_run,
                limits,
            };
            engine.apply(&sheet, options, &ui, signal).await?
        };
        Ok(print_executed(&executed, screen))
    }
}
