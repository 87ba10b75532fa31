//! `ikbulk plan`: previews what a sheet would change, and saves the plan.

use clap::Args;
use serde_json::json;

use ikbulk::engine::{ColumnCounts, Engine, PlanOptions, SavedPlan, Settings};
use ikbulk::exit_codes;
use ikbulk::internals::path_argument;

use super::check::next_if_too_many_invalid;
use super::settings_args::SettingsArgs;
use super::sheet_args::SheetArgs;
use super::sheet_json::{findings_json, problems_json, problems_left_out};
use super::terminal_ui::{Previews, TerminalUi};
use super::{CliError, Screen};

#[derive(Debug, Args)]
pub(super) struct Plan {
    /// Show every change: for each file its rows, and each field before → after
    #[arg(long, conflicts_with = "json")]
    diff: bool,
    /// Print the plan as JSON, with every invalid cell
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sheet: SheetArgs,
    /// Exit with code 10 if there are changes [default: 1 if rows are invalid or files not found,
    /// else 0]
    #[arg(long)]
    detailed_exitcode: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Plan {
    /// Exits with 1 if rows are invalid or files not found.
    pub(super) async fn run(self, screen: &Screen) -> Result<u8, CliError> {
        let settings = self.settings.with_profile()?;
        let sheet = self.sheet.to_sheet(settings.columns());
        let engine = Engine::new(settings.for_sheet(&self.sheet)?);
        let ui = TerminalUi::with_previews(
            screen,
            match (self.json, self.diff) {
                (true, _) => Previews::AsJson,
                (false, true) => Previews::AfterDifferences,
                (false, false) => Previews::WithExamples,
            },
        );
        let options = PlanOptions { diff: self.sheet.diff_options(), tells_differences: self.diff };
        let plan = engine.plan(&sheet, options, &ui).await?;
        let summary = &plan.summary;
        if self.json {
            screen.print_json(&plan_json(&plan, engine.settings()));
        } else {
            screen.print(&next_steps(&plan, engine.settings()));
        }
        if self.detailed_exitcode && summary.writes > 0 {
            return Ok(exit_codes::PLAN_HAS_CHANGES);
        }
        Ok(if summary.rejected + summary.missing > 0 {
            exit_codes::NEEDS_FIXING
        } else {
            exit_codes::DONE
        })
    }
}

/// What to do with a plan. Above `--max-bad` it can still be applied: without `--yes`, it asks.
fn next_steps(plan: &SavedPlan, settings: &Settings) -> String {
    let summary = &plan.summary;
    let too_many = next_if_too_many_invalid(settings, summary).filter(|_| !plan.meta.sandbox);
    let apply = format!("ikbulk apply --plan {}", path_argument(plan.run.path()));
    match (too_many, summary.writes) {
        (Some(fix), 0) => fix.to_owned(),
        (Some(fix), _) => {
            format!(
                "{fix}or         {apply}\n           which asks before it sends the other rows\n"
            )
        }
        (None, 0) => "next       nothing to change\n".to_owned(),
        (None, _) => format!("next       {apply}\n"),
    }
}

/// The plan as JSON: the run, its rows, requests, duration and charges.
fn plan_json(plan: &SavedPlan, settings: &Settings) -> serde_json::Value {
    let SavedPlan { run, meta, summary, reading: (reading, reads) } = plan;
    let billed = summary.extension_runs.iter().map(|(name, runs)| {
        let units = settings.spending.prices.units(name, runs);
        json!({"extension": name.as_str(), "runs": runs, "units": units})
    });
    let unchanged =
        summary.up_to_date + summary.superseded + summary.already_ran + summary.without_change;
    let settled = summary.rejected + summary.missing + unchanged;
    let lost_tags = &summary.lost_tags;
    let columns = summary.columns.iter().map(|(name, ColumnCounts { set, cleared })| {
        (name.to_owned(), json!({"set": set, "cleared": cleared}))
    });
    json!({
        "run": run.path().display().to_string(),
        "input": meta.input_name,
        "sandbox": meta.sandbox,
        "rows": {
            "total": summary.rows,
            "to_change": summary.rows.saturating_sub(settled),
            "up_to_date": summary.up_to_date,
            "superseded": summary.superseded,
            "already_ran": summary.already_ran,
            "without_change": summary.without_change,
            "invalid": summary.rejected,
            "not_found": summary.missing,
        },
        "findings": findings_json(&summary.findings),
        "problems": problems_json(&summary.invalid),
        "problems_left_out": problems_left_out(&summary.invalid),
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
            "remove_ai_tags": summary.by_kind.remove_ai_tags,
            "read": summary.reads,
        },
        "seconds_at_the_limit": settings.execution.writes.time_for(summary.writes).map(|time| time.as_secs_f64()),
        "billed": billed.collect::<Vec<_>>(),
        "skipped_extensions": {
            "remembered": summary.skipped_extensions.remembered,
            "tagged": summary.skipped_extensions.tagged,
        },
        "snapshots": {
            "files": reading.files,
            "requests": reads,
            "reread": reading.reread,
            "stale": reading.stale,
        },
    })
}
