//! Flags of `ikbulk sandbox` for the files of its library.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use clap::Args;

use super::CliError;
use ikbulk::internals::{AtomicFile, chain, thousands};
use ikbulk_sandbox::{Library, synthetic_id};

const MADE_UP_FILES: u64 = 1000;

#[derive(Debug, Args)]
pub(super) struct LibraryArgs {
    /// Number of made-up files in the library [default: 1000, or none with --library]
    #[arg(long, value_name = "N")]
    files: Option<u64>,
    /// The seed of the made-up files
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Start with the files of this JSONL, one file object of the API per line
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// At the end, write all files of the library to this JSONL, also unchanged ones
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

impl LibraryArgs {
    /// The initial library.
    pub(super) fn library(&self) -> Result<Library, CliError> {
        let mut library = Library::synthetic(self.files(), self.seed);
        if let Some(path) = &self.library {
            let unreadable = |reason: &dyn std::error::Error| {
                CliError::new(format!("cannot read {}: {}", path.display(), chain(reason)))
            };
            let file = File::open(path).map_err(|error| unreadable(&error))?;
            library.add_lines(BufReader::new(file)).map_err(|error| unreadable(&error))?;
        }
        Ok(library)
    }

    /// The file to save the library to at the end. Created now, so that a path that is not writable
    /// fails early.
    pub(super) fn create_save_file(&self) -> Result<Option<AtomicFile>, CliError> {
        let Some(path) = &self.save else { return Ok(None) };
        AtomicFile::at(path)
            .map(Some)
            .map_err(|error| CliError::new(format!("cannot save to {}: {error}", path.display())))
    }

    /// A one-line description of the library.
    pub(super) fn description(&self) -> String {
        let made_up = match self.files() {
            0 => "none made up".to_owned(),
            files => {
                format!("{} made up, the first is {}", thousands(files), synthetic_id(self.seed, 0))
            }
        };
        match &self.library {
            Some(path) => format!("{made_up}, and those of {}", path.display()),
            None => made_up,
        }
    }

    fn files(&self) -> u64 {
        self.files.unwrap_or(if self.library.is_some() { 0 } else { MADE_UP_FILES })
    }
}
