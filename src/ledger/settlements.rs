//! The settled statuses of a run: what became known of its steps after their responses.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::de::DeserializeOwned;

use super::writer::{LOW_WATER, step_id};
use super::{Ended, LedgerError, LedgerFile};
use crate::request::{StepKind, StepRef};
use crate::row::RowPos;
use crate::settled::{FinalStatus, KnownBy, Settled};
use crate::sqlite::{damaged, from_json, to_json};

/// One record per step and extension. `at` is a UTC time (RFC 3339).
pub(super) const TABLE: &str = "
    CREATE TABLE settled (
        step INTEGER NOT NULL,
        name TEXT NOT NULL,
        status TEXT NOT NULL,
        known_by TEXT NOT NULL,
        evidence TEXT NOT NULL,
        found TEXT,
        at TEXT NOT NULL,
        PRIMARY KEY (step, name)
    ) WITHOUT ROWID;";

/// Keeps the first record, unless a callback reports what was only inferred.
const INSERT: &str = "
    INSERT INTO settled VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (step, name) DO UPDATE SET
        status = excluded.status, known_by = excluded.known_by, evidence = excluded.evidence,
        found = coalesce(excluded.found, found), at = excluded.at
    WHERE known_by = 'read' AND excluded.known_by = 'callback'";

/// A status to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Position of the row.
    pub pos: RowPos,
    /// The step of the row.
    pub kind: StepKind,
    /// Its status.
    pub settled: Settled,
}

impl LedgerFile {
    /// Records settled statuses, all or none, with the time `at`. Returns how many are new.
    ///
    /// Steps that were not sent because the outcome of an earlier step was unknown are open again:
    /// `resume` sends them.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn settle(
        &self,
        settlements: &[Settlement],
        at: jiff::Timestamp,
    ) -> Result<u64, LedgerError> {
        self.transaction(|| {
            let (mut new, mut reopened) = (0, Vec::new());
            self.writing(|connection| {
                for settlement in settlements {
                    if insert(connection, settlement, &at.to_string())? {
                        new += 1;
                    }
                    if reopen_withheld(connection, settlement.pos.number)? {
                        reopened.push(settlement.pos);
                    }
                }
                Ok(())
            })?;
            self.note_reopened(&reopened)?;
            Ok(new)
        })
    }

    /// The state of the file before the at-most-once request of a step; `None` if the ledger has none.
    ///
    /// # Errors
    /// The ledger cannot be read, or the state is damaged.
    pub(crate) fn state_before<T: DeserializeOwned>(
        &self,
        step: StepRef,
    ) -> Result<Option<T>, LedgerError> {
        self.reading(|connection| {
            let mut select =
                connection.prepare_cached("SELECT snapshot FROM step WHERE id = ?1")?;
            let state =
                |row: &Row<'_>| row.get_ref(0)?.as_str_or_null()?.map(from_json).transpose();
            Ok(select.query_row([step_id(step)], state).optional()?.flatten())
        })
    }

    /// Whether any status was settled.
    pub(super) fn has_settled(&self) -> Result<bool, LedgerError> {
        self.reading(|connection| {
            connection.query_row("SELECT EXISTS (SELECT 1 FROM settled)", [], |row| row.get(0))
        })
    }

    /// Rows that are open again lie after the low-water mark, and the run is unfinished.
    fn note_reopened(&self, rows: &[RowPos]) -> Result<(), LedgerError> {
        let Some(first) = rows.iter().min() else { return Ok(()) };
        if self.low_water()?.is_some_and(|low_water| *first < low_water) {
            self.set_fact(LOW_WATER, first)?;
        }
        if let Some(ended) = self.ended()? {
            let rows_left = ended.rows_left + rows.len() as u64;
            self.set_ended(Some(Ended { rows_left, ..ended }))?;
        }
        Ok(())
    }
}

/// Records a status; returns whether it is new.
fn insert(connection: &Connection, settlement: &Settlement, at: &str) -> rusqlite::Result<bool> {
    let Settlement { pos, kind, settled } = settlement;
    let Settled { name, status, known_by, evidence, found } = settled;
    let step = step_id(StepRef { row: pos.number, kind: *kind });
    let (status, known_by) = (status.as_str(), known_by.as_str());
    let mut insert = connection.prepare_cached(INSERT)?;
    let found = found.as_deref().map(to_json).transpose()?;
    Ok(insert.execute(params![step, name, status, known_by, evidence, found, at])? > 0)
}

/// Removes the records of steps of a row that were withheld because the outcome of an earlier one was
/// unknown; returns whether there were any.
fn reopen_withheld(connection: &Connection, row: u64) -> rusqlite::Result<bool> {
    let first = |row| step_id(StepRef { row, kind: StepKind::Details });
    let mut delete = connection.prepare_cached(
        "DELETE FROM step
         WHERE id >= ?1 AND id < ?2 AND status = 'not_attempted' AND code = 'partial'",
    )?;
    Ok(delete.execute([first(row), first(row.saturating_add(1))])? > 0)
}

/// The column with all settled statuses of a step, as JSON.
pub(super) const COLUMN: &str = "(SELECT json_group_array(json_array(name, settled.status, known_by, \
                                 evidence, found)) FROM settled WHERE settled.step = step.id)";

