//! `ikbulk check`: validates a sheet without sending anything.

use std::collections::BTreeMap;

use clap::Args;
use ikbulk::engine::{Engine, PlanSummary, ReadOptions, Settings, Sheet};
use ikbulk::exit_codes;
use ikbulk::internals::{path_argument, read_flags};

use super::help::{INPUT, SHEET};
use super::read_args::ReadArgs;
use super::settings_args::SettingsArgs;
use super::sheet_args::InputArg;
use super::sheet_json::checked_json;
use super::terminal_ui::{Previews, TerminalUi};
use super::{CliError, Screen};

#[derive(Debug, Args)]
pub(super) struct Check {
    #[arg(value_name = "FILE", help = SHEET)]
    file: InputArg,
    /// Print every invalid cell and finding as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    read: ReadArgs,
    /// Skip validating custom metadata against the account's fields
    #[arg(long, help_heading = INPUT)]
    no_schema: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Check {
    /// Exits with 0 if all rows are valid, 1 if some are invalid, 2 if the input cannot be applied.
    pub(super) async fn run(self, screen: &Screen) -> Result<u8, CliError> {
        let settings = self.settings.with_profile()?;
        let read_options = self.read.options(settings.columns());
        let settings = settings.with_extensions_for_all(self.read.extensions.as_deref());
        let engine = Engine::new(settings.with_key()?);
        let sheet = Sheet {
            format: self.read.format,
            read_options,
            checks_metadata: !self.no_schema,
            allow_empty: true,
            ..Sheet::new(self.file.source().clone())
        };
        let previews = if self.json { Previews::AsJson } else { Previews::WithExamples };
        let checked = engine.check(&sheet, &TerminalUi::with_previews(screen, previews)).await?;
        let summary = &checked.summary;
        if self.json {
            screen.print_json(&checked_json(&sheet.source.name(), &checked));
        }
        if summary.rows == 0 {
            return Err(CliError::new("the input has no rows"));
        }
        if self.json {
            return Ok(if summary.rejected > 0 {
                exit_codes::NEEDS_FIXING
            } else {
                exit_codes::DONE
            });
        }
        screen.print(next_if_too_many_invalid(engine.settings(), summary).unwrap_or_default());
        if summary.rejected > 0 {
            return Ok(exit_codes::NEEDS_FIXING);
        }
        if let Some(path) = sheet.source.file() {
            // The settings file holds for the next command as well.
            let usual_columns = BTreeMap::new();
            let options = ReadOptions { usual_columns, ..sheet.read_options };
            let mut flags = read_flags(&options, &engine.settings().rules);
            if let Some(format) = self.read.format {
                flags.push_str(&format!(" --format {}", format.extension()));
            }
            if self.no_schema {
                flags.push_str(" --no-schema");
            }
            screen.print(&format!("next       ikbulk plan {}{flags}\n", path_argument(path)));
        }
        Ok(exit_codes::DONE)
    }
}

/// The next step with a sheet of which more rows are invalid than `ikbulk apply --yes` accepts.
pub(super) fn next_if_too_many_invalid(
    settings: &Settings,
    summary: &PlanSummary,
) -> Option<&'static str> {
    settings.too_many_invalid(summary).map(|_| {
        "next       fix the invalid rows: above --max-bad, `ikbulk apply --yes` refuses the sheet\n"
    })
}
