//! Writes the charges of a service, and what an account spent, to a file.

use std::io::{self, Write};

use rusqlite::{Connection, params};

use super::line::{Configuration, FORMAT, Line};
use super::{Charges, ChargesError, tables};
use crate::account::{AccountId, AccountName, path_of};
use crate::row::ExtensionFingerprint;

/// The contents of a written charges file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExportedCharges {
    /// Number of charges.
    pub charges: u64,
    /// Number of entries of what runs spent.
    pub spent: u64,
}

/// Reason why charges cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The state database cannot be read.
    #[error(transparent)]
    Charges(#[from] ChargesError),
    /// The file cannot be written.
    #[error("cannot write the charges")]
    Write(#[from] io::Error),
}

impl Charges {
    /// Writes all charges of the service, and what the runs of an account spent. Call
    /// [`Self::record_open_runs`] before.
    ///
    /// # Errors
    /// The state database cannot be read, or the output cannot be written.
    pub fn export(
        &self,
        account: AccountId,
        name: Option<&AccountName>,
        output: impl Write,
    ) -> Result<ExportedCharges, ExportError> {
        let mut lines = Lines { output, count: 0, exported: ExportedCharges::default() };
        let header =
            Line::Charges { format: FORMAT, service: self.service.clone(), account: name.cloned() };
        lines.write(&header)?;
        let service = self.service.as_str();
        let written = self.db.read(|connection| Ok(lines.rows(connection, service, account)));
        written.map_err(ChargesError::Database)?.map_err(|stopped| match stopped {
            Stopped::Database(source) => {
                ChargesError::Database(self.db.failed("read", source)).into()
            }
            Stopped::Write(error) => ExportError::Write(error),
        })?;
        lines.end()
    }
}

/// Why writing stopped.
enum Stopped {
    Database(rusqlite::Error),
    Write(io::Error),
}

impl From<rusqlite::Error> for Stopped {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

/// Writes lines and counts them.
struct Lines<W> {
    output: W,
    count: u64,
    exported: ExportedCharges,
}

impl<W: Write> Lines<W> {
    fn write(&mut self, line: &Line) -> io::Result<()> {
        serde_json::to_writer(&mut self.output, line)?;
        self.count += 1;
        self.output.write_all(b"\n")
    }

    fn rows(
        &mut self,
        connection: &Connection,
        service: &str,
        account: AccountId,
    ) -> Result<(), Stopped> {
        // All lines are of one moment.
        let transaction = connection.unchecked_transaction()?;
        self.runs(&transaction, service, account)?;
        self.charges(&transaction, service)?;
        self.spent(&transaction, account)
    }

    fn runs(
        &mut self,
        connection: &Connection,
        service: &str,
        account: AccountId,
    ) -> Result<(), Stopped> {
        let mut query = connection.prepare(
            "SELECT id, path, begun FROM run
             WHERE number IN (SELECT run FROM charge WHERE service = ?1)
                 OR account = ?2 AND number IN (SELECT run FROM spent)
             ORDER BY number",
        )?;
        let mut rows = query.query(params![service, account.number()])?;
        while let Some(row) = rows.next()? {
            let path = path_of(row, 1)?.to_string_lossy().into_owned();
            let begun: String = row.get(2)?;
            let begun = begun.parse().map_err(|_| tables::damaged(2))?;
            self.write(&Line::Run { id: row.get(0)?, path, begun })?;
        }
        Ok(())
    }

    fn charges(&mut self, connection: &Connection, service: &str) -> Result<(), Stopped> {
        let mut query = connection.prepare(
            "SELECT charge.file, charge.name, charge.extension, run.id, charge.certainty
             FROM charge JOIN run ON run.number = charge.run
             WHERE charge.service = ?1 ORDER BY charge.file, charge.extension",
        )?;
        let mut rows = query.query([service])?;
        while let Some(row) = rows.next()? {
            self.write(&Line::Charge {
                file: row.get(0)?,
                extension: tables::name_of(row, 1)?,
                configuration: Configuration(ExtensionFingerprint(row.get(2)?)),
                run: row.get(3)?,
                certainty: tables::certainty_of(row, 4)?,
            })?;
            self.exported.charges += 1;
        }
        Ok(())
    }

    fn spent(&mut self, connection: &Connection, account: AccountId) -> Result<(), Stopped> {
        let mut query = connection.prepare(
            "SELECT run.id, spent.day, spent.extension, spent.runs
             FROM spent JOIN run ON run.number = spent.run
             WHERE run.account = ?1 ORDER BY run.number, spent.day, spent.extension",
        )?;
        let mut rows = query.query([account.number()])?;
        while let Some(row) = rows.next()? {
            let (day, extension, runs) = tables::spent_of(row, 1)?;
            self.write(&Line::Spent { run: row.get(0)?, day, extension, runs })?;
            self.exported.spent += 1;
        }
        Ok(())
    }

    fn end(mut self) -> Result<ExportedCharges, ExportError> {
        let lines = self.count;
        self.write(&Line::End { lines })?;
        self.output.flush()?;
        Ok(self.exported)
    }
}
