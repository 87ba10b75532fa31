//! Derives the charges of a run from its ledger.

use super::{Certainty, ChargesError};
use crate::history::{ExtensionReport, each_record, reports_of};
use crate::input::Input;
use crate::ledger::{LedgerFile, RunMeta};
use crate::row::FileId;
use crate::sent::SentExtension;

/// How certain a report makes that the extension ran.
pub(super) fn certainty(report: ExtensionReport) -> Certainty {
    match report {
        ExtensionReport::Status | ExtensionReport::Nothing => Certainty::Accepted,
        ExtensionReport::ResponseLost => Certainty::ResponseLost,
        ExtensionReport::Failed => Certainty::Failed,
    }
}

/// Calls `visit` for each extension that a run sent.
pub(super) fn each_extension(
    input: &Input,
    meta: &RunMeta,
    ledger: &LedgerFile,
    mut visit: impl FnMut(&FileId, &SentExtension, ExtensionReport) -> Result<(), ChargesError>,
) -> Result<(), ChargesError> {
    let context = ledger.context(meta)?;
    each_record(input, &context, ledger, |pos, records, steps| {
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
