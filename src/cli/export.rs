//! `ikbulk export`: writes the library, a folder or a search as a sheet to edit and apply.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;

use clap::Args;
use futures_util::future::{Either, select};

use super::connect::Connection;
use super::hint::with_hint;
use super::render::Counter;
use super::settings_args::{Client, SettingsArgs};
use super::{CliError, Screen};
use ikbulk::execute::{Reads, Stop};
use ikbulk::exit_codes;
use ikbulk::export::{Columns, Exported, Sheet};
use ikbulk::imagekit::{Failure, ListedFile, Listing, PAGE_FILES_MAX};
use ikbulk::input::Format;
use ikbulk::plural::plural;
use ikbulk::request::Endpoint;
use ikbulk::row::Rules;
use ikbulk::run::ReadProgress as _;

/// Maximum pages of a listing: ten million files. A longer listing is taken to be endless.
const PAGES_MAX: usize = 10_000;

#[derive(Debug, Args)]
pub(super) struct Export {
    /// Export only the files of this folder, such as /products/shoes
    #[arg(long, value_name = "PATH", conflicts_with = "search")]
    folder: Option<String>,
    /// Export only the files that match this query, in ImageKit's search syntax
    #[arg(long, value_name = "QUERY")]
    search: Option<String>,
    /// The columns to export, comma-separated [default: filePath, tags, customCoordinates,
    /// description and all custom metadata]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    columns: Vec<String>,
    /// The sheet to write; its extension, .csv or .jsonl, decides the format
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Export {
    /// Exports until done. A signal stops the export, and no sheet is written.
    pub(super) async fn run(
        self,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, CliError> {
        match select(pin!(self.export(screen)), pin!(signal)).await {
            Either::Left((exported, _)) => exported,
            Either::Right((stop, _)) => Err(stopped_by(stop)),
        }
    }

    async fn export(&self, screen: &Screen) -> Result<u8, CliError> {
        let settings = self.settings.clone().with_profile()?;
        let format = Format::of_name(&self.output).ok_or_else(|| {
            let output = self.output.display();
            CliError::new(format!(
                "cannot infer the format of {output}: use a .csv or .jsonl extension"
            ))
        })?;
        if self.output.exists() && !self.overwrite {
            let output = self.output.display();
            return Err(CliError::new(format!(
                "{output} already exists; pass --overwrite to replace it"
            )));
        }
        let client = settings.api(screen.prompt_unless(false)).await?;
        let (state, execution) = (settings.state_dir()?, settings.execution()?);
        let Connection { client, reads, .. } =
            Connection::open(client, state, &execution, None).await?;
        let schema = reads.read(Endpoint::MetadataFields, || client.api.schema()).await;
        let (schema, _) = schema.map_err(|failure| not_read(&failure))?;
        let columns = if self.columns.is_empty() {
            Columns::usual(&schema)
        } else {
            let names = self.columns.iter().map(|name| name.trim());
            Columns::named(names, &schema).map_err(|error| CliError::from_error(&error))?
        };
        let rules = Rules { clear_token: settings.clear_token() };
        let sheet = Sheet::create(&self.output, format, columns, rules)
            .map_err(|error| not_written(&self.output, &error))?;
        let exported = self.write(sheet, &client, &reads, screen).await?;
        if exported.files == 0 && exported.unwritten == 0 {
            tracing::warn!("{}", self.no_files_warning());
        }
        screen.print(&export_summary(&exported));
        Ok(if exported.unwritten > 0 { exit_codes::NEEDS_FIXING } else { exit_codes::DONE })
    }

    fn no_files_warning(&self) -> String {
        match (&self.folder, &self.search) {
            (Some(folder), _) => {
                format!("no files in {folder}; its subfolders are not included")
            }
            (None, Some(_)) => "the search found no files".to_owned(),
            (None, None) => "the library has no files".to_owned(),
        }
    }

    /// Writes all pages, up to the first empty one.
    async fn write(
        &self,
        mut sheet: Sheet,
        client: &Client,
        reads: &Reads,
        screen: &Screen,
    ) -> Result<Exported, CliError> {
        let listing = Listing { folder: self.folder.clone(), search: self.search.clone() };
        let counter = Counter::new(screen.bars());
        counter.begin("files", None);
        let mut skip = 0;
        for _ in 0..PAGES_MAX {
            let page = || client.api.list::<ListedFile>(&listing, skip, PAGE_FILES_MAX);
            let page = reads.read(Endpoint::List, page).await;
            let page = page.map_err(|failure| not_read(&failure))?;
            if page.is_empty() {
                return sheet.finish().map_err(|error| not_written(&self.output, &error));
            }
            skip += page.len();
            let files: Vec<_> = page.iter().filter(|entry| entry.is_file()).collect();
            let before = sheet.files();
            for file in &files {
                sheet.write(file).map_err(|error| not_written(&self.output, &error))?;
            }
            if sheet.files() == before && !files.is_empty() {
                return Err(endless_listing(sheet.files()));
            }
            tracing::debug!("{}", plural(skip as u64, "file", "files"));
            counter.add(sheet.files() - before);
        }
        Err(endless_listing(sheet.files()))
    }
}

fn stopped_by(stop: Stop) -> CliError {
    let message = "stopped by a signal; no sheet was written".to_owned();
    CliError { message, exit_code: stop.exit_code() }
}

/// The listing repeats pages or never ends, so the files after them cannot be reached.
fn endless_listing(files: u64) -> CliError {
    CliError::new(format!(
        "ImageKit lists the same files again after {}; no sheet was written; export one folder at a \
         time with --folder",
        plural(files, "file", "files")
    ))
}

fn not_read(failure: &Failure) -> CliError {
    let failure_text = with_hint(failure);
    let message = format!("cannot read the library: {failure_text}; no sheet was written");
    CliError::read_failed(failure, message)
}

fn not_written(path: &Path, error: &std::io::Error) -> CliError {
    let message = format!("cannot write {}: {error}", path.display());
    CliError { message, exit_code: exit_codes::NOT_WRITTEN }
}

fn export_summary(exported: &Exported) -> String {
    let Exported { path, files, twice, unwritten, first_unwritten } = exported;
    let path = path.display();
    let mut text = format!("sheet      {path}: {}\n", plural(*files, "file", "files"));
    if *twice > 0 {
        let files = plural(*twice, "file was", "files were");
        text += &format!(
            "duplicates {files} listed twice because the library changed meanwhile; each is in the \
             sheet once\n"
        );
    }
    if *unwritten > 0 {
        let mut first: Vec<String> =
            first_unwritten.iter().map(|(id, column)| format!("{column} of {id}")).collect();
        if first.len() as u64 != *unwritten {
            first.push("…".to_owned());
        }
        let one = "value cannot be written to a sheet; its cell is empty, which leaves the field unchanged";
        let several = "values cannot be written to a sheet; their cells are empty, which leaves the fields unchanged";
        let problems = plural(*unwritten, one, several);
        text += &format!("problems   {problems}:\n             {}\n", first.join(", "));
    }
    if *files > 0 {
        text += &format!("next       edit the sheet, then: ikbulk check {path}\n");
    }
    text
}
