//! The files that the rows of a run name by where they are, as they were looked up when it began:
//! whoever resumes or reports goes by the same ones, and asks nobody again.

use super::{LedgerError, LedgerFile};
use crate::row::{FileId, LookupError, Resolved, Target};

/// One row a target: either the id of its file, or what is wrong about it and what would be right.
pub(super) const TABLE: &str =
    "CREATE TABLE target (text TEXT PRIMARY KEY, file TEXT, wrong TEXT, mend TEXT) WITHOUT ROWID;";

impl LedgerFile {
    /// Writes down what was looked up, all of it or nothing.
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

    /// What was looked up.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn files(&self) -> Result<Resolved, LedgerError> {
        self.reading(|connection| {
            let mut statement = connection.prepare("SELECT text, file, wrong, mend FROM target")?;
            let files = statement.query_map([], |row| {
                let text: String = row.get(0)?;
                let id: Option<String> = row.get(1)?;
                let words =
                    |index| row.get::<_, Option<String>>(index).map(Option::unwrap_or_default);
                let no_file =
                    LookupError { problem: words(2)?.into(), suggestion: words(3)?.into() };
                let id = id.and_then(|id| FileId::new(&id).ok());
                Ok((Target::kept(&text), id.ok_or(no_file)))
            })?;
            files.collect()
        })
    }
}
