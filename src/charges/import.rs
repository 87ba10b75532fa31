//! Merges charges from a file into the state database. A charge is never forgotten: what the file
//! lacks stays, and a charge that is certain here stays certain.

use std::io::{self, BufRead, Read as _};

use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::line::{Configuration, FORMAT, Line};
use super::{ChargeCertainty, Charges, ChargesError};
use crate::account::{AccountId, AccountName, Service};
use crate::row::{ExtensionName, FileId};

/// Maximum length of a line in bytes; usual ones have about 200.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// Maximum length of the id of a run; this program's have 32 digits.
const RUN_ID_LENGTH_MAX: usize = 64;

/// What an import added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportedCharges {
    /// Charges that were not recorded here.
    pub new: u64,
    /// Charges that were.
    pub known: u64,
    /// Entries of what runs spent that were not recorded here.
    pub new_spent: u64,
    /// Entries that were.
    pub known_spent: u64,
}

/// Reason why charges cannot be imported. Then nothing of the file is.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The state database cannot be written.
    #[error(transparent)]
    Charges(#[from] ChargesError),
    /// The file cannot be read.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    /// A line is not one of a charges file, or does not fit the others.
    #[error("line {line}: {problem}")]
    Line {
        /// Number of the line, from 1.
        line: u64,
        /// The problem.
        problem: String,
    },
}

/// Why a line is refused.
enum Refused {
    Problem(String),
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl Charges {
    /// Merges the charges of a file of the same service; what runs spent is added to the account. All
    /// or nothing is imported.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, cut short, or of another service or account; or the state
    /// database cannot be written.
    pub fn import(
        &self,
        account: AccountId,
        name: Option<&AccountName>,
        input: impl BufRead,
    ) -> Result<ImportedCharges, ImportError> {
        let transaction = self.db.transaction().map_err(ChargesError::Database)?;
        let failed = |doing| move |source| ChargesError::Database(self.db.failed(doing, source));
        let target = Target { connection: &transaction, service: &self.service, account, name };
        let imported = Reader { input, target, line: 0, imported: ImportedCharges::default() };
        let imported = imported.read().map_err(|refused| match refused {
            Stopped::Import(error) => error,
            Stopped::Database(source) => failed("write")(source).into(),
        })?;
        transaction.commit().map_err(failed("write"))?;
        Ok(imported)
    }
}

/// Where charges are imported to.
struct Target<'t> {
    connection: &'t Connection,
    service: &'t Service,
    account: AccountId,
    name: Option<&'t AccountName>,
}

/// Reads the lines of a file.
struct Reader<'t, R> {
    input: R,
    target: Target<'t>,
    /// Lines read.
    line: u64,
    imported: ImportedCharges,
}

/// Why reading stopped.
enum Stopped {
    Import(ImportError),
    Database(rusqlite::Error),
}

impl<R: BufRead> Reader<'_, R> {
    fn read(mut self) -> Result<ImportedCharges, Stopped> {
        let mut buffer = Vec::new();
        let mut has_ended = false;
        loop {
            buffer.clear();
            let line = (&mut self.input).take(LINE_BYTES_MAX).read_until(b'\n', &mut buffer);
            let length = line.map_err(|error| Stopped::Import(error.into()))?;
            if length == 0 {
                break;
            }
            self.line += 1;
            let ended = self.next(&buffer, has_ended).map_err(|refused| match refused {
                Refused::Problem(problem) => self.refuse(problem),
                Refused::Database(error) => Stopped::Database(error),
            })?;
            has_ended |= ended;
        }
        if has_ended {
            Ok(self.imported)
        } else {
            let problem = "the file ends without its last line, so charges may be missing; export \
                           them again";
            Err(self.refuse(problem.to_owned()))
        }
    }

    fn refuse(&self, problem: String) -> Stopped {
        Stopped::Import(ImportError::Line { line: self.line.max(1), problem })
    }

    /// Imports a line; returns whether it is the last.
    fn next(&mut self, bytes: &[u8], has_ended: bool) -> Result<bool, Refused> {
        if !bytes.ends_with(b"\n") {
            let problem = "it has no end, so the file is cut short; export the charges again";
            return Err(Refused::Problem(problem.to_owned()));
        }
        if has_ended {
            return Err(Refused::Problem("more lines follow the last line".to_owned()));
        }
        let line: Line =
            serde_json::from_slice(bytes).map_err(|error| Refused::Problem(not_a_line(&error)))?;
        match line {
            Line::Charges { format, service, account } if self.line == 1 => {
                self.target.check(format, &service, account.as_ref())?;
            }
            _ if self.line == 1 => {
                let problem = "the file does not begin as a charges file".to_owned();
                return Err(Refused::Problem(problem));
            }
            Line::Charges { .. } => {
                return Err(Refused::Problem("a second charges file begins".to_owned()));
            }
            Line::Run { id, path, begun } => self.target.run(&id, &path, &begun.to_string())?,
            Line::Charge { file, extension, configuration, run, certainty } => {
                let file = FileId::new(&file)
                    .map_err(|_| Refused::Problem(format!("{file:?} is not a file id")))?;
                let charge = ImportedCharge { file, extension, configuration, certainty };
                let is_new = self.target.charge(&charge, &run)?;
                self.imported.new += u64::from(is_new);
                self.imported.known += u64::from(!is_new);
            }
            Line::Spent { run, day, extension, runs } => {
                let is_new = self.target.spent(&run, day, extension, runs)?;
                self.imported.new_spent += u64::from(is_new);
                self.imported.known_spent += u64::from(!is_new);
            }
            Line::End { lines } if lines + 1 == self.line => return Ok(true),
            Line::End { lines } => {
                let before = self.line - 1;
                let problem =
                    format!("{lines} lines were written before it, and {before} are there");
                return Err(Refused::Problem(problem));
            }
        }
        Ok(false)
    }
}

