//! `ikbulk plan`: previews what a sheet would change, and saves the plan.

use clap::Args;
use serde_json::json;

use super::settings_args::SettingsArgs;
use super::sheet::{OnDiff, PlanOptions, Planned, Sheet, StagedSheet};
use super::stop::DiscardUnlessStarted;
use super::{CliError, Screen};
use ikbulk::exit_codes;
use ikbulk::ledger::Stage;
use ikbulk::plan::{ColumnCounts, EXAMPLES_MAX, FileDifference};
use ikbulk::row::Units;
use ikbulk::run::RunDir;
use ikbulk::settings::Execution;
use ikbulk::shell::quoted;

#[derive(Debug, Args)]
pub(super) struct Plan {
    /// Show every change: for each file its rows, and each field before → after
    #[arg(long, conflicts_with = "json")]
    diff: bool,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sheet: Sheet,
    /// Exit with code 10 if there are changes [default: 1 if rows are invalid or files not found,
    /// else 0]
    #[arg(long)]
    detailed_exitcode: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Plan {
    /// Exits with 1 if rows are invalid or files not found.
    pub(super) async fn run(mut self, screen: &Screen) -> Result<u8, CliError> {
        self.settings = self.settings.with_profile()?;
        let execution = self.settings.execution()?;
        let (run, _lock) = self.sheet.run_dir(&self.settings, false)?;
        let discard_guard = DiscardUnlessStarted::new(&run);
        let planned = self.plan(&run, &execution, screen).await?;
        discard_guard.keep();
        let summary = &planned.scan.summary;
        if self.detailed_exitcode && summary.writes > 0 {
            return Ok(exit_codes::PLAN_HAS_CHANGES);
        }
        Ok(if summary.rejected + summary.missing > 0 {
            exit_codes::NEEDS_FIXING
        } else {
            exit_codes::DONE
        })
    }

    async fn plan(
        &self,
        run: &RunDir,
        execution: &Execution,
        screen: &Screen,
    ) -> Result<Planned, CliError> {
        let staged_sheet =
            self.sheet.stage(run, &self.settings, screen.prompt_unless(false)).await?;
        let options = PlanOptions {
            planning: self.sheet.diff_planning(),
            keeps_snapshots: true,
            run,
            settings: &self.settings,
            execution,
            screen,
            holds_lock: false,
            // A plan sends nothing, so it may have any number of invalid rows.
            interactive: true,
            limit: None,
            differences: if self.diff { usize::MAX } else { EXAMPLES_MAX },
        };
        let show = |difference: &FileDifference| screen.print(&difference.to_string());
        let on_diff: Option<OnDiff<'_>> = if self.diff { Some(&show) } else { None };
        let read_offline = self.sheet.read_offline(&staged_sheet, &options)?;
        let StagedSheet { staged, client, sandbox: _sandbox } = staged_sheet;
        let connection = self.sheet.connect(client, &options, false).await?;
        let mut planned =
            self.sheet.plan(&staged, read_offline, &connection, &options, on_diff).await?;
        planned.set_stage(Stage::Planned)?;
        if self.json {
            let text = serde_json::to_string_pretty(&plan_json(&planned, run, execution));
            screen.print_result(&(text.unwrap_or_default() + "\n"));
        } else {
            if self.diff {
                // Every change has been printed above.
                planned.scan.summary.examples.clear();
                screen.print("\n");
            }
            self.sheet.show(&planned, &connection, &options);
            screen.print(&match planned.scan.summary.writes {
                0 => "next       nothing to change\n".to_owned(),
                _ => format!("next       ikbulk apply --plan {}\n", quoted(run.path())),
            });
        }
        Ok(planned)
    }
}

/// The plan as JSON: the run, its rows, requests, duration and charges.
fn plan_json(planned: &Planned, run: &RunDir, execution: &Execution) -> serde_json::Value {
    let summary = &planned.scan.summary;
    let billed = summary.extension_runs.iter().map(|(name, runs)| {
        let units = match name.units() {
            Units::Known(units) => Some(units * runs),
            Units::Unknown => None,
        };
        json!({"extension": name.as_str(), "runs": runs, "units": units})
    });
    let (reading, reads) = planned.reading.unwrap_or_default();
    let unchanged = summary.up_to_date + summary.already_ran + summary.without_change;
    let settled = summary.rejected + summary.missing + unchanged;
    let lost_tags = &summary.lost_tags;
    let columns = summary.columns.iter().map(|(name, ColumnCounts { set, cleared })| {
        (name.to_owned(), json!({"set": set, "cleared": cleared}))
    });
    json!({
        "run": run.path().display().to_string(),
        "input": planned.meta.input_name,
        "sandbox": planned.meta.sandbox,
        "rows": {
            "total": summary.rows,
            "to_change": summary.rows.saturating_sub(settled),
            "up_to_date": summary.up_to_date,
            "already_ran": summary.already_ran,
            "without_change": summary.without_change,
            "invalid": summary.rejected,
            "not_found": summary.missing,
        },
        "changed_files": summary.changed_files,
        "columns": columns.collect::<serde_json::Map<_, _>>(),
        "lost_tags": {
            "files": lost_tags.files,
            "tags": lost_tags.tags,
        },
        "requests": {
            "patch": summary.by_kind.patch,
            "publish": summary.by_kind.publish,
            "add_tags": summary.by_kind.add_tags,
            "remove_tags": summary.by_kind.remove_tags,
            "read": summary.reads,
        },
        "seconds_at_the_limit": execution.writes.time_for(summary.writes).map(|time| time.as_secs_f64()),
        "billed": billed.collect::<Vec<_>>(),
        "snapshots": {
            "files": reading.files,
            "requests": reads,
            "reread": reading.reread,
            "stale": reading.stale,
        },
    })
}
