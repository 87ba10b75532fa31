//! `ikbulk plan`: shows what a sheet would change, in how many requests and until when, and saves
//! that.

use clap::Args;
use serde_json::json;

use super::settings_args::SettingsArgs;
use super::sheet::{OnDiff, PlanOptions, Planned, Sheet, StagedSheet};
use super::stop::DiscardUnlessStarted;
use super::{CliError, Screen};
use crate::ledger::Stage;
use crate::plan::FileDifference;
use crate::row::Units;
use crate::run::RunDir;
use crate::settings::Execution;

/// The exit code for a plan that changes something, where it is asked for.
const CHANGES: u8 = 10;

#[derive(Debug, Args)]
pub(super) struct Plan {
    #[command(flatten)]
    sheet: Sheet,
    /// Say it as JSON
    #[arg(long)]
    json: bool,
    /// Show every change: for each file its rows, and each field before → after
    #[arg(long, conflicts_with = "json")]
    diff: bool,
    /// Exit 10 if there is something to change, whatever else [default: 1 if rows are bad or of files
    /// that ImageKit does not have, 0 if not]
    #[arg(long)]
    detailed_exitcode: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Plan {
    /// Exits 1 if there are rows that must be mended, like `check`.
    pub(super) async fn run(mut self, screen: &Screen) -> Result<u8, CliError> {
        self.settings = self.settings.with_profile()?;
        let execution = self.settings.execution()?;
        let (run, _lock) = self.sheet.run_dir(&self.settings, false)?;
        let unbegun = DiscardUnlessStarted::new(&run);
        let planned = self.plan(&run, &execution, screen).await?;
        unbegun.keep();
        let summary = &planned.scan.summary;
        if self.detailed_exitcode && summary.writes > 0 {
            return Ok(CHANGES);
        }
        Ok(u8::from(summary.rejected + summary.missing > 0))
    }

    async fn plan(
        &self,
        run: &RunDir,
        execution: &Execution,
        screen: &Screen,
    ) -> Result<Planned, CliError> {
        let opened = self.sheet.open(run, &self.settings, screen.person(false)).await?;
        let wish = PlanOptions {
            planning: self.sheet.live(),
            keeps_before: true,
            run,
            settings: &self.settings,
            execution,
            screen,
            holds_lock: false,
            // Nothing is sent, so that bad rows may be looked at as well.
            attended: true,
        };
        let show = |difference: &FileDifference| screen.say(&difference.to_string());
        let see: Option<OnDiff<'_>> = if self.diff { Some(&show) } else { None };
        let read_alone = self.sheet.read_alone(&opened, &wish)?;
        let StagedSheet { staged, client, sandbox: _sandbox } = opened;
        let connection = self.sheet.connect(client, &wish, false).await?;
        let mut planned = self.sheet.plan(&staged, read_alone, &connection, &wish, see).await?;
        planned.reach(Stage::Planned)?;
        if self.json {
            let text = serde_json::to_string_pretty(&price(&planned, run, execution));
            screen.say(&(text.unwrap_or_default() + "\n"));
        } else {
            if self.diff {
                screen.say("\n");
            }
            self.sheet.show(&planned, &connection, &wish, None);
            let path = run.path().display();
            screen.say(&format!("next       ikbulk apply --plan {path}\n"));
        }
        Ok(planned)
    }
}

/// What it comes to, for programs.
fn price(planned: &Planned, run: &RunDir, execution: &Execution) -> serde_json::Value {
    let summary = &planned.scan.summary;
    let paid = summary.paid_runs.iter().map(|(name, runs)| {
        let units = match name.units() {
            Units::Known(units) => Some(units * runs),
            Units::Unknown => None,
        };
        json!({"extension": name.as_str(), "runs": runs, "units": units})
    });
    let (reading, reads) = planned.reading.unwrap_or_default();
    let unchanged = summary.up_to_date + summary.already_ran + summary.without_change;
    let settled = summary.rejected + summary.missing + unchanged;
    json!({
        "run": run.path().display().to_string(),
        "input": planned.meta.input_name,
        "sandbox": planned.meta.sandbox,
        "rows": {
            "total": summary.rows,
            "to_change": summary.rows.saturating_sub(settled),
            "up_to_date": summary.up_to_date,
            "already_ran": summary.already_ran,
            "nothing_asked": summary.without_change,
            "rejected": summary.rejected,
            "missing": summary.missing,
        },
        "requests": {
            "patch": summary.by_kind.patch,
            "publish": summary.by_kind.publish,
            "add_tags": summary.by_kind.add_tags,
            "remove_tags": summary.by_kind.remove_tags,
            "read": summary.reads,
        },
        "seconds_at_the_limit": execution.writes.time_for(summary.writes).map(|time| time.as_secs_f64()),
        "paid": paid.collect::<Vec<_>>(),
        "live_state": {
            "files": reading.files,
            "requests": reads,
            "looked_at_again": reading.again,
            "out_of_date": reading.stale,
        },
    })
}
