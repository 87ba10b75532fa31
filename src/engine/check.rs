//! Validates a sheet without sending anything.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::Engine;
use super::Key;
use super::access::Client;
use super::columns::{ask_about_columns, confirmed_encoding};
use super::error::{Error, Refusal};
use super::extensions::{read_references, refuse_unusable_names};
use super::fields::Fields;
use super::settings::{Consent, Settings, ambiguous_nulls, prompt};
use super::sheet::Sheet;
use super::source::unreadable;
use super::ui::{Event, Notice, Preview, Ui};
use crate::account::{AccountDb, RateFile};
use crate::execute::Reads;
use crate::input::{Context, Format, Input};
use crate::plan::{ExtensionReferences, InputSummary, scan_first};

impl Engine {
    /// Validates a sheet. Reads the custom metadata fields of the account if the sheet sets any, its
    /// saved extensions if the sheet names any, and nothing else.
    ///
    /// ```
    /// use ikbulk::engine::{Engine, Sheet, Unattended};
    ///
    /// # use ikbulk::engine::{Access, Key, Settings};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let library = ikbulk_sandbox::Library::from_ids(["file_1".to_owned()]);
    /// # let config = ikbulk_sandbox::Config { library, ..Default::default() };
    /// # let sandbox = ikbulk_sandbox::start(config)?;
    /// # let directory = tempfile::tempdir()?;
    /// # let key = Key::Given(sandbox.key().to_owned().into());
    /// # let mut settings = Settings::new(Access::with_key(key).at(sandbox.base_url()));
    /// # settings.state_dir = Some(directory.path().join("state"));
    /// let engine = Engine::new(settings);
    /// let path = directory.path().join("sheet.csv");
    /// std::fs::write(&path, "fileId,tags\nfile_1,red\nfile_1,#N/A\n")?;
    ///
    /// let checked = engine.check(&Sheet::at(&path), &Unattended).await?;
    /// assert_eq!(checked.summary.rejected, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The sheet cannot be read as a sheet, or the fields cannot be read. Invalid rows are no error:
    /// the result counts them.
    pub async fn check(&self, sheet: &Sheet, ui: &impl Ui) -> Result<InputSummary, Error> {
        let (source, mut options) = (&sheet.source, sheet.read_options.clone());
        let unnamed;
        let mut input = if let Some(input) = plain_file(sheet)? {
            input
        } else {
            unnamed = source.stage_unnamed(sheet.format, options.clone()).await?;
            unnamed.input().clone()
        };
        let decoded;
        // A stream cannot be read a second time, so its encoding must be named.
        let prompt_again = prompt(ui, Consent::Ask).filter(|_| source.file().is_some());
        if let Some(encoding) = confirmed_encoding(input.guess_encoding()?, prompt_again).await? {
            options.encoding = Some(encoding);
            decoded = source.stage_unnamed(sheet.format, options).await?;
            input = decoded.input().clone();
        }
        let account = CheckedAccount { settings: &self.settings, ui, reached: OnceCell::new() };
        let mut fields = fields_to_check(sheet, &input, &account).await?;
        let mut context = fields.context(self.settings.rules.clone(), None);
        ask_about_columns(&mut input, &context, prompt(ui, Consent::Ask)).await?;
        let mut scan = scan_first(&input, &mut context, 0)?;
        let references = &scan.summary.references;
        if check_references(sheet, references, &mut context, &mut fields, &account).await? {
            scan = scan_first(&input, &mut context, 0)?;
        }
        ui.event(Event::Preview(&Preview::of(&sheet.source.name(), &scan)));
        if scan.summary.rows == 0 && !sheet.allow_empty {
            return Err(Refusal::NoRows.into());
        }
        match ambiguous_nulls(&scan, &context.rules) {
            Some(refusal) => Err(refusal.into()),
            None => Ok(scan),
        }
    }
}

/// The account that a sheet is validated against. It is reached at the first read, if there is any.
struct CheckedAccount<'c, U> {
    settings: &'c Settings,
    ui: &'c U,
    reached: OnceCell<(Client, Reads)>,
}

impl<U: Ui> CheckedAccount<'_, U> {
    fn has_no_key(&self) -> bool {
        matches!(self.settings.access.key, Key::Missing)
    }

    /// A client, and the reads of the command. They share the rate limit of the account; without a
    /// state directory they have a limit of their own.
    async fn reach(&self) -> Result<(&Client, &Reads), Error> {
        let Self { settings, ui, reached } = self;
        let reach = || async {
            let client = settings.access.client(prompt(*ui, Consent::Ask)).await?;
            if settings.state_dir.is_none() {
                return Ok((client, Reads::new(&settings.execution)));
            }
            let state = settings.open_state()?;
            let account = AccountDb::open(&state)?.account_of(&client.identity)?;
            let rates = Arc::new(RateFile::of_account(&state, account)?);
            Ok::<_, Error>((client, Reads::sharing(&settings.execution, &rates)))
        };
        let (client, reads) = reached.get_or_try_init(reach).await?;
        Ok((client, reads))
    }
}

/// Reads what the extensions refer to in the account, if there is a key. Returns whether it read
/// anything.
async fn check_references(
    sheet: &Sheet,
    references: &ExtensionReferences,
    context: &mut Context,
    fields: &mut Fields,
    account: &CheckedAccount<'_, impl Ui>,
) -> Result<bool, Error> {
    let needs_fields = references.fields && sheet.checks_metadata && context.schema.is_none();
    if !references.unresolved && !needs_fields {
        refuse_unusable_names(&context.rules.extensions)?;
        return Ok(false);
    }
    if account.has_no_key() {
        account.ui.event(Event::Notice(Notice::ExtensionsNotChecked));
        return Ok(false);
    }
    read_references(references, context, fields, sheet.checks_metadata, account.reach().await?)
        .await
}

/// The fields of the account, if the sheet sets custom metadata and there is a key.
async fn fields_to_check(
    sheet: &Sheet,
    input: &Input,
    account: &CheckedAccount<'_, impl Ui>,
) -> Result<Fields, Error> {
    if !sheet.checks_metadata || !input.mentions_metadata()? {
        return Ok(Fields::unchecked());
    }
    if account.has_no_key() {
        // A column that is perhaps the label of a field is no reason for a notice.
        if input.names_metadata()? {
            account.ui.event(Event::Notice(Notice::MetadataNotChecked));
        }
        return Ok(Fields::unchecked());
    }
    let (client, reads) = account.reach().await?;
    Fields::read(client, reads).await
}

/// The input, if it is a file that can be read as it is.
fn plain_file(sheet: &Sheet) -> Result<Option<Input>, Error> {
    let Some(path) = sheet.source.file() else { return Ok(None) };
    let format = sheet.format.map_or_else(|| Format::of_file(path), Ok);
    let format = format.map_err(|error| unreadable(path, error))?;
    let input = Input { path: path.to_owned(), format, options: sheet.read_options.clone() };
    let is_plain = input.options.worksheet.is_none() && input.is_plain()?;
    Ok(is_plain.then_some(input))
}