fn not_a_line(error: &serde_json::Error) -> String {
    let reason = error.to_string().replace(" at line 1 column ", ", column ");
    format!("it is not of a charges file: {reason}")
}

/// A charge of the file.
struct ImportedCharge {
    file: FileId,
    extension: Option<ExtensionName>,
    configuration: Configuration,
    certainty: ChargeCertainty,
}

impl Target<'_> {
    /// Refuses files of other formats, services and accounts.
    fn check(
        &self,
        format: u32,
        service: &Service,
        account: Option<&AccountName>,
    ) -> Result<(), Refused> {
        let problem = match (self.name, account) {
            _ if format != FORMAT => {
                format!("the file has format {format}; this version of ikbulk reads {FORMAT}")
            }
            _ if service != self.service => format!(
                "the charges are of the service {service}, and the endpoint is of {}",
                self.service
            ),
            (Some(ours), Some(theirs)) if ours != theirs => {
                format!("what was spent is of the account {theirs}, and the key is of {ours}")
            }
            _ => return Ok(()),
        };
        Err(Refused::Problem(problem))
    }

    /// Adds a run that is not known here.
    fn run(&self, id: &str, path: &str, begun: &str) -> Result<(), Refused> {
        let is_id = |id: &str| id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if id.is_empty() || id.len() > RUN_ID_LENGTH_MAX || !is_id(id) {
            return Err(Refused::Problem(format!("{id:?} is not the id of a run")));
        }
        let mut insert = self.connection.prepare_cached(
            "INSERT OR IGNORE INTO run (id, account, endpoint, path, begun, position, imported)
             VALUES (?1, ?2, '', ?3, ?4, 0, 1)",
        )?;
        insert.execute(params![id, self.account.number(), path.as_bytes(), begun])?;
        Ok(())
    }

    /// Primary key of a run that a line refers to.
    fn number_of(&self, id: &str) -> Result<i64, Refused> {
        let mut query = self.connection.prepare_cached("SELECT number FROM run WHERE id = ?1")?;
        let number = query.query_row([id], |row| row.get(0)).optional()?;
        number.ok_or_else(|| Refused::Problem(format!("no line before it has the run {id:?}")))
    }

    /// Merges a charge; returns whether it was not recorded here.
    fn charge(&self, charge: &ImportedCharge, run: &str) -> Result<bool, Refused> {
        let ImportedCharge { file, extension, configuration, certainty } = charge;
        let number = self.number_of(run)?;
        let (service, file, name) =
            (self.service.as_str(), file.as_str(), extension.map(ExtensionName::as_str));
        let certainty = *certainty as i64;
        let values = params![service, file, configuration.0.0, number, certainty, name];
        let mut insert = self.connection.prepare_cached(
            "INSERT OR IGNORE INTO charge (service, file, extension, run, certainty, name)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        if insert.execute(values)? == 1 {
            return Ok(true);
        }
        // A more certain charge replaces the other.
        let mut merge = self.connection.prepare_cached(
            "UPDATE charge SET
                 run = CASE WHEN ?5 < certainty THEN ?4 ELSE run END,
                 certainty = min(certainty, ?5),
                 name = coalesce(name, ?6)
             WHERE service = ?1 AND file = ?2 AND extension = ?3",
        )?;
        merge.execute(values)?;
        Ok(false)
    }

    /// Merges what a run spent; returns whether it was not recorded here.
    fn spent(
        &self,
        run: &str,
        day: Date,
        extension: ExtensionName,
        runs: u64,
    ) -> Result<bool, Refused> {
        let number = self.number_of(run)?;
        let runs = i64::try_from(runs).ok().filter(|runs| *runs > 0);
        let runs = runs.ok_or_else(|| Refused::Problem("runs must be above 0".to_owned()))?;
        let values = params![number, day.to_string(), extension.as_str(), runs];
        let mut insert = self
            .connection
            .prepare_cached("INSERT OR IGNORE INTO spent VALUES (?1, ?2, ?3, ?4)")?;
        if insert.execute(values)? == 1 {
            return Ok(true);
        }
        let mut merge = self.connection.prepare_cached(
            "UPDATE spent SET runs = max(runs, ?4) WHERE run = ?1 AND day = ?2 AND extension = ?3",
        )?;
        merge.execute(values)?;
        Ok(false)
    }
}
