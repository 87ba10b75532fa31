//! `ikbulk charges`: inspects, exports and imports the recorded charges.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ikbulk::engine::{
    AccountName, ChargeCounts, Engine, ExtensionName, FileCharge, FileId, ImportedCharges,
    RecordedCharges,
};
use ikbulk::exit_codes;
use ikbulk::internals::plural;
use serde_json::{Value, json};

use super::help::{CHARGES_EXPORT, CHARGES_IMPORT, CHARGES_LIST, RUN};
use super::render::render_charges;
use super::settings_args::SettingsArgs;
use super::terminal_ui::TerminalUi;
use super::values::file_id;
use super::{CliError, Screen};

#[derive(Debug, Args)]
pub(super) struct Charges {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the number of charges, what was spent by day, and the charges of a file
    #[command(after_long_help = CHARGES_LIST)]
    List(Box<List>),
    /// Write all charges to a file
    #[command(after_long_help = CHARGES_EXPORT)]
    Export(Box<Export>),
    /// Add the charges of a file to those recorded here
    #[command(after_long_help = CHARGES_IMPORT)]
    Import(Box<Import>),
}

#[derive(Debug, Args)]
struct List {
    /// Also show the charges of the file with this id
    #[arg(long, value_name = "FILEID", value_parser = file_id)]
    file: Option<FileId>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Debug, Args)]
struct Export {
    /// The file to write: one JSON object a line
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    overwrite: bool,
    /// Wait for a run on the account to end instead of exiting with code 75
    #[arg(long, help_heading = RUN)]
    wait_lock: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Debug, Args)]
struct Import {
    /// A file that `ikbulk charges export` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Wait for a run on the account to end instead of exiting with code 75
    #[arg(long, help_heading = RUN)]
    wait_lock: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Charges {
    pub(super) async fn run(self, screen: &Screen) -> Result<u8, CliError> {
        match self.action {
            Action::List(list) => list.run(screen).await,
            Action::Export(export) => export.run(screen).await,
            Action::Import(import) => import.run(screen).await,
        }
    }
}

impl List {
    async fn run(self, screen: &Screen) -> Result<u8, CliError> {
        let engine = Engine::new(self.settings.with_profile()?.with_key()?);
        let recorded = engine.charges(self.file.as_ref(), &TerminalUi::new(screen)).await?;
        if self.json {
            screen.print_json(&charges_json(&recorded));
        } else {
            let prices = &engine.settings().spending.prices;
            screen.print_result(&render_charges(&recorded, prices, screen.width()));
        }
        Ok(exit_codes::DONE)
    }
}

impl Export {
    async fn run(self, screen: &Screen) -> Result<u8, CliError> {
        let engine = Engine::new(self.settings.with_profile()?.with_key()?);
        let ui = TerminalUi::new(screen);
        let exported =
            engine.export_charges(&self.output, self.overwrite, self.wait_lock, &ui).await?;
        let charges = plural(exported.charges, "charge", "charges");
        screen.print(&format!("charges    {}: {charges}\n", self.output.display()));
        Ok(exit_codes::DONE)
    }
}

impl Import {
    async fn run(self, screen: &Screen) -> Result<u8, CliError> {
        let engine = Engine::new(self.settings.with_profile()?.with_key()?);
        let ui = TerminalUi::new(screen);
        let imported = engine.import_charges(&self.file, self.wait_lock, &ui).await?;
        let ImportedCharges { new, known, .. } = imported;
        let charges = plural(new, "charge", "charges");
        screen.print(&format!("imported   {charges}; {known} more were recorded here before\n"));
        Ok(exit_codes::DONE)
    }
}

fn charges_json(recorded: &RecordedCharges) -> Value {
    let RecordedCharges { account, overview, of_file, .. } = recorded;
    let charges =
        overview.charges.iter().map(|(name, ChargeCounts { accepted, response_lost, failed })| {
            json!({
                "extension": name.map(ExtensionName::as_str),
                "accepted": accepted,
                "response_lost": response_lost,
                "failed": failed,
            })
        });
    let spent = overview.spent.iter().flat_map(|(day, runs)| {
        runs.iter().map(move |(name, runs)| {
            json!({"day": day.to_string(), "extension": name.as_str(), "runs": runs})
        })
    });
    let open_runs = overview.open_runs.iter().map(|run| run.display().to_string());
    let mut json = json!({
        "service": account.service.as_str(),
        "account": account.name.as_ref().map(AccountName::as_str),
        "files": overview.files,
        "charges": charges.collect::<Vec<_>>(),
        "spent": spent.collect::<Vec<_>>(),
        "open_runs": open_runs.collect::<Vec<_>>(),
    });
    if let Some(of_file) = of_file {
        json["of_file"] = of_file.iter().map(file_charge_json).collect();
    }
    json
}

fn file_charge_json(FileCharge { extension, configuration, charge }: &FileCharge) -> Value {
    json!({
        "extension": extension.map(ExtensionName::as_str),
        "configuration": configuration.to_string(),
        "run": charge.run.display().to_string(),
        "begun": charge.begun,
        "certainty": charge.certainty.as_str(),
    })
}
