//! What became of the rows that a run returned, since it did: what retries of the run have done, and
//! what undos have reverted.

use foldhash::HashSet;

use super::PlanError;
use super::steps::{all_fingerprints, done_steps};
use crate::bit_set::Member;
use crate::history::{Certainty, RowEffects, RunRecord};
use crate::input::PriorResult;
use crate::ledger::{Completeness, LedgerError, LedgerFile};
use crate::row::{Change, Content, Extensions, FieldSet, FileField, FileId, Update};
use crate::settings::Planning;

/// What became of returned rows since a run returned them.
#[derive(Debug, Default)]
pub(crate) struct SinceReturned {
    /// Fingerprints of the steps that retries have done.
    done: HashSet<u64>,
    /// The runs that set fields of the rows or reverted them, in their order.
    runs: Vec<RunOfRows>,
}

/// A run that set fields of returned rows, or reverted them.
#[derive(Debug)]
pub(crate) struct RunOfRows {
    pub(crate) ledger: LedgerFile,
    pub(crate) planning: Planning,
    /// Whether it is an undo, rather than a run of the rows or an undo of an undo.
    pub(crate) reverts: bool,
}

impl SinceReturned {
    /// The runs that set fields of the rows or reverted them, in their order.
    pub(crate) fn of(runs: Vec<RunOfRows>) -> Self {
        Self { done: HashSet::default(), runs }
    }

    /// Whether the rows are as they were returned.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.done.is_empty() && self.runs.iter().all(|run| !run.reverts)
    }

    /// Adds what a retry has done.
    ///
    /// # Errors
    /// The rows or the ledger of the retry cannot be read.
    pub(crate) fn add_retry(&mut self, retry: RunRecord<'_>) -> Result<(), PlanError> {
        let mut rows = retry.input.rows(retry.context, None)?;
        let mut steps = Vec::new();
        retry.ledger.steps(0, |mut all| {
            while let Some((row, _)) = rows.next_row()? {
                all.of_row(row.pos.number, &mut steps)?;
                if let Content::Update(update) = retry.ledger.admit(row.content)? {
                    self.done.extend(done_steps(&update, &steps));
                }
            }
            Ok(())
        })
    }

    /// The result of a row in the run that returned it, with what retries have done since; and the
    /// fields that were set and that an undo has reverted.
    ///
    /// # Errors
    /// A ledger cannot be read.
    pub(super) fn complete(
        &self,
        row: &Content,
        mut prior: PriorResult,
    ) -> Result<(PriorResult, FieldSet), LedgerError> {
        let Content::Update(Update { file, change }) = row else {
            return Ok((prior, FieldSet::default()));
        };
        if !self.done.is_empty() {
            let all = all_fingerprints(file, change).into_iter();
            prior.done.extend(all.filter(|fingerprint| self.done.contains(fingerprint)));
        }
        let reverted =
            if prior.done.is_empty() { FieldSet::default() } else { self.reverted(file, change)? };
        Ok((prior, reverted))
    }

    /// The fields of a file that an undo has reverted, and no run of the rows has set since. An undo
    /// leaves what the extensions of a row may have written.
    fn reverted(&self, file: &FileId, change: &Change) -> Result<FieldSet, LedgerError> {
        let mut reverted = FieldSet::default();
        for run in &self.runs {
            let Some(record) = run.ledger.file_record(file.as_str())? else { continue };
            if run.reverts {
                reverted.add(record.sent_fields);
            } else if !reverted.is_empty() {
                reverted.remove(run.fields_set_by(record.last_row)?);
            }
        }
        let written = change.extensions.as_ref().map(Extensions::writes);
        Ok(reverted.difference(written.unwrap_or_default()))
    }
}

impl RunOfRows {
    /// The fields that have the values of a row, as far as its requests tell.
    fn fields_set_by(&self, row: u64) -> Result<FieldSet, LedgerError> {
        let steps = self.ledger.steps_of_row(row)?;
        let is_success = steps.iter().all(|step| step.outcome.status.is_success());
        if is_success && steps.iter().any(|step| step.row_done) {
            return Ok(FieldSet::ALL);
        }
        let effects = RowEffects::new(&steps, self.planning, Completeness::Complete);
        let is_set = |field: &&FileField| effects.field(**field) == Certainty::Done;
        let set = FileField::MEMBERS.iter().filter(is_set);
        Ok(set.fold(FieldSet::default(), |all, field| all.union((*field).into())))
    }
}
