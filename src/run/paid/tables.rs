//! The tables: the runs, and what they bought.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};
use xxhash_rust::xxh3::xxh3_64;

use super::evidence::Evidence;
use super::{Bought, Certainty};
use crate::ledger::Facts;
use crate::row::{Extension, FileId};

/// Raised with every change of the tables that an older version could not read.
pub(super) const FORMAT: i64 = 1;

/// A run that is not known to have come to its end.
pub(super) struct OpenRun {
    pub(super) id: i64,
    pub(super) path: PathBuf,
    pub(super) begun: String,
}

/// Makes the tables where there are none. Gives their format.
pub(super) fn begin(connection: &Connection) -> rusqlite::Result<i64> {
    let format =
        |connection: &Connection| connection.query_row("PRAGMA user_version", [], |row| row.get(0));
    let found = format(connection)?;
    if found != 0 {
        return Ok(found);
    }
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    if format(&transaction)? == 0 {
        transaction.execute_batch(&format!(
            "PRAGMA user_version = {FORMAT};
             CREATE TABLE run (
                 id INTEGER PRIMARY KEY,
                 path BLOB NOT NULL,
                 begun TEXT NOT NULL,
                 open INTEGER NOT NULL,
                 UNIQUE (path, begun)
             );
             CREATE TABLE bought (
                 file TEXT NOT NULL,
                 extension INTEGER NOT NULL,
                 run INTEGER NOT NULL,
                 answer_lost INTEGER NOT NULL,
                 PRIMARY KEY (file, extension)
             ) WITHOUT ROWID;"
        ))?;
    }
    let found = format(&transaction)?;
    transaction.commit()?;
    Ok(found)
}

/// Opens a run, whether it is there or not. Gives its id.
pub(super) fn open_run(
    connection: &Connection,
    path: &Path,
    facts: &Facts,
) -> rusqlite::Result<i64> {
    let path = path.as_os_str().as_bytes();
    let sql = "INSERT INTO run (path, begun, open) VALUES (?1, ?2, 1)
               ON CONFLICT (path, begun) DO UPDATE SET open = 1
               RETURNING id";
    connection.query_row(sql, params![path, facts.begun], |row| row.get(0))
}

/// Closes a run.
pub(super) fn close_run(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    connection.execute("UPDATE run SET open = 0 WHERE id = ?1", [id]).map(drop)
}

/// The runs that are open, in the order in which they were begun.
pub(super) fn open_runs(connection: &Connection) -> rusqlite::Result<Vec<OpenRun>> {
    let mut query = connection.prepare("SELECT id, path, begun FROM run WHERE open ORDER BY id")?;
    let open = query.query_map([], |row| {
        Ok(OpenRun { id: row.get(0)?, path: path_of(row, 1)?, begun: row.get(2)? })
    })?;
    open.collect()
}

/// Writes down that an extension was run on a file. What ImageKit said takes the place of what is
/// there; anything less only fills a gap.
pub(super) fn buy(
    connection: &Connection,
    run: i64,
    file: &FileId,
    extension: &Extension,
    evidence: Evidence,
) -> rusqlite::Result<()> {
    let mut buy = connection.prepare_cached(
        "INSERT INTO bought VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (file, extension) DO UPDATE SET
             run = excluded.run, answer_lost = excluded.answer_lost
         WHERE ?5",
    )?;
    let answer_lost = evidence == Evidence::AnswerLost;
    let replaces = evidence == Evidence::Said;
    buy.execute(params![file.as_str(), fingerprint(extension), run, answer_lost, replaces])
        .map(drop)
}

/// Who ran an extension on a file.
pub(super) fn bought(
    connection: &Connection,
    file: &FileId,
    extension: &Extension,
) -> rusqlite::Result<Option<Bought>> {
    let mut query = connection.prepare_cached(
        "SELECT run.path, run.begun, bought.answer_lost
         FROM bought JOIN run ON run.id = bought.run
         WHERE bought.file = ?1 AND bought.extension = ?2",
    )?;
    let found = query.query_row(params![file.as_str(), fingerprint(extension)], |row| {
        let certainty = if row.get(2)? { Certainty::AnswerLost } else { Certainty::Accepted };
        Ok(Bought { run: path_of(row, 0)?, begun: row.get(1)?, certainty })
    });
    found.optional()
}

fn path_of(row: &Row<'_>, column: usize) -> rusqlite::Result<PathBuf> {
    row.get(column).map(OsString::from_vec).map(PathBuf::from)
}

/// A configuration as a number, in whatever order its keys are written.
pub(super) fn fingerprint(extension: &Extension) -> i64 {
    let mut config = extension.config().clone();
    config.sort_all_objects();
    xxh3_64(config.to_string().as_bytes()).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::paid::tests::extensions;

    #[test]
    fn a_configuration_is_known_in_any_order_of_its_keys_and_no_other_is() {
        let number = |config: &str| fingerprint(&extensions(&[config]).as_slice()[0]);
        let tagging = r#"{"name":"google-auto-tagging","minConfidence":80,"maxTags":3}"#;
        let turned = r#"{ "maxTags": 3, "minConfidence": 80, "name": "google-auto-tagging" }"#;
        assert_eq!(number(tagging), number(turned));
        let others = [
            r#"{"name":"google-auto-tagging","minConfidence":80,"maxTags":4}"#,
            r#"{"name":"aws-auto-tagging","minConfidence":80,"maxTags":3}"#,
            r#"{"name":"saved-extension","id":"ext_1"}"#,
            r#"{"name":"saved-extension","id":"ext_2"}"#,
        ];
        let numbers: std::collections::HashSet<i64> = others.into_iter().map(number).collect();
        assert_eq!(numbers.len(), others.len());
        assert!(!numbers.contains(&number(tagging)));
    }

    #[test]
    fn the_number_of_a_configuration_stays_the_same_from_version_to_version() {
        let tagging = r#"{"name":"google-auto-tagging","minConfidence":80,"maxTags":3}"#;
        assert_eq!(fingerprint(&extensions(&[tagging]).as_slice()[0]), 547_782_109_838_290_722);
    }
}
