//! Scans an input, and looks up the files that it names by path or URL.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::access::Client;
use super::error::{Error, ReadPurpose};
use super::ui::{ReadCounter, Ui};
use crate::execute::Reads;
use crate::input::{Context, Input};
use crate::plan::{EXAMPLES_MAX, InputSummary, scan_first};
use crate::plural::plural;
use crate::resolve::{Resolution, look_up};
use crate::row::Target;
use crate::run::ReadProgress as _;

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
    pub(super) fn read(input: &Input, mut context: Context) -> Result<Self, Error> {
        let input_summary = scan_first(input, &mut context, EXAMPLES_MAX)?;
        Ok(Self { input_summary, context, looked_up: None })
    }

    /// Looks up the files that the input names by path or URL. If there are any, scans the input
    /// again with them.
    pub(super) async fn look_up_files(
        self,
        input: &Input,
        client: &Client,
        reads: &Reads,
        ui: &impl Ui,
    ) -> Result<Self, Error> {
        let Self { input_summary, mut context, .. } = self;
        if input_summary.to_look_up.is_empty() {
            return Ok(Self { input_summary, context, looked_up: None });
        }
        let looked_up = resolve_targets(&input_summary.to_look_up, client, reads, ui).await?;
        context.files = Some(Arc::clone(&looked_up.files));
        Ok(Self { looked_up: Some(looked_up), ..Self::read(input, context)? })
    }
}

async fn resolve_targets(
    targets: &BTreeSet<Target>,
    client: &Client,
    reads: &Reads,
    ui: &impl Ui,
) -> Result<Resolution, Error> {
    tracing::info!("looking up {}", plural(targets.len() as u64, "path or URL", "paths and URLs"));
    let counter = ReadCounter::new(ui);
    let looked_up = look_up(targets, &client.api, reads, |done, count| {
        if done == 1 {
            counter.begin("files looked up", Some(count as u64));
        }
        counter.add(1);
    });
    looked_up.await.map_err(|failure| Error::Read { purpose: ReadPurpose::LookUp, failure })
}
