//! `ikbulk check`: validates a sheet without sending anything.

use clap::Args;

use super::help::INPUT;
use super::prepare::{Fields, InputArg};
use super::render::{PlanView, render_plan};
use super::settings_args::SettingsArgs;
use super::values::format;
use super::{CliError, Screen};
use ikbulk::execute::Reads;
use ikbulk::exit_codes;
use ikbulk::input::{Format, Input};
use ikbulk::plan::{Planner, scan};
use ikbulk::shell::quoted;

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The sheet of changes, as CSV or JSONL; - reads standard input
    #[arg(value_name = "FILE")]
    file: InputArg,
    /// The format of the input [default: detected from its name or content]
    #[arg(long, value_parser = format(), value_name = "FORMAT", help_heading = INPUT)]
    format: Option<Format>,
    /// Skip validating custom metadata against the account's fields
    #[arg(long, help_heading = INPUT)]
    no_schema: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Check {
    /// Exits with 0 if all rows are valid, 1 if some are invalid, 2 if the input cannot be applied.
    pub(super) async fn run(self, screen: &Screen) -> Result<u8, CliError> {
        let settings = self.settings.clone().with_profile()?;
        let unnamed;
        let input = if let Some(path) = self.file.file() {
            let format = self.format.map_or_else(|| Format::of_file(path), Ok);
            let format = format.map_err(|error| {
                CliError::new(format!("cannot read {}: {error}", path.display()))
            })?;
            &Input { path: path.to_owned(), format }
        } else {
            unnamed = self.file.stage_unnamed_input(self.format).await?;
            unnamed.input()
        };
        let fields = self.fields(&settings, input, screen).await?;
        let context = fields.context(settings.clear_token(), None);
        let mut planner = Planner::direct();
        planner.preview(0);
        let scan = scan(input, &context, &mut planner, None, |_| {})
            .map_err(|error| CliError::from_error(&error))?;
        screen.print(&render_plan(&PlanView {
            input: &self.file.name(),
            rows_of_run: None,
            summary: &scan.summary,
            ignored_columns: &scan.ignored_columns,
            empty_cells: scan.empty_cells,
            reading: None,
            looked_up: None,
            target: None,
            is_refused: false,
            verbose: screen.is_verbose(),
            width: screen.width(),
        }));
        if scan.summary.rows == 0 {
            return Err(CliError::new("the input has no rows"));
        }
        let share = scan.summary.rejected_share();
        if share > settings.max_bad() {
            screen.print(
                "next       fix the invalid rows: above --max-bad, `ikbulk apply --yes` refuses the \
                 sheet\n",
            );
        }
        if scan.summary.rejected == 0
            && let Some(path) = self.file.file()
        {
            screen.print(&format!("next       ikbulk plan {}\n", quoted(path)));
        }
        Ok(if scan.summary.rejected > 0 { exit_codes::NEEDS_FIXING } else { exit_codes::DONE })
    }

    /// The fields of the account, if the sheet sets custom metadata and there is a key.
    async fn fields(
        &self,
        settings: &SettingsArgs,
        input: &Input,
        screen: &Screen,
    ) -> Result<Fields, CliError> {
        let sets_metadata =
            || input.mentions_metadata().map_err(|error| CliError::from_error(&error));
        if self.no_schema || !sets_metadata()? {
            return Ok(Fields::unchecked());
        }
        if !settings.has_key() {
            screen.error(
                "not validating custom metadata against the account's fields: no key in \
                 IMAGEKIT_PRIVATE_KEY or --key-file",
            );
            return Ok(Fields::unchecked());
        }
        let client = settings.api(screen.prompt_unless(false)).await?;
        Fields::fetch(&client, input, &Reads::new(&settings.execution()?)).await
    }
}
