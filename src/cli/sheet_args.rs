//! The sheet argument, and the flags for reading it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use ikbulk::engine::{DiffOptions, Sheet, SkipTagged, Source};

use super::help::{INPUT, PLANNING, RUN, SHEET};
use super::read_args::ReadArgs;
use super::values::skip_tagged;

/// An input argument: a path, or `-` for standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InputArg(Source);

impl From<OsString> for InputArg {
    fn from(name: OsString) -> Self {
        Self(if name == "-" { Source::StandardInput } else { Source::Path(name.into()) })
    }
}

impl InputArg {
    /// The path, or `-`.
    pub(super) fn path(&self) -> &Path {
        self.0.path().unwrap_or(Path::new("-"))
    }

    pub(super) fn source(&self) -> &Source {
        &self.0
    }
}

/// The sheet and the options for reading and planning it.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct SheetArgs {
    #[arg(value_name = "FILE", help = SHEET)]
    pub(super) file: InputArg,
    /// Use a local ImageKit started for this run: no account, no network
    #[arg(long, conflicts_with = "endpoint")]
    pub(super) sandbox: bool,
    #[command(flatten)]
    read: ReadArgs,
    /// The run directory to create [default: `<sheet>.ikbulk/<UTC time>/` beside FILE]
    #[arg(long, value_name = "DIR", help_heading = RUN, hide_short_help = true)]
    run_dir: Option<PathBuf>,
    /// Skip validating custom metadata against the account's fields
    #[arg(long, help_heading = INPUT, hide_short_help = true)]
    no_schema: bool,
    /// Accept an input without rows
    #[arg(long, help_heading = INPUT, hide_short_help = true)]
    allow_empty: bool,
    /// Re-send rows with an unknown outcome; their extensions can be charged twice
    #[arg(long, help_heading = PLANNING, hide_short_help = true)]
    repeat_unknown: bool,
    /// Replace tags with one PATCH per file, exact even while others edit them
    #[arg(long, help_heading = PLANNING)]
    exact: bool,
    /// Run extensions again that already ran on a file; they are charged again
    #[arg(long, help_heading = PLANNING, conflicts_with = "skip_tagged")]
    rerun_extensions: bool,
    /// Skip a tagging extension on files with AI tags of it [default: unremembered]
    #[arg(long, value_name = "WHEN", help_heading = PLANNING, num_args = 0..=1,
        require_equals = true, default_missing_value = "always", value_parser = skip_tagged())]
    skip_tagged: Option<SkipTagged>,
}

impl SheetArgs {
    /// The sheet; `columns` are those that the settings files read as others.
    pub(super) fn to_sheet(&self, columns: &BTreeMap<String, String>) -> Sheet {
        Sheet {
            source: self.file.source().clone(),
            format: self.read.format,
            read_options: self.read.options(columns),
            run_dir: self.run_dir.clone(),
            sandbox: self.sandbox,
            checks_metadata: !self.no_schema,
            allow_empty: self.allow_empty,
            repeat_unknown: self.repeat_unknown,
        }
    }

    /// The names of the extensions of rows that have none of their own.
    pub(super) fn extensions_for_all(&self) -> Option<&str> {
        self.read.extensions.as_deref()
    }

    pub(super) fn diff_options(&self) -> DiffOptions {
        DiffOptions {
            exact: self.exact,
            rerun_extensions: self.rerun_extensions,
            skip_tagged: self.skip_tagged.unwrap_or_default(),
        }
    }
}
