//! The callbacks of a run, as they arrived, and the URL that its requests name for them.
//!
//! A callback can arrive before the response to its request. So it is stored as it is, before
//! ImageKit gets its 200, and what it settles is decided later.

use rusqlite::{OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::writer::row_number;
use super::{LedgerError, LedgerFile};
use crate::callback::{Arrival, Callback, CallbackResult, CallbackUrl, Receipt, Token};
use crate::row::FileId;
use crate::sqlite::{damaged, from_json, to_json};

/// At most one callback per row, service and file: one for another file settles nothing, and must not
/// keep the right one out. `id` is the order of arrival; `error` is `NULL` for a
/// success.
pub(super) const TABLE: &str = "
    CREATE TABLE callback (
        id INTEGER PRIMARY KEY,
        row INTEGER NOT NULL,
        service TEXT NOT NULL,
        file TEXT NOT NULL,
        error TEXT,
        found TEXT,
        UNIQUE (row, service, file)
    );";

/// The facts that hold the callback URL.
const TOKEN: &str = "callback_token";
const PUBLIC_URL: &str = "callback_url";

impl LedgerFile {
    /// The URL that the requests of the run name for callbacks; `None` if they name none.
    ///
    /// # Errors
    /// The ledger cannot be read, or the URL is damaged.
    pub fn callback_url(&self) -> Result<Option<CallbackUrl>, LedgerError> {
        let (Some(token), Some(public)) = (self.get(TOKEN)?, self.get(PUBLIC_URL)?) else {
            return Ok(None);
        };
        match (Token::parse(&token), public.parse()) {
            (Some(token), Ok(public)) => Ok(Some(CallbackUrl { public, token })),
            _ => Err(self.damaged_meta()),
        }
    }

    /// Stores the URL for callbacks, before the first request that names it.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_callback_url(&self, url: &CallbackUrl) -> Result<(), LedgerError> {
        self.transaction(|| {
            self.set(TOKEN, url.token.expose())?;
            self.set(PUBLIC_URL, &url.public.to_string())
        })
    }

    /// Stores callbacks, all or none. Of each row, service and file, the first stays. Returns what
    /// became of each.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn keep_callbacks(&self, arrivals: &[Arrival]) -> Result<Vec<Receipt>, LedgerError> {
        self.writing(|connection| {
            // Another connection may be writing: the lock is taken before anything is read.
            let immediate = TransactionBehavior::Immediate;
            let transaction = Transaction::new_unchecked(connection, immediate)?;
            let kept = arrivals.iter().map(|arrival| keep(&transaction, arrival));
            let kept = kept.collect::<rusqlite::Result<_>>()?;
            transaction.commit()?;
            Ok(kept)
        })
    }

    /// The stored callbacks after `after`, in the order of arrival, at most `at_most`, each with its
    /// number.
    ///
    /// # Errors
    /// The ledger cannot be read, or its callbacks are damaged.
    pub fn callbacks_after(
        &self,
        after: i64,
        at_most: usize,
    ) -> Result<Vec<(i64, Arrival)>, LedgerError> {
        self.reading(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT id, row, service, file, error, found FROM callback
                 WHERE id > ?1 ORDER BY id LIMIT ?2",
            )?;
            let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
            select.query_map(params![after, at_most], read)?.collect()
        })
    }
}

fn keep(transaction: &Transaction<'_>, arrival: &Arrival) -> rusqlite::Result<Receipt> {
    let Arrival { row, callback: Callback { service, file, result } } = arrival;
    let (error, found) = match result {
        CallbackResult::Success(found) => (None, found.as_ref().map(to_json).transpose()?),
        CallbackResult::Failure(error) => (Some(error), None),
    };
    let mut insert = transaction.prepare_cached(
        "INSERT OR IGNORE INTO callback (row, service, file, error, found)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let row = row_number(*row);
    if insert.execute(params![row, service, file.as_str(), error, found])? > 0 {
        return Ok(Receipt::New);
    }
    let mut select = transaction.prepare_cached(
        "SELECT error IS NULL FROM callback WHERE row = ?1 AND service = ?2 AND file = ?3",
    )?;
    let before = select.query_row(params![row, service, file.as_str()], |row| row.get(0));
    let is_same = before.optional()? == Some(error.is_none());
    Ok(if is_same { Receipt::Repeated } else { Receipt::Contradicts })
}

fn read(row: &Row<'_>) -> rusqlite::Result<(i64, Arrival)> {
    let file = FileId::new(row.get_ref(3)?.as_str()?).map_err(damaged)?;
    let result = if let Some(error) = row.get(4)? {
        CallbackResult::Failure(error)
    } else {
        CallbackResult::Success(row.get_ref(5)?.as_str_or_null()?.map(from_json).transpose()?)
    };
    let callback = Callback { service: row.get(2)?, file, result };
    Ok((row.get(0)?, Arrival { row: row.get::<_, i64>(1)?.unsigned_abs(), callback }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extension_results::ExtensionResults;
    use crate::ledger::testing::{self, id};

    fn arrival(row: u64, service: &str, result: CallbackResult) -> Arrival {
        Arrival { row, callback: Callback { service: service.into(), file: id("a"), result } }
    }

    fn success() -> CallbackResult {
        let version = Some("v2".into());
        CallbackResult::Success(Some(Box::new(ExtensionResults { version, ..Default::default() })))
    }

    #[test]
    fn callbacks_are_kept_once_in_their_order() {
        let (_directory, ledger) = testing::ledger();
        let failure = CallbackResult::Failure("no".into());
        let first = [
            arrival(9, "remove-bg", success()),
            arrival(2, "remove-bg", failure.clone()),
            arrival(2, "ai-tasks", success()),
            arrival(9, "remove-bg", CallbackResult::Success(None)),
        ];
        let kept = ledger.keep_callbacks(&first).unwrap();
        assert_eq!(kept, [Receipt::New, Receipt::New, Receipt::New, Receipt::Repeated]);
        let other = ledger.reconnect().unwrap();
        let mut elsewhere = arrival(2, "ai-tasks", success());
        elsewhere.callback.file = id("b");
        let again = [arrival(9, "remove-bg", failure), first[1].clone(), elsewhere.clone()];
        let kept = other.keep_callbacks(&again).unwrap();
        assert_eq!(kept, [Receipt::Contradicts, Receipt::Repeated, Receipt::New]);

        let all = ledger.callbacks_after(0, 9).unwrap();
        let arrivals: Vec<&Arrival> = all.iter().map(|(_, arrival)| arrival).collect();
        assert_eq!(arrivals, first[..3].iter().chain([&elsewhere]).collect::<Vec<_>>());
        assert_eq!(ledger.callbacks_after(all[1].0, 9).unwrap(), all[2..]);
        assert_eq!(ledger.callbacks_after(0, 1).unwrap(), all[..1]);
    }

    #[test]
    fn callback_url_survives() {
        let (_directory, ledger) = testing::ledger();
        assert!(ledger.callback_url().unwrap().is_none());
        let public = "https://example.com/hooks".parse().unwrap();
        let url = CallbackUrl { public, token: Token::random().unwrap() };
        ledger.set_callback_url(&url).unwrap();
        let stored = ledger.callback_url().unwrap().unwrap();
        assert_eq!(stored.of_row(2), url.of_row(2));
        ledger.set(TOKEN, "damaged").unwrap();
        assert!(matches!(ledger.callback_url(), Err(LedgerError::RunMeta { .. })));
    }
}
