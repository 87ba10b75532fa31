//! Inspects, exports and imports the recorded charges.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

use super::Engine;
use super::access::Client;
use super::connection::Connection;
use super::error::{Error, Refusal};
use super::locks::lock_account;
use super::recorded_charges::record_interrupted;
use super::settings::{Consent, prompt};
use super::ui::Ui;
use crate::account::{AccountDb, AccountId, Identity, StateDir};
use crate::atomic_file::AtomicFile;
use crate::charges::{
    Charges, ChargesOverview, ExportError, ExportedCharges, FileCharge, ImportedCharges,
};
use crate::row::FileId;

/// The recorded charges of an account's service.
#[derive(Debug)]
pub struct RecordedCharges {
    /// The account of the key.
    pub account: Identity,
    /// URL of the API.
    pub endpoint: String,
    /// Counts, and what was spent.
    pub overview: ChargesOverview,
    /// The charges of one file, if asked for.
    pub of_file: Option<Vec<FileCharge>>,
}

impl Engine {
    /// Reads the recorded charges, and those of `file` one by one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn charges(
        &self,
        file: Option<&FileId>,
        ui: &impl Ui,
    ) -> Result<RecordedCharges, Error> {
        let AccountCharges { identity, endpoint, account, charges, .. } =
            self.open_charges(ui).await?;
        let overview = charges.overview(account)?;
        let of_file = file.map(|file| charges.of_file(file)).transpose()?;
        Ok(RecordedCharges { account: identity, endpoint, overview, of_file })
    }

    /// Writes the recorded charges to a file, including those of interrupted runs.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn export_charges(
        &self,
        output: &Path,
        overwrite: bool,
        wait_lock: bool,
        ui: &impl Ui,
    ) -> Result<ExportedCharges, Error> {
        if output.exists() && !overwrite {
            return Err(Refusal::Exists(output.to_owned()).into());
        }
        let AccountCharges { identity, account, state, charges, .. } =
            self.open_charges(ui).await?;
        let _lock = lock_account(&state, account, output, wait_lock).await?;
        record_interrupted(&charges, account, ui)?;
        let not_written = |error| Error::file(format!("write {}", output.display()), error);
        let mut file = BufWriter::new(AtomicFile::at(output).map_err(not_written)?);
        let name = identity.name.as_ref();
        let exported = charges.export(account, name, &mut file).map_err(|error| match error {
            ExportError::Charges(error) => error.into(),
            ExportError::Write(error) => not_written(error),
        })?;
        let file = file.into_inner().map_err(|error| not_written(error.into_error()))?;
        file.finish().map_err(not_written)?;
        Ok(exported)
    }

    /// Merges the charges of a file into those recorded here.
    ///
    /// # Errors
    /// See [`Error`]. Then nothing is imported.
    pub async fn import_charges(
        &self,
        input: &Path,
        wait_lock: bool,
        ui: &impl Ui,
    ) -> Result<ImportedCharges, Error> {
        let unreadable = |source| Refusal::Unreadable { path: input.to_owned(), source };
        let file = File::open(input).map_err(unreadable)?;
        let AccountCharges { identity, account, state, charges, .. } =
            self.open_charges(ui).await?;
        let _lock = lock_account(&state, account, input, wait_lock).await?;
        let name = identity.name.as_ref();
        charges.import(account, name, BufReader::new(file)).map_err(|reason| Error::ImportCharges {
            path: input.to_owned(),
            reason: Box::new(reason),
        })
    }

    async fn open_charges(&self, ui: &impl Ui) -> Result<AccountCharges, Error> {
        let settings = &self.settings;
        let client = settings.access.client(prompt(ui, Consent::Ask)).await?;
        let state = settings.open_state()?;
        let connection = Connection::open(client, state.clone(), &settings.execution, None).await?;
        let Client { identity, endpoint, .. } = connection.client;
        let account = AccountDb::open(&state)?.account_of(&identity)?;
        let charges = Charges::open(&state, &identity.service)?;
        Ok(AccountCharges { identity, endpoint, account, state, charges })
    }
}

/// The recorded charges of the service of an account.
struct AccountCharges {
    identity: Identity,
    endpoint: String,
    account: AccountId,
    state: StateDir,
    charges: Charges,
}
