//! The flags of `ikbulk sandbox` about the files that it has.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use clap::Args;

use super::CliError;
use crate::atomic_file::AtomicFile;
use crate::error::chain;
use crate::sandbox::{Library, synthetic_id};

const MADE_UP_FILES: u64 = 1000;

#[derive(Debug, Args)]
pub(super) struct LibraryArgs {
    /// How many made-up files its library has [default: 1000, or none with --library]
    #[arg(long, value_name = "N")]
    files: Option<u64>,
    /// The seed of its made-up files
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Files to start from: a JSONL, one file object of the API a line
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// Write the files of --library and those that were changed to this JSONL when it ends
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

impl LibraryArgs {
    /// The files to start with.
    pub(super) fn library(&self) -> Result<Library, CliError> {
        let mut library = Library::synthetic(self.files(), self.seed);
        if let Some(path) = &self.library {
            let refused = |reason: &dyn std::error::Error| {
                CliError::new(format!("cannot read {}: {}", path.display(), chain(reason)))
            };
            let file = File::open(path).map_err(|error| refused(&error))?;
            library.add_lines(BufReader::new(file)).map_err(|error| refused(&error))?;
        }
        Ok(library)
    }

    /// Where to save the files in the end. That it can be written there is seen now.
    pub(super) fn saved(&self) -> Result<Option<AtomicFile>, CliError> {
        let Some(path) = &self.save else { return Ok(None) };
        AtomicFile::at(path)
            .map(Some)
            .map_err(|error| CliError::new(format!("cannot save to {}: {error}", path.display())))
    }

    /// What there is, in words.
    pub(super) fn described(&self) -> String {
        let made_up = match self.files() {
            0 => "none made up".to_owned(),
            files => format!("{files} made up, the first is {}", synthetic_id(self.seed, 0)),
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
