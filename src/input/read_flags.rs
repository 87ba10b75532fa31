//! The flags with which a sheet is read as another was.

use std::path::Path;

use super::ReadOptions;
use crate::row::{Locale, Rules};
use crate::shell::quoted;

/// The flags of these options, each after a blank, for the command that reads a sheet of the same kind. A
/// BOM tells its encoding by itself.
#[must_use]
pub fn read_flags(options: &ReadOptions, rules: &Rules) -> String {
    let mut flags = String::new();
    let mut add = |flag: &str, value: &str| {
        flags += &format!(" --{flag} {}", quoted(Path::new(value)));
    };
    if let Some(encoding) = options.encoding.filter(|encoding| encoding.bom().is_empty()) {
        add("encoding", &encoding.to_string());
    }
    if let Some(delimiter) = options.delimiter {
        add("delimiter", &delimiter.to_string());
    }
    for (name, column) in &options.columns {
        add("map", &format!("{name}={column}"));
    }
    if !options.ignored.is_empty() {
        add("ignore-columns", &options.ignored.join(","));
    }
    if let Some(separator) = rules.list_separator {
        add("list-separator", &separator.to_string());
    }
    if let Some(tag) = rules.locale.and_then(Locale::tag) {
        add("locale", tag);
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_set_is_a_flag() {
        let rules = Rules { locale: "de".parse().ok(), ..Rules::default() };
        let options = ReadOptions {
            encoding: "windows-1252".parse().ok(),
            columns: [("Datei-ID".to_owned(), "fileId".to_owned())].into(),
            ..ReadOptions::default()
        };
        let flags = " --encoding windows-1252 --map 'Datei-ID=fileId' --locale de";
        assert_eq!(read_flags(&options, &rules), flags);
        let options = ReadOptions {
            encoding: "utf-16le".parse().ok(),
            delimiter: "|".parse().ok(),
            ignored: vec!["Alt text".to_owned(), "note".to_owned()],
            ..ReadOptions::default()
        };
        let flags = " --delimiter '|' --ignore-columns 'Alt text,note'";
        assert_eq!(read_flags(&options, &Rules::default()), flags);
    }
}
