//! The paths and URLs of a run's rows, as resolved when the run was created. `resume` and `report`
//! use the same files without another lookup.

use super::{LedgerError, LedgerFile};
use crate::row::{FileId, LookupError, Resolved, Target};
use crate::sqlite::damaged;

/// One record per target: the id of its file, or the problem and a suggestion.
pub(super) const TABLE: &str = "
    CREATE TABLE target (
        text TEXT PRIMARY KEY,
        file TEXT,
        problem TEXT,
        suggestion TEXT
    ) WITHOUT ROWID;";

impl LedgerFile {
    /// Stores the resolved targets in one transaction.
    pub(super) fn set_files(&self, files: &Resolved) -> Result<(), LedgerError> {
        self.writing(|connection| {
            let transaction = connection.unchecked_transaction()?;
            let mut insert = transaction.prepare("INSERT INTO target VALUES (?1, ?2, ?3, ?4)")?;
            for (target, file) in files.iter() {
                let text = target.as_str();
                match file {
                    Ok(file) => {
                        insert.execute((text, file.as_str(), None::<&str>, None::<&str>))?
                    }
                    Err(LookupError { problem, suggestion }) => {
                        insert.execute((text, None::<&str>, &**problem, &**suggestion))?
                    }
                };
            }
            drop(insert);
            transaction.commit()
        })
    }

    /// The resolved targets.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn files(&self) -> Result<Resolved, LedgerError> {
        self.reading(|connection| {
            let mut statement =
                connection.prepare("SELECT text, file, problem, suggestion FROM target")?;
            let files = statement.query_map([], |row| {
                let text: String = row.get(0)?;
                let id: Option<String> = row.get(1)?;
                let column =
                    |index| row.get::<_, Option<String>>(index).map(Option::unwrap_or_default);
                let error =
                    LookupError { problem: column(2)?.into(), suggestion: column(3)?.into() };
                let id = id.map(|id| FileId::new(&id).map_err(damaged)).transpose()?;
                Ok((Target::kept(&text), id.ok_or(error)))
            })?;
            files.collect()
        })
    }
}
