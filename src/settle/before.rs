//! The state of a file before a request.

use crate::imagekit::FileState;
use crate::ledger::{LedgerError, LedgerFile, StepRecord};
use crate::outcome::Status;
use crate::row::{Change, Field, FileField};

/// The state that the extensions of a step found: the one before its request, without the AI tags that
/// the request itself removed, and with the description that it set. `None` if it is not known.
///
/// # Errors
/// The ledger cannot be read, or the state is damaged.
pub(crate) fn state_before(
    change: &Change,
    record: &StepRecord,
    ledger: &LedgerFile,
) -> Result<Option<FileState>, LedgerError> {
    let mut before: Option<FileState> = ledger.state_before(record.step)?;
    let (Some(state), Status::Updated) = (&mut before, record.outcome.status) else {
        return Ok(before);
    };
    // What a request sets and removes comes before its extensions.
    if let Some(removal) = &change.ai_tags
        && record.sent.fields.contains(FileField::AiTags)
    {
        state.ai_tags.retain(|tag| !removal.removes(&tag.name));
    }
    if record.sent.fields.contains(FileField::Description) {
        state.description = change.details.text(&Field::Description).map(str::to_owned);
    }
    Ok(before)
}
