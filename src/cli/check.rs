//! `ikbulk check`: reads and validates everything, sends nothing.

use clap::Args;

use super::prepare::{Fields, InputArg};
use super::settings_args::SettingsArgs;
use super::{CliError, Screen};
use crate::execute::Reads;
use crate::input::{Format, Input};
use crate::plan::{Planner, scan};
use crate::report::{PlanView, render_plan};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The sheet of changes, CSV or JSONL; - for standard input
    #[arg(value_name = "FILE")]
    file: InputArg,
    /// How the input is written [default: what its name or beginning says]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Take custom metadata as it stands, without asking the account for its fields
    #[arg(long)]
    no_schema: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Check {
    /// Exits 0 if every row is good, 1 if some are not, 2 if nothing of the input could be sent.
    pub(super) async fn run(self, screen: &Screen) -> Result<u8, CliError> {
        let settings = self.settings.with_profile()?;
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
        let sets_metadata = || input.mentions_metadata().map_err(|error| CliError::of(&error));
        let fields = if self.no_schema || !sets_metadata()? {
            Fields::unchecked()
        } else if settings.has_key() {
            Fields::of(
                &settings.api(screen.person(false)).await?,
                input,
                &Reads::new(&settings.execution()?),
            )
            .await?
        } else {
            screen.error(
                "custom metadata is not checked against the account's fields, for want of a key in \
                 IMAGEKIT_PRIVATE_KEY or --key-file",
            );
            Fields::unchecked()
        };
        let context = fields.context(settings.clear_token(), None);
        let scan = scan(input, &context, &mut Planner::direct(), |_| {})
            .map_err(|error| CliError::of(&error))?;
        screen.say(&render_plan(&PlanView {
            input: &self.file.name(),
            rows_of_run: None,
            summary: &scan.summary,
            ignored_columns: &scan.ignored_columns,
            empty_cells: scan.empty_cells,
            reading: None,
            looked_up: None,
            target: None,
            width: screen.width(),
        }));
        if scan.summary.rows == 0 {
            return Err(CliError::new("the input has no rows"));
        }
        let share = scan.summary.rejected_share();
        if share > settings.max_bad() {
            screen.say(
                "next       mend them: with so many bad rows (--max-bad) `ikbulk apply` sends \
                 nothing without asking\n",
            );
        }
        Ok(u8::from(scan.summary.rejected > 0))
    }
}
