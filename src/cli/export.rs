//! `ikbulk export`: the library, a folder or a search as a sheet to edit and apply.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;

use clap::Args;
use futures_util::future::{Either, select};

use super::connect::Connection;
use super::prepare::hint;
use super::settings_args::{Client, SettingsArgs};
use super::{CliError, NOT_WRITTEN, Screen};
use crate::execute::{Reads, Stop};
use crate::export::{Columns, Exported, Sheet};
use crate::imagekit::{Failure, ListedFile, Listing, PAGE_FILES_MAX};
use crate::input::Format;
use crate::plural::plural;
use crate::report::Counter;
use crate::request::Endpoint;
use crate::row::Rules;

/// Pages beyond which a listing is taken to have no end: ten million files.
const PAGES_MAX: usize = 10_000;

#[derive(Debug, Args)]
pub(super) struct Export {
    /// Only the files of this folder, like /products/shoes
    #[arg(long, value_name = "PATH", conflicts_with = "search")]
    folder: Option<String>,
    /// Only the files that this query finds, in ImageKit's language of queries
    #[arg(long, value_name = "QUERY")]
    search: Option<String>,
    /// The columns, with commas between them [default: filePath, tags, customCoordinates,
    /// description and all custom metadata]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    columns: Vec<String>,
    /// The sheet to write, .csv or .jsonl
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace the sheet if it is there
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

impl Export {
    /// Exports until it is done or a signal comes, which leaves no sheet.
    pub(super) async fn run(
        self,
        screen: &Screen,
        signal: impl Future<Output = Stop>,
    ) -> Result<u8, CliError> {
        match select(pin!(self.export(screen)), pin!(signal)).await {
            Either::Left((exported, _)) => exported,
            Either::Right((why, _)) => Err(stopped(why)),
        }
    }

    async fn export(&self, screen: &Screen) -> Result<u8, CliError> {
        let settings = self.settings.clone().with_profile()?;
        let format = Format::of_name(&self.output).ok_or_else(|| {
            let output = self.output.display();
            CliError::new(format!("what shall {output} be? name it .csv or .jsonl"))
        })?;
        if self.output.exists() && !self.overwrite {
            let output = self.output.display();
            return Err(CliError::new(format!(
                "{output} is there already; --overwrite replaces it"
            )));
        }
        let client = settings.api(screen.person(false)).await?;
        let (state, execution) = (settings.state_dir()?, settings.execution()?);
        let Connection { client, reads, .. } =
            Connection::open(client, state, &execution, None).await?;
        let schema = reads.read(Endpoint::MetadataFields, || client.api.schema()).await;
        let (schema, _) = schema.map_err(|failure| not_read(&failure))?;
        let columns = if self.columns.is_empty() {
            Columns::usual(&schema)
        } else {
            let names = self.columns.iter().map(|name| name.trim());
            Columns::named(names, &schema).map_err(|error| CliError::of(&error))?
        };
        let rules = Rules { clear_token: settings.clear_token() };
        let sheet = Sheet::create(&self.output, format, columns, rules)
            .map_err(|error| not_written(&self.output, &error))?;
        let exported = self.write(sheet, &client, &reads, screen).await?;
        if exported.files == 0 && exported.unwritten == 0 {
            tracing::warn!("{}", self.nothing_found());
        }
        screen.say(&said(&exported));
        Ok(u8::from(exported.unwritten > 0))
    }

    fn nothing_found(&self) -> String {
        match (&self.folder, &self.search) {
            (Some(folder), _) => {
                format!(
                    "no files were found in {folder}; those of the folders in it are not looked at"
                )
            }
            (None, Some(_)) => "the search found no files".to_owned(),
            (None, None) => "the library has no files".to_owned(),
        }
    }

    /// Writes page after page, until one is empty.
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
                return Err(endless(sheet.files()));
            }
            tracing::debug!("{}", plural(skip as u64, "file", "files"));
            counter.add(sheet.files() - before);
        }
        Err(endless(sheet.files()))
    }
}

fn stopped(why: Stop) -> CliError {
    let message = "stopped by a signal; no sheet was written".to_owned();
    CliError { message, exit_code: why.exit_code() }
}

/// There is no way to what is behind pages that come again, or that never end.
fn endless(files: u64) -> CliError {
    CliError::new(format!(
        "ImageKit lists the same files again after {}; no sheet was written; export folder by folder \
         with --folder",
        plural(files, "file", "files")
    ))
}

fn not_read(failure: &Failure) -> CliError {
    let hint = hint(failure);
    let message = format!("cannot read the library; no sheet was written: {failure}{hint}");
    CliError::not_read(failure, message)
}

fn not_written(path: &Path, error: &std::io::Error) -> CliError {
    let message = format!("cannot write {}: {error}", path.display());
    CliError { message, exit_code: NOT_WRITTEN }
}

fn said(exported: &Exported) -> String {
    let Exported { path, files, twice, unwritten, first_unwritten } = exported;
    let path = path.display();
    let mut text = format!("sheet      {path}: {}\n", plural(*files, "file", "files"));
    if *twice > 0 {
        let files = plural(*twice, "file was", "files were");
        text += &format!(
            "twice      {files} listed twice, because the library changed meanwhile; each is in the \
             sheet once\n"
        );
    }
    if *unwritten > 0 {
        let mut first: Vec<String> =
            first_unwritten.iter().map(|(id, column)| format!("{column} of {id}")).collect();
        if first.len() as u64 != *unwritten {
            first.push("…".to_owned());
        }
        let one = "value cannot be said in a sheet and was left out, which leaves it alone";
        let several = "values cannot be said in a sheet and were left out, which leaves them alone";
        let problems = plural(*unwritten, one, several);
        text += &format!("problems   {problems}:\n             {}\n", first.join(", "));
    }
    if *files > 0 {
        text += &format!("next       edit it, then: ikbulk check {path}\n");
    }
    text
}
