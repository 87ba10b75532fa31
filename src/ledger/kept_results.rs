//! What rows did not set, to keep the paid results of their extensions. It depends on the charges at the
//! time of planning, so it is recorded.

use rusqlite::{OptionalExtension as _, Row, params};

use super::writer::row_number;
use super::{LedgerError, LedgerFile};
use crate::row::{Content, KeptResults};
use crate::sqlite::{from_json, to_json};

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
                    insert.execute(params![row_number(*row), to_json(kept)?])?;
                }
                Ok(())
            })
        })
    }

    /// The content of a row as it was planned: with words that its file holds, and without what it keeps.
    ///
    /// # Errors
    /// The ledger cannot be read, or the record of what the row keeps is damaged.
    pub(crate) fn planned(&self, row: u64, content: Content) -> Result<Content, LedgerError> {
        let mut content = self.admit(content)?;
        let kept = self.kept(row, &content)?;
        if let (Content::Update(update), Some(kept)) = (&mut content, kept) {
            update.change.keep(&kept);
        }
        Ok(content)
    }

    /// What a row with this content keeps; `None` for nothing.
    ///
    /// # Errors
    /// The ledger cannot be read, or the record is damaged.
    pub(crate) fn kept(
        &self,
        row: u64,
        content: &Content,
    ) -> Result<Option<KeptResults>, LedgerError> {
        match content {
            Content::Update(update) if update.change.extensions.is_some() => self.kept_by(row),
            _ => Ok(None),
        }
    }

    fn kept_by(&self, row: u64) -> Result<Option<KeptResults>, LedgerError> {
        self.reading(|connection| {
            let sql = "SELECT kept FROM kept_results WHERE row = ?1";
            let mut select = connection.prepare_cached(sql)?;
            let kept = |row: &Row<'_>| from_json(row.get_ref(0)?.as_str()?);
            select.query_row([row_number(row)], kept).optional()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing;

    #[test]
    fn damaged_record_is_an_error() {
        let (_directory, ledger) = testing::ledger();
        ledger.set_kept(&[(2, KeptResults::default())]).unwrap();
        assert_eq!(ledger.kept_by(2).unwrap(), Some(KeptResults::default()));
        assert_eq!(ledger.kept_by(3).unwrap(), None);
        let damage = "UPDATE kept_results SET kept = '{'";
        ledger.writing(|connection| connection.execute_batch(damage)).unwrap();
        let message = ledger.kept_by(2).unwrap_err().to_string();
        assert!(message.ends_with("cannot be read"), "{message}");
    }
}
