//! `ikbulk export`: writes the library, a folder or a search as a sheet to edit and apply.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;

use clap::Args;
use futures_util::future::{Either, select};
use ikbulk::engine::{Engine, ExportOptions, Exported, Listing, Stop};
use ikbulk::exit_codes;
use ikbulk::internals::plural;

use super::settings_args::SettingsArgs;
use super::terminal_ui::TerminalUi;
use super::{CliError, Screen};

#[derive(Debug, Args)]
pub(super) struct Export {
    /// Export only the files of this folder, such as /products/shoes
    #[arg(long, value_name = "PATH", conflicts_with = "search")]
    folder: Option<String>,
    /// Export only the files that match this query, in ImageKit's search syntax
    #[arg(long, value_name = "QUERY")]
    search: Option<String>,
    /// The columns to export, comma-separated; also read-only ones, such as aiTags, version and
    /// updatedAt [default: filePath, tags, customCoordinates, description and all custom metadata]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    columns: Vec<String>,
    /// The sheet to write; its extension, .csv, .jsonl or .xlsx, decides the format
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
        let engine = Engine::new(self.settings.with_profile()?.with_key()?);
        let listing = Listing { folder: self.folder, search: self.search, ..Listing::default() };
        let options = ExportOptions {
            listing,
            columns: self.columns,
            output: self.output,
            overwrite: self.overwrite,
        };
        let ui = TerminalUi::new(screen);
        let exported = match select(pin!(engine.export(&options, &ui)), pin!(signal)).await {
            Either::Left((exported, _)) => exported?,
            Either::Right((stop, _)) => return Err(stopped_by(stop)),
        };
        if exported.files == 0 && exported.unwritten == 0 {
            tracing::warn!("{}", no_files_warning(&options.listing));
        }
        screen.print(&export_summary(&exported));
        Ok(if exported.unwritten > 0 { exit_codes::NEEDS_FIXING } else { exit_codes::DONE })
    }
}

fn stopped_by(stop: Stop) -> CliError {
    let message = "stopped by a signal; no sheet was written".to_owned();
    CliError { message, exit_code: stop.exit_code() }
}

fn no_files_warning(listing: &Listing) -> String {
    match (&listing.folder, &listing.search) {
        (Some(folder), _) => format!("no files in {folder}; its subfolders are not included"),
        (None, Some(_)) => "the search found no files".to_owned(),
        (None, None) => "the library has no files".to_owned(),
    }
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
