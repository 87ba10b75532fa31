//! What the recorded charges contain, for people.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rusqlite::params;

use super::{Charge, ChargeCertainty, Charges, ChargesError, tables};
use crate::account::{AccountId, path_of};
use crate::row::{ExtensionFingerprint, ExtensionName, FileId};
use crate::spending::Spent;

/// The charges of a service, and what an account spent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChargesOverview {
    /// Number of files with charges.
    pub files: u64,
    /// Numbers of charges by extension; `None` for those that were recorded without its name.
    pub charges: BTreeMap<Option<ExtensionName>, ChargeCounts>,
    /// The runs of extensions of the account's runs, by UTC day.
    pub spent: Spent,
    /// Directories of the account's runs that were interrupted, or are running: their charges are
    /// recorded when they end, or by the next run.
    pub open_runs: Vec<PathBuf>,
}

/// Numbers of charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChargeCounts {
    /// ImageKit accepted the request.
    pub accepted: u64,
    /// The response was lost.
    pub response_lost: u64,
    /// ImageKit reported that they failed.
    pub failed: u64,
}

/// A charge of a file, with the extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCharge {
    /// Name of the extension; `None` where it was not recorded.
    pub extension: Option<ExtensionName>,
    /// Hash of its configuration.
    pub configuration: ExtensionFingerprint,
    /// The charge.
    pub charge: Charge,
}

impl ChargeCounts {
    fn of(&mut self, certainty: ChargeCertainty) -> &mut u64 {
        match certainty {
            ChargeCertainty::Accepted => &mut self.accepted,
            ChargeCertainty::ResponseLost => &mut self.response_lost,
            ChargeCertainty::Failed => &mut self.failed,
        }
    }

    /// All charges.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.accepted + self.response_lost + self.failed
    }
}

impl Charges {
    /// Counts the charges of the service, and what an account spent.
    ///
    /// # Errors
    /// The state database cannot be read.
    pub fn overview(&self, account: AccountId) -> Result<ChargesOverview, ChargesError> {
        let service = self.service.as_str();
        let overview = self.db.read(|connection| {
            let transaction = connection.unchecked_transaction()?;
            let sql = "SELECT count(DISTINCT file) FROM charge WHERE service = ?1";
            let files: i64 = transaction.query_row(sql, [service], |row| row.get(0))?;
            let mut overview =
                ChargesOverview { files: files.unsigned_abs(), ..Default::default() };
            let mut query = transaction.prepare(
                "SELECT name, certainty, count(*) FROM charge WHERE service = ?1
                 GROUP BY name, certainty",
            )?;
            let mut rows = query.query([service])?;
            while let Some(row) = rows.next()? {
                let counts = overview.charges.entry(tables::name_of(row, 0)?).or_default();
                let count: i64 = row.get(2)?;
                *counts.of(tables::certainty_of(row, 1)?) = count.unsigned_abs();
            }
            overview.spent = tables::spent(&transaction, account)?;
            let open = tables::open_runs(&transaction, account)?;
            overview.open_runs = open.into_iter().map(|run| run.path).collect();
            Ok(overview)
        });
        Ok(overview?)
    }

    /// The charges of a file, by extension.
    ///
    /// # Errors
    /// The state database cannot be read.
    pub fn of_file(&self, file: &FileId) -> Result<Vec<FileCharge>, ChargesError> {
        let found = self.db.read(|connection| {
            let mut query = connection.prepare(
                "SELECT charge.name, charge.extension, run.path, run.begun, charge.certainty,
                     run.id
                 FROM charge JOIN run ON run.number = charge.run
                 WHERE charge.service = ?1 AND charge.file = ?2
                 ORDER BY charge.name, run.number",
            )?;
            let charges =
                query.query_map(params![self.service.as_str(), file.as_str()], |row| {
                    let certainty = tables::certainty_of(row, 4)?;
                    Ok(FileCharge {
                        extension: tables::name_of(row, 0)?,
                        configuration: ExtensionFingerprint(row.get(1)?),
                        charge: Charge {
                            run_id: row.get(5)?,
                            run: path_of(row, 2)?,
                            begun: row.get(3)?,
                            certainty,
                        },
                    })
                })?;
            charges.collect()
        });
        Ok(found?)
    }
}
