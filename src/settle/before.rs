//! The state of a file before a request.

use crate::imagekit::FileState;
use crate::ledger::{LedgerError, LedgerFile, StepRecord};
use crate::outcome::Status;
use crate::row::{Change, FileField};

/// The state that the extensions of a step found: the one before its request, without the AI tags that
/// the request itself removed. `None` if it is not known.
///
/// # Errors
/// The ledger cannot be read.
pub(crate) fn state_before(
    change: &Change,
    record: &StepRecord,
    ledger: &LedgerFile,
) -> Result<Option<FileState>, LedgerError> {
    let state = ledger.state_before(record.step)?;
    let mut before: Option<FileState> = state.and_then(|state| serde_json::from_str(&state).ok());
    let is_removed =
        record.outcome.status == Status::Updated && record.sent.fields.contains(FileField::AiTags);
    if let (Some(before), Some(removal), true) = (&mut before, &change.ai_tags, is_removed) {
        // The removal comes before the extensions.
        before.ai_tags.retain(|tag| !removal.removes(&tag.name));
    }
    Ok(before)
}