/// A status in [`COLUMN`]: its name, status, source, evidence, and what was found.
type Stored = (Box<str>, String, String, Box<str>, Option<String>);

/// Reads [`COLUMN`].
pub(super) fn read(row: &Row<'_>, index: usize) -> rusqlite::Result<Box<[Settled]>> {
    let Some(json) = row.get_ref(index)?.as_str_or_null()? else {
        return Ok(Box::default());
    };
    let all: Vec<Stored> = from_json(json)?;
    let settled = all.into_iter().map(|(name, status, known_by, evidence, found)| {
        let status = FinalStatus::parse(&status).ok_or("no final status has this name");
        let known_by = KnownBy::parse(&known_by).ok_or("no source of a status has this name");
        Ok(Settled {
            name,
            status: status.map_err(damaged)?,
            known_by: known_by.map_err(damaged)?,
            evidence,
            found: found.as_deref().map(from_json).transpose()?,
        })
    });
    settled.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{self, add_step};
    use crate::outcome::{Code, Status};

    const AT: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;

    fn pos(number: u64) -> RowPos {
        RowPos { number, line: number, offset: 10 * number }
    }

    fn settlement(row: u64, known_by: KnownBy, status: FinalStatus) -> Settlement {
        let (name, evidence) = ("remove-bg".into(), "a new version".into());
        let found = (known_by == KnownBy::Read).then(Box::default);
        let settled = Settled { name, status, known_by, evidence, found };
        Settlement { pos: pos(row), kind: StepKind::Details, settled }
    }

    /// Adds a step to the ledger.
    #[test]
    fn settled_step_has_its_final_status() {
        let (_directory, ledger) = testing::ledger();
        add_step(&ledger, 2, StepKind::Details, "unknown", Some("timeout"));
        add_step(&ledger, 3, StepKind::Details, "intent", None);
        assert_eq!(ledger.steps_of_row(2).unwrap()[0].outcome.status, Status::Unknown);
        let read = [2, 3].map(|row| settlement(row, KnownBy::Read, FinalStatus::Success));
        assert_eq!(ledger.settle(&read, AT).unwrap(), 2);
        assert_eq!(ledger.settle(&read, AT).unwrap(), 0, "repeating it changes nothing");
        for row in [2, 3] {
            let [step] = ledger.steps_of_row(row).unwrap().try_into().unwrap();
            assert_eq!(*step.settled, [read[0].settled.clone()]);
            assert_eq!(
                (step.outcome.status, step.outcome.code),
                (Status::Updated, Some(Code::Inferred))
            );
            let statuses = r#"{"remove-bg":"success"}"#;
            assert_eq!(step.outcome.extension_status.as_deref(), Some(statuses));
        }
        let mut statuses = Vec::new();
        ledger.extension_statuses(|json| statuses.push(json.to_owned())).unwrap();
        assert_eq!(statuses, [r#"{"remove-bg":"success"}"#; 2]);
        let step = StepRef { row: 2, kind: StepKind::Details };
        let before: Option<serde_json::Value> = ledger.state_before(step).unwrap();
        assert_eq!(before, Some(serde_json::json!({"before": 1})));
    }

    #[test]
    fn callback_corrects_what_was_inferred_and_nothing_corrects_a_callback() {
        let (_directory, ledger) = testing::ledger();
        add_step(&ledger, 2, StepKind::Details, "updated", None);
        let read = settlement(2, KnownBy::Read, FinalStatus::Success);
        let failed = settlement(2, KnownBy::Callback, FinalStatus::Failed);
        let success = settlement(2, KnownBy::Callback, FinalStatus::Success);
        let new =
            |settlement: &Settlement| ledger.settle(std::slice::from_ref(settlement), AT).unwrap();
        assert_eq!([&read, &failed, &success, &read].map(new), [1, 1, 0, 0]);
        let [step] = ledger.steps_of_row(2).unwrap().try_into().unwrap();
        assert_eq!(
            (step.settled[0].status, step.settled[0].known_by),
            (FinalStatus::Failed, KnownBy::Callback)
        );
        assert!(step.settled[0].found.is_some(), "what was found stays");
    }

    #[test]
    fn withheld_steps_of_a_settled_row_are_open_again() {
        let (_directory, ledger) = testing::ledger();
        for row in [2, 3] {
            add_step(&ledger, row, StepKind::Details, "unknown", Some("timeout"));
            add_step(&ledger, row, StepKind::Publish, "not_attempted", Some("partial"));
        }
        ledger.set_fact(LOW_WATER, &pos(9)).unwrap();
        ledger.set_ended(Some(Ended { exit_code: 6, rows_left: 0 })).unwrap();
        let read = settlement(3, KnownBy::Read, FinalStatus::Success);
        ledger.settle(&[read], AT).unwrap();
        let kinds = |row| ledger.steps_of_row(row).unwrap().len();
        assert_eq!((kinds(2), kinds(3)), (2, 1));
        assert_eq!(ledger.low_water().unwrap(), Some(pos(3)));
        assert_eq!(ledger.ended().unwrap(), Some(Ended { exit_code: 6, rows_left: 1 }));
    }
}
