//! `ikbulk usage`: what the account's extensions cost, by its own reports.

use clap::Args;
use ikbulk::engine::{AccountName, AccountUsage, Engine, ExtensionUsage, usage_period};
use ikbulk::exit_codes;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::render::{price_flag, render_usage};
use super::settings_args::SettingsArgs;
use super::terminal_ui::TerminalUi;
use super::{CliError, Screen};

#[derive(Debug, Args)]
pub(super) struct Usage {
    /// The first UTC day, such as 2026-11-01 [default: 29 days before the last]
    #[arg(long, value_name = "DATE")]
    since: Option<Date>,
    /// The last UTC day [default: today]
    #[arg(long, value_name = "DATE")]
    until: Option<Date>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Usage {
    pub(super) async fn run(self, screen: &Screen) -> Result<u8, CliError> {
        let period = usage_period(self.since, self.until);
        let period = period.map_err(|error| CliError::new(error.to_string()))?;
        let engine = Engine::new(self.settings.with_profile()?.with_key()?);
        let usage = engine.usage(period, &TerminalUi::new(screen)).await?;
        if self.json {
            screen.print_json(&usage_json(&usage));
        } else {
            screen.print_result(&render_usage(&usage, screen.width()));
        }
        Ok(exit_codes::DONE)
    }
}

fn usage_json(found: &AccountUsage) -> Value {
    let AccountUsage { account, period, is_over, usage, .. } = found;
    let extension = |extension: &ExtensionUsage| {
        let ExtensionUsage { name, runs, price } = extension;
        json!({
            "extension": name,
            "runs": runs,
            "units_per_run": price.units(),
            "price": price.source(),
        })
    };
    json!({
        "service": account.service.as_str(),
        "account": account.name.as_ref().map(AccountName::as_str),
        "since": period.first().to_string(),
        "until": period.last().to_string(),
        "is_over": is_over,
        "units": usage.units,
        "extensions": usage.extensions.iter().map(extension).collect::<Vec<_>>(),
        "flag": price_flag(&usage.measurement),
    })
}
