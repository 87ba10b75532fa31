//! Where a sheet comes from: a file or standard input.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::{Error, Refusal};
use crate::input::{
    Format, ReadOptions, STANDARD_INPUT, StagedInput, UnnamedInput, stage_input,
    stage_unnamed_input,
};
use crate::ledger::LedgerFile;
use crate::run::RunDir;
use crate::system::on_thread;

/// Where a sheet comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, or a pipe with a name.
    Path(PathBuf),
    /// Standard input.
    StandardInput,
}

impl Source {
    /// The path; `None` for standard input.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::StandardInput => None,
        }
    }

    /// The path, if it is a file that can be read again. Standard input cannot, nor can a named
    /// pipe such as `<(…)`, whose name another pipe may have later.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        let is_stream =
            |path: &Path| fs::metadata(path).is_ok_and(|it| !it.is_file() && !it.is_dir());
        self.path().filter(|path| !is_stream(path))
    }

    /// The name for people.
    #[must_use]
    pub fn name(&self) -> String {
        self.path().map_or(STANDARD_INPUT.to_owned(), |path| path.display().to_string())
    }

    /// The absolute path; `None` if the input cannot be read again.
    pub(super) fn absolute_path(&self) -> Option<PathBuf> {
        std::path::absolute(self.file()?).ok()
    }

    /// The name that the ledger records. All inputs that cannot be read again have the same one.
    pub(super) fn recorded_name(&self) -> String {
        self.file().map_or(STANDARD_INPUT.to_owned(), |path| path.display().to_string())
    }

    /// Copies the input into a directory.
    pub(super) async fn stage(
        &self,
        format: Option<Format>,
        options: ReadOptions,
        directory: &Path,
    ) -> Result<StagedInput, Error> {
        let (source, directory) = (self.clone(), directory.to_owned());
        on_thread(move || {
            let (from, name) = source.open()?;
            Ok(stage_input(from, name, format, options, &directory)?)
        })
        .await
        .unwrap_or_else(|error| Err(no_thread(&error)))
    }

    /// Copies the input to an unnamed file, which the system removes when the program ends.
    pub(super) async fn stage_unnamed(
        &self,
        format: Option<Format>,
        options: ReadOptions,
    ) -> Result<UnnamedInput, Error> {
        let source = self.clone();
        on_thread(move || {
            let (from, name) = source.open()?;
            Ok(stage_unnamed_input(from, name, format, options)?)
        })
        .await
        .unwrap_or_else(|error| Err(no_thread(&error)))
    }

    /// Refuses a path that is missing or a directory, before anything else is asked of a person.
    pub(super) fn require_file(&self) -> Result<(), Error> {
        match self.path() {
            Some(path) if path.is_dir() => Err(not_a_sheet(path).into()),
            Some(path) => match fs::metadata(path) {
                Ok(_) => Ok(()),
                Err(error) => Err(unreadable(path, error)),
            },
            None => Ok(()),
        }
    }

    fn open(&self) -> Result<(Box<dyn Read>, &Path), Error> {
        let Some(path) = self.path() else {
            return Ok((Box::new(io::stdin().lock()), Path::new("-")));
        };
        if path.is_dir() {
            return Err(not_a_sheet(path).into());
        }
        let file = File::open(path).map_err(|error| unreadable(path, error))?;
        Ok((Box::new(file), path))
    }
}

pub(super) fn unreadable(path: &Path, source: io::Error) -> Error {
    Refusal::Unreadable { path: path.to_owned(), source }.into()
}

fn no_thread(error: &io::Error) -> Error {
    Refusal::System(format!("start a thread: {error}")).into()
}

/// The error for a directory in place of a sheet. A run directory is named as one.
fn not_a_sheet(path: &Path) -> Refusal {
    let run = RunDir::open(path)
        .ok()
        .and_then(|run| LedgerFile::observe(run.path()).ok()?.meta().ok())
        .map(|meta| meta.stage);
    Refusal::NotASheet { path: path.to_owned(), run }
}
