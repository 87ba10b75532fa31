//! Derives the charges of a run from its ledger.

use super::{ChargeCertainty, ChargesError};
use crate::history::{ExtensionReport, RunRecord, reports_of};
use crate::row::FileId;
use crate::sent::SentExtension;

/// How certain a report makes that the extension ran.
pub(super) fn certainty(report: ExtensionReport) -> ChargeCertainty {
    match report {
        ExtensionReport::Status | ExtensionReport::Nothing => ChargeCertainty::Accepted,
        ExtensionReport::ResponseLost => ChargeCertainty::ResponseLost,
        ExtensionReport::Failed => ChargeCertainty::Failed,
    }
}

/// Calls `visit` for each extension that a run sent.
pub(super) fn each_extension(
    run: RunRecord<'_>,
    mut visit: impl FnMut(&FileId, &SentExtension, ExtensionReport) -> Result<(), ChargesError>,
) -> Result<(), ChargesError> {
    run.each_record(|pos, records, steps| {
        let sent = steps.iter().filter(|record| !record.sent.extensions.is_empty());
        for record in sent {
            let file = FileId::new(&records.file_id())
                .map_err(|_| ChargesError::FileOfRow { row: pos.number })?;
            for (extension, report) in reports_of(&record.outcome, &record.sent.extensions) {
                visit(&file, extension, report)?;
            }
        }
        Ok(())
    })
}
