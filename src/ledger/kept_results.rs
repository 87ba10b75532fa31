//! What rows did not set, to keep the paid results of their extensions. It depends on the charges at the
//! time of planning, so it is recorded.

use rusqlite::{OptionalExtension as _, params};

use super::writer::row_number;
use super::{LedgerError, LedgerFile};
use crate::row::{Content, KeptResults};

pub(super) const TABLE: &str = "
    CREATE TABLE kept_results (row INTEGER PRIMARY KEY, kept TEXT NOT NULL);";

impl LedgerFile {
    /// Records what rows keep.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub(crate) fn set_kept(&self, rows: &[(u64, KeptResults)]) -> Result<(), LedgerError> {
        self.transaction(|| {
            self.writing(|connection| {
                let sql = "INSERT OR REPLACE INTO kept_results VALUES (?1, ?2)";
                let mut insert = connection.prepare_cached(sql)?;
                for (row, kept) in rows {
                    let json = serde_json::to_string(kept).unwrap_or_default();
                    insert.execute(params![row_number(*row), json])?;
                }
                Ok(())
            })
        })
    }

    /// The content of a row as it was planned: with words that its file holds, and without what it keeps.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) fn planned(&self, row: u64, content: Content) -> Result<Content, LedgerError> {
        let mut content = self.admit(content)?;
        if let Content::Update(update) = &mut content
            && update.change.extensions.is_some()
            && let Some(kept) = self.kept(row)?
        {
            update.change.keep(&kept);
        }
        Ok(content)
    }

    fn kept(&self, row: u64) -> Result<Option<KeptResults>, LedgerError> {
        let json: Option<String> = self.reading(|connection| {
            let sql = "SELECT kept FROM kept_results WHERE row = ?1";
            let mut select = connection.prepare_cached(sql)?;
            select.query_row([row_number(row)], |row| row.get(0)).optional()
        })?;
        Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
    }
}
