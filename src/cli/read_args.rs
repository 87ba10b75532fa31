//! Options that say how the text of a sheet is read.

use std::collections::BTreeMap;
use std::str::FromStr;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use ikbulk::engine::{Delimiter, Format, ReadOptions, TextEncoding};

use super::help::INPUT;
use super::values::format;

/// How the text of a sheet is read, by `check`, `plan` and `apply` alike.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ReadArgs {
    /// The format of the input [default: detected from its name or content]
    #[arg(long, value_parser = format(), value_name = "FORMAT", help_heading = INPUT, hide_short_help = true)]
    pub(super) format: Option<Format>,
    /// The worksheet of a workbook to read [default: the first]
    #[arg(long, value_name = "NAME", help_heading = INPUT, hide_short_help = true)]
    worksheet: Option<String>,
    /// The character between the cells of CSV, or tab [default: the one of , ; tab | under which
    /// the header has known columns]
    #[arg(long, value_name = "CHARACTER", help_heading = INPUT, hide_short_help = true)]
    delimiter: Option<Delimiter>,
    /// The encoding of the sheet, such as windows-1252 [default: UTF-8, or by its BOM]
    #[arg(long, value_name = "NAME", help_heading = INPUT, hide_short_help = true)]
    encoding: Option<TextEncoding>,
    /// Read a column as another, such as "Alt text=description"
    #[arg(long, value_name = "NAME=COLUMN", help_heading = INPUT, hide_short_help = true)]
    map: Vec<ColumnMapping>,
    /// Ignore these columns, comma-separated, even if their names are nearly known ones
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help_heading = INPUT, hide_short_help = true)]
    ignore_columns: Vec<String>,
    /// Refuse a sheet with columns that are not read
    #[arg(long, help_heading = INPUT, hide_short_help = true)]
    strict_columns: bool,
    /// Run a preset or saved extension on all rows that have no extensions of their own
    #[arg(long, value_name = "NAMES", value_parser = NonEmptyStringValueParser::new(), help_heading = INPUT)]
    pub(super) extensions: Option<String>,
}

/// A column of the sheet, and the column that it is read as.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ColumnMapping(String, String);

impl FromStr for ColumnMapping {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Names of columns can contain the sign, known columns do not.
        match text.rsplit_once('=').map(|(name, column)| (name.trim(), column.trim())) {
            Some((name, column)) if !name.is_empty() && !column.is_empty() => {
                Ok(Self(name.to_owned(), column.to_owned()))
            }
            _ => Err("not a mapping: use NAME=COLUMN, such as \"Alt text=description\""),
        }
    }
}

impl ReadArgs {
    /// The options as the reader takes them; `usual_columns` are those of the settings file.
    pub(super) fn options(&self, usual_columns: &BTreeMap<String, String>) -> ReadOptions {
        let columns =
            self.map.iter().map(|ColumnMapping(name, column)| (name.clone(), column.clone()));
        ReadOptions {
            delimiter: self.delimiter,
            encoding: self.encoding,
            columns: columns.collect(),
            usual_columns: usual_columns.clone(),
            ignored: self.ignore_columns.clone(),
            strict_columns: self.strict_columns,
            copy_fingerprint: None,
            worksheet: self.worksheet.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapping_names_both_columns() {
        let mapping = |name: &str, column: &str| Ok(ColumnMapping(name.into(), column.into()));
        assert_eq!("Alt text = description".parse(), mapping("Alt text", "description"));
        assert_eq!("a=b=tags".parse(), mapping("a=b", "tags"));
        for text in ["", "tags", "=tags", "a="] {
            assert!(text.parse::<ColumnMapping>().is_err(), "{text}");
        }
    }
}
