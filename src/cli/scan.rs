//! Reading an input whole, and looking up the files that it names by path or URL.

use std::sync::Arc;

use super::prepare::hint;
use super::settings_args::Client;
use super::{CliError, Screen};
use crate::execute::Reads;
use crate::input::{Context, Input};
use crate::plan::{InputSummary, Planner, scan};
use crate::plural::plural;
use crate::report::Counter;
use crate::resolve::{Resolution, look_up};

/// An input that has been read whole.
pub(super) struct Scan {
    pub(super) scan: InputSummary,
    /// What it was read with: with the files that were looked up.
    pub(super) context: Context,
    /// `None` where every row names its file by its id.
    pub(super) looked_up: Option<Resolution>,
}

impl Scan {
    /// Reads an input, without looking anything up.
    pub(super) fn of(input: &Input, context: Context) -> Result<Self, CliError> {
        let scan = scan(input, &context, &mut Planner::direct(), |_| {});
        let scan = scan.map_err(|error| CliError::of(&error))?;
        Ok(Self { scan, context, looked_up: None })
    }

    /// Looks up the files that the input names by path or URL, and reads it once more where there
    /// are any.
    pub(super) async fn looked_up(
        self,
        input: &Input,
        client: &Client,
        reads: &Reads,
        screen: &Screen,
    ) -> Result<Self, CliError> {
        let Self { scan, mut context, .. } = self;
        if scan.to_look_up.is_empty() {
            return Ok(Self { scan, context, looked_up: None });
        }
        let looked_up = looked_up(&scan, client, reads, screen).await?;
        context.files = Some(Arc::clone(&looked_up.files));
        Ok(Self { looked_up: Some(looked_up), ..Self::of(input, context)? })
    }
}

async fn looked_up(
    scan: &InputSummary,
    client: &Client,
    reads: &Reads,
    screen: &Screen,
) -> Result<Resolution, CliError> {
    let targets = &scan.to_look_up;
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
            "cannot look up the files that the input names by path or URL; nothing was sent: \
             {failure}{}",
            hint(&failure)
        );
        CliError::not_read(&failure, message)
    })
}
