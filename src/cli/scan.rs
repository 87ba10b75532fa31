//! Scans an input, and looks up the files that it names by path or URL.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::hint::with_hint;
use super::render::Counter;
use super::settings_args::Client;
use super::{CliError, Screen};
use ikbulk::execute::Reads;
use ikbulk::input::{Context, Input};
use ikbulk::plan::{EXAMPLES_MAX, InputSummary, Planner, scan};
use ikbulk::plural::plural;
use ikbulk::resolve::{Resolution, look_up};
use ikbulk::row::Target;
use ikbulk::run::ReadProgress as _;

/// A scanned input.
pub(super) struct Scan {
    pub(super) input_summary: InputSummary,
    /// The context it was read with, including looked-up files.
    pub(super) context: Context,
    /// `None` if no row names its file by path or URL.
    pub(super) looked_up: Option<Resolution>,
}

impl Scan {
    /// Scans an input without looking up files.
    pub(super) fn read(input: &Input, context: Context) -> Result<Self, CliError> {
        let mut planner = Planner::direct();
        planner.preview(EXAMPLES_MAX);
        let input_summary = scan(input, &context, &mut planner, None, |_| {});
        let input_summary = input_summary.map_err(|error| CliError::from_error(&error))?;
        Ok(Self { input_summary, context, looked_up: None })
    }

    /// Looks up the files that the input names by path or URL. If there are any, scans the input
    /// again with them.
    pub(super) async fn look_up_files(
        self,
        input: &Input,
        client: &Client,
        reads: &Reads,
        screen: &Screen,
    ) -> Result<Self, CliError> {
        let Self { input_summary, mut context, .. } = self;
        if input_summary.to_look_up.is_empty() {
            return Ok(Self { input_summary, context, looked_up: None });
        }
        let looked_up = resolve_targets(&input_summary.to_look_up, client, reads, screen).await?;
        context.files = Some(Arc::clone(&looked_up.files));
        Ok(Self { looked_up: Some(looked_up), ..Self::read(input, context)? })
    }
}

async fn resolve_targets(
    targets: &BTreeSet<Target>,
    client: &Client,
    reads: &Reads,
    screen: &Screen,
) -> Result<Resolution, CliError> {
    tracing::info!("looking up {}", plural(targets.len() as u64, "path or URL", "paths and URLs"));
    let counter = Counter::new(screen.bars());
    let looked_up = look_up(targets, &client.api, reads, |done, count| {
        if done == 1 {
            counter.begin("files looked up", Some(count as u64));
        }
        counter.add(1);
    });
    looked_up.await.map_err(|failure| {
        let message = format!(
            "cannot look up files by path or URL: {}; nothing was sent",
            with_hint(&failure)
        );
        CliError::read_failed(&failure, message)
    })
}
