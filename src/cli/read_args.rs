//! Options that say how the text of a sheet is read.

use clap::Args;
use ikbulk::input::{Delimiter, Format, ReadOptions};

use super::help::INPUT;
use super::values::format;

/// How the text of a sheet is read, by `check`, `plan` and `apply` alike.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ReadArgs {
    /// The format of the input [default: detected from its name or content]
    #[arg(long, value_parser = format(), value_name = "FORMAT", help_heading = INPUT, hide_short_help = true)]
    pub(super) format: Option<Format>,
    /// The character between the cells of CSV, or tab [default: the one of , ; tab | under which
    /// the header has known columns]
    #[arg(long, value_name = "CHARACTER", help_heading = INPUT, hide_short_help = true)]
    delimiter: Option<Delimiter>,
}

impl ReadArgs {
    /// The options as the reader takes them.
    pub(super) fn options(&self) -> ReadOptions {
        ReadOptions { delimiter: self.delimiter }
    }
}
