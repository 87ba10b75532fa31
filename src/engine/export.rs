//! Writes the library, a folder or a search as a sheet to edit and apply.

use std::path::{Path, PathBuf};

use super::Engine;
use super::access::Client;
use super::connection::Connection;
use super::error::{Error, ReadPurpose, Refusal};
use super::settings::{Consent, prompt};
use super::ui::{ReadCounter, Ui};
use crate::execute::Reads;
use crate::export::{Columns, Exported, SheetWriter};
use crate::imagekit::{Failure, ListedFile, Listing, PAGE_FILES_MAX};
use crate::input::Format;
use crate::plural::plural;
use crate::request::Endpoint;
use crate::run::ReadProgress as _;

/// Maximum pages of a listing: ten million files. A longer listing is taken to be endless.
const PAGES_MAX: usize = 10_000;

/// What to export, and where to.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// The files to export.
    pub listing: Listing,
    /// The columns, by name; none for the path, the editable columns and all custom metadata.
    pub columns: Vec<String>,
    /// The sheet to write. Its extension decides the format.
    pub output: PathBuf,
    /// Whether an existing file is overwritten.
    pub overwrite: bool,
}

impl ExportOptions {
    /// Exports the whole library, with the usual columns, to a new file.
    #[must_use]
    pub fn to(output: impl Into<PathBuf>) -> Self {
        let (listing, columns) = (Listing::default(), Vec::new());
        Self { listing, columns, output: output.into(), overwrite: false }
    }
}

impl Engine {
    /// Exports files as a sheet. If the future is dropped, no sheet is written.
    ///
    /// ```
    /// use ikbulk::engine::{Engine, ExportOptions, Unattended};
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
    /// let output = directory.path().join("library.csv");
    /// let exported = engine.export(&ExportOptions::to(&output), &Unattended).await?;
    /// assert_eq!(exported.files, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn export(&self, options: &ExportOptions, ui: &impl Ui) -> Result<Exported, Error> {
        let output = &options.output;
        let format = Format::of_name(output).filter(|format| format.can_be_exported());
        let format = format.ok_or_else(|| Refusal::UnknownFormat(output.clone()))?;
        if output.exists() && !options.overwrite {
            return Err(Refusal::Exists(output.clone()).into());
        }
        let settings = &self.settings;
        let client = settings.access.client(prompt(ui, Consent::Ask)).await?;
        let state = settings.open_state()?;
        let Connection { client, reads, .. } =
            Connection::open(client, state, &settings.execution, None).await?;
        let schema = reads.read(Endpoint::MetadataFields, || client.api.schema()).await;
        let (schema, _) = schema.map_err(not_read)?;
        let columns = if options.columns.is_empty() {
            Columns::usual(&schema)
        } else {
            Columns::named(options.columns.iter().map(|name| name.trim()), &schema)?
        };
        let rules = settings.rules.clone();
        let sheet = SheetWriter::create(output, format, columns, rules)
            .map_err(|error| not_written(output, error))?;
        write_pages(sheet, options, &client, &reads, ui).await
    }
}

/// Writes all pages, up to the first empty one.
async fn write_pages(
    mut sheet: SheetWriter,
    options: &ExportOptions,
    client: &Client,
    reads: &Reads,
    ui: &impl Ui,
) -> Result<Exported, Error> {
    let failed = |error| not_written(&options.output, error);
    let counter = ReadCounter::new(ui);
    counter.begin("files", None);
    let mut skip = 0;
    for _ in 0..PAGES_MAX {
        let page = || client.api.list::<ListedFile>(&options.listing, skip, PAGE_FILES_MAX);
        let page = reads.read(Endpoint::List, page).await.map_err(not_read)?;
        if page.is_empty() {
            return sheet.finish().map_err(failed);
        }
        skip += page.len();
        let files: Vec<_> = page.iter().filter(|entry| entry.is_file()).collect();
        let before = sheet.files();
        for file in &files {
            sheet.write(file).map_err(failed)?;
        }
        if sheet.files() == before && !files.is_empty() {
            return Err(Refusal::EndlessListing(sheet.files()).into());
        }
        tracing::debug!("{}", plural(skip as u64, "file", "files"));
        counter.add(sheet.files() - before);
    }
    Err(Refusal::EndlessListing(sheet.files()).into())
}

fn not_read(failure: Failure) -> Error {
    Error::Read { purpose: ReadPurpose::Export, failure }
}

fn not_written(path: &Path, error: std::io::Error) -> Error {
    Error::file(format!("write {}", path.display()), error)
}
