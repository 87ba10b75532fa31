//! The charges in the state database.

use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension as _, Row, Rows, params};

use super::sent_extensions::certainty;
use super::{Charge, ChargeCertainty};
use crate::account::{AccountId, Service, path_of};
use crate::history::ExtensionReport;
use crate::row::{Extension, ExtensionName, FileId};
use crate::sent::SentExtension;
use crate::spending::Spent;

/// A run whose charges have not been copied.
pub(super) struct OpenRun {
    pub(super) id: String,
    pub(super) path: std::path::PathBuf,
}

/// Primary key of a registered run.
pub(super) fn number_of(connection: &Connection, id: &str) -> rusqlite::Result<i64> {
    connection.query_row("SELECT number FROM run WHERE id = ?1", [id], |row| row.get(0))
}

/// Marks a run whose charges have not been copied yet.
pub(super) fn open_run(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    connection.execute("UPDATE run SET charges_open = 1 WHERE id = ?1", [id]).map(drop)
}

/// Marks a run whose charges have been copied.
pub(super) fn close_run(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    connection.execute("UPDATE run SET charges_open = 0 WHERE id = ?1", [id]).map(drop)
}

/// The runs of an account whose charges have not been copied, oldest first.
pub(super) fn open_runs(
    connection: &Connection,
    account: AccountId,
) -> rusqlite::Result<Vec<OpenRun>> {
    let sql = "SELECT id, path FROM run WHERE account = ?1 AND charges_open ORDER BY number";
    let mut query = connection.prepare(sql)?;
    let open = query.query_map([account.number()], |row| {
        Ok(OpenRun { id: row.get(0)?, path: path_of(row, 1)? })
    })?;
    open.collect()
}

pub(super) fn is_empty(connection: &Connection, service: &Service) -> rusqlite::Result<bool> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM charge WHERE service = ?1)";
    connection.query_row(sql, [service.as_str()], |row| row.get(0))
}

/// Records a charge. [`ExtensionReport::Status`] replaces an earlier charge, and any report one that failed.
/// That it failed replaces what the same run recorded before its end was known.
pub(super) fn record(
    connection: &Connection,
    service: &Service,
    run: i64,
    file: &FileId,
    extension: &SentExtension,
    report: ExtensionReport,
) -> rusqlite::Result<()> {
    let mut record = connection.prepare_cached(
        "INSERT INTO charge (service, file, extension, run, certainty, name)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (service, file, extension) DO UPDATE SET
             run = excluded.run, certainty = excluded.certainty, name = excluded.name
         WHERE ?7 OR certainty = ?8 OR excluded.certainty = ?8 AND run = excluded.run",
    )?;
    let certainty = certainty(report) as i64;
    let failed = ChargeCertainty::Failed as i64;
    let replaces = report == ExtensionReport::Status;
    let (service, file) = (service.as_str(), file.as_str());
    let SentExtension { name, fingerprint, .. } = extension;
    let name = name.as_str();
    record
        .execute(params![service, file, fingerprint.0, run, certainty, name, replaces, failed])
        .map(drop)
}

/// Replaces what a run spent.
pub(super) fn record_spent(
    connection: &Connection,
    run: i64,
    spent: &Spent,
) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM spent WHERE run = ?1", [run])?;
    let mut insert = connection.prepare_cached("INSERT INTO spent VALUES (?1, ?2, ?3, ?4)")?;
    for (day, runs) in spent.iter() {
        for (name, count) in runs.iter() {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            insert.execute(params![run, day.to_string(), name.as_str(), count])?;
        }
    }
    Ok(())
}

/// What all runs of an account but one spent from a day on.
pub(super) fn spent_by_others(
    connection: &Connection,
    account: AccountId,
    run_id: &str,
    from: Date,
) -> rusqlite::Result<Spent> {
    let mut query = connection.prepare_cached(
        "SELECT spent.day, spent.extension, sum(spent.runs)
         FROM spent JOIN run ON run.number = spent.run
         WHERE run.account = ?1 AND run.id <> ?2 AND spent.day >= ?3
         GROUP BY spent.day, spent.extension",
    )?;
    sum(query.query(params![account.number(), run_id, from.to_string()])?)
}

