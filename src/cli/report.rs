//! `ikbulk report`: the reports of a run again, from its ledger.

use std::path::PathBuf;

use clap::Args;

use super::{Refusal, Screen};
use crate::execute::Ending;
use crate::report::{closing, write};
use crate::run::RunDir;

#[derive(Debug, Args)]
pub(super) struct Report {
    /// The run's directory
    #[arg(value_name = "RUN")]
    run: PathBuf,
}

impl Report {
    pub(super) fn run(self, screen: &Screen) -> Result<u8, Refusal> {
        let run = RunDir::open(&self.run).map_err(|error| Refusal::of(&error))?;
        let ledger = run.ledger().map_err(|error| Refusal::not_written(&error))?;
        let facts = ledger.facts().map_err(|error| Refusal::not_written(&error))?;
        let context = ledger.context(&facts).map_err(|error| Refusal::not_written(&error))?;
        let reports = write(&run, &ledger, &facts, &context, &Ending::Done)
            .map_err(|error| Refusal::not_written(&error))?;
        screen.say(&closing(&reports, &Ending::Done, run.path(), screen.width()));
        Ok(reports.summary.exit_code)
    }
}
