//! Plans a sheet, and saves the plan.

use super::Engine;
use super::discard::DiscardUnlessStarted;
use super::error::Error;
use super::reading::Differences;
use super::settings::Consent;
use super::sheet::Sheet;
use super::sheet_plan::{Origin, SheetPlan, StagedSheet, UseOfPlan};
use super::ui::Ui;
use crate::ledger::{RunMeta, Stage};
use crate::plan::PlanSummary;
use crate::run::{ReadStats, RunDir};
use crate::settings::{DiffOptions, Planning};

/// Options of planning a sheet.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlanOptions {
    /// How the sheet is compared with the library.
    pub diff: DiffOptions,
    /// Whether every difference is an event; otherwise the preview has a few examples.
    pub tells_differences: bool,
}

/// A saved plan, which [`Engine::apply_plan`] applies.
#[derive(Debug)]
pub struct SavedPlan {
    /// The run directory with the plan.
    pub run: RunDir,
    /// The facts of the run.
    pub meta: RunMeta,
    /// The planned rows and requests.
    pub summary: PlanSummary,
    /// How the files were read, and in how many requests.
    pub reading: (ReadStats, u64),
}

impl Engine {
    /// Compares a sheet with the library, shows the preview, and saves the plan. Changes nothing.
    ///
    /// ```
    /// use ikbulk::engine::{Consent, Engine, Limits, PlanOptions, Sheet, Unattended};
    ///
    /// # use ikbulk::engine::{Access, Key, Settings};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let library = ikbulk_sandbox::Library::from_ids(["file_1".to_owned()]);
    /// # let config = ikbulk_sandbox::Config { library, ..Default::default() };
    /// # let sandbox = ikbulk_sandbox::start(config)?;
    /// # let directory = tempfile::tempdir()?;
    /// # let key = Key::Given(sandbox.key().to_owned().into());
    /// # let mut settings = Settings::new(Access::with_key(key).at(sandbox.base_url()));
    /// # settings.state_dir = Some(directory.path().join("state"));
    /// let engine = Engine::new(settings);
    /// let path = directory.path().join("sheet.csv");
    /// std::fs::write(&path, "fileId,addTags\nfile_1,winter-2027\n")?;
    ///
    /// let plan = engine.plan(&Sheet::at(&path), PlanOptions::default(), &Unattended).await?;
    /// assert_eq!(plan.summary.writes, 1);
    ///
    /// let (run, stop) = (plan.run.path(), std::future::pending());
    /// engine.apply_plan(run, Consent::Given, Limits::default(), &Unattended, stop).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn plan(
        &self,
        sheet: &Sheet,
        options: PlanOptions,
        ui: &impl Ui,
    ) -> Result<SavedPlan, Error> {
        let (run, _lock) = self.run_dir(sheet, false)?;
        let discard_guard = DiscardUnlessStarted::new(&run);
        let PlanOptions { diff, tells_differences } = options;
        let plan = SheetPlan {
            sheet,
            origin: Origin::Sheet,
            settings: &self.settings,
            rules: &self.settings.rules,
            run: &run,
            ui,
            planning: Planning::Diff(diff),
            keeps_snapshots: true,
            use_of_plan: UseOfPlan::Save,
            // A plan sends nothing, so it may have any number of invalid rows.
            can_confirm: true,
            limit: None,
            differences: if tells_differences { Differences::All } else { Differences::Examples },
        };
        let mut staged_sheet = plan.stage(Consent::Ask).await?;
        let read_offline = plan.read_offline(&mut staged_sheet).await?;
        let StagedSheet { mut staged, client, sandbox: _sandbox } = staged_sheet;
        let connection = plan.connect(client, false).await?;
        let mut planned = plan.plan(&mut staged, read_offline, &connection).await?;
        planned.meta.stage = Stage::Planned;
        planned.meta.writes = planned.scan.summary.writes;
        planned.ledger.set_meta(&planned.meta)?;
        plan.show(&planned, &connection);
        discard_guard.keep();
        let reading = planned.reading.unwrap_or_default();
        Ok(SavedPlan { run, meta: planned.meta, summary: planned.scan.summary, reading })
    }
}