/// What all runs of an account spent.
pub(super) fn spent(connection: &Connection, account: AccountId) -> rusqlite::Result<Spent> {
    let mut query = connection.prepare_cached(
        "SELECT spent.day, spent.extension, sum(spent.runs)
         FROM spent JOIN run ON run.number = spent.run
         WHERE run.account = ?1 GROUP BY spent.day, spent.extension",
    )?;
    sum(query.query([account.number()])?)
}

/// The sum of rows of day, extension and number of runs.
fn sum(mut rows: Rows<'_>) -> rusqlite::Result<Spent> {
    let mut spent = Spent::default();
    while let Some(row) = rows.next()? {
        let (day, name, runs) = spent_of(row, 0)?;
        spent.add(day, name, runs);
    }
    Ok(spent)
}

/// Day, extension and number of runs, in the columns from `first`.
pub(super) fn spent_of(
    row: &Row<'_>,
    first: usize,
) -> rusqlite::Result<(Date, ExtensionName, u64)> {
    let (day, runs): (String, i64) = (row.get(first)?, row.get(first + 2)?);
    let day = day.parse().map_err(|_| damaged(first))?;
    let name = name_of(row, first + 1)?.ok_or_else(|| damaged(first + 1))?;
    Ok((day, name, u64::try_from(runs).map_err(|_| damaged(first + 2))?))
}

/// The name of an extension in a column; `None` for null.
pub(super) fn name_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<ExtensionName>> {
    let name: Option<String> = row.get(column)?;
    name.map(|name| ExtensionName::parse(&name).ok_or_else(|| damaged(column))).transpose()
}

/// The certainty in a column.
pub(super) fn certainty_of(row: &Row<'_>, column: usize) -> rusqlite::Result<ChargeCertainty> {
    let number: u8 = row.get(column)?;
    ChargeCertainty::ALL.get(usize::from(number)).copied().ok_or_else(|| damaged(column))
}

/// The error for a value that this program does not write.
pub(super) fn damaged(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "charges".to_owned(), rusqlite::types::Type::Text)
}

/// The charge of an extension on a file, if recorded; with `after`, only one of a run after that one.
/// If that run is not known, any charge counts.
pub(super) fn find(
    connection: &Connection,
    service: &Service,
    file: &FileId,
    extension: &Extension,
    after: Option<&str>,
) -> rusqlite::Result<Option<Charge>> {
    let mut query = connection.prepare_cached(
        "SELECT run.path, run.begun, charge.certainty, run.id
         FROM charge JOIN run ON run.number = charge.run
         WHERE charge.service = ?1 AND charge.file = ?2 AND charge.extension = ?3
             AND run.number > coalesce((SELECT number FROM run WHERE id = ?4), 0)",
    )?;
    for fingerprint in extension.fingerprints() {
        let key = params![service.as_str(), file.as_str(), fingerprint.0, after];
        let found = query.query_row(key, |row| {
            Ok(Charge {
                run: path_of(row, 0)?,
                begun: row.get(1)?,
                certainty: certainty_of(row, 2)?,
                run_id: row.get(3)?,
            })
        });
        if let Some(charge) = found.optional()? {
            return Ok(Some(charge));
        }
    }
    Ok(None)
}

/// Whether an extension of this name is recorded for a file, in any configuration.
pub(super) fn has_any(
    connection: &Connection,
    service: &Service,
    file: &FileId,
    name: ExtensionName,
) -> rusqlite::Result<bool> {
    let mut query = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM charge WHERE service = ?1 AND file = ?2 AND name = ?3)",
    )?;
    query.query_row(params![service.as_str(), file.as_str(), name.as_str()], |row| row.get(0))
}
