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
        // Or else it would be a flag of its own.
        let separator = if value.starts_with('-') { '=' } else { ' ' };
        flags += &format!(" --{flag}{separator}{}", quoted(Path::new(value)));
    };
    if let Some(encoding) = options.encoding.filter(|encoding| encoding.bom().is_empty()) {
        add("encoding", &encoding.to_string());
    }
    if let Some(delimiter) = options.delimiter {
        add("delimiter", &delimiter.to_string());
    }
    for (name, column) in options.columns.iter().chain(&options.usual_columns) {
        add("map", &format!("{name}={column}"));
    }
    if !options.ignored.is_empty() {
        add("ignore-columns", &options.ignored.join(","));
    }
    if let Some(worksheet) = &options.worksheet {
        add("worksheet", worksheet);
    }
    let default = Rules::default();
    if rules.clear_token != default.clear_token {
        add("clear-token", &rules.clear_token);
    }
    for word in &rules.literals {
        add("literal", word);
    }
    if let Some(effect) = rules.null_means {
        add("null-means", effect.as_str());
    }
    if let Some(separator) = rules.list_separator {
        let text = if separator == '\t' { "tab".to_owned() } else { separator.to_string() };
        add("list-separator", &text);
    }
    if let Some(tag) = rules.locale.and_then(Locale::tag) {
        add("locale", tag);
    }
    if rules.duplicates != default.duplicates {
        add("duplicates", rules.duplicates.as_str());
    }
    for finding in &rules.accepted {
        add("accept", finding.as_str());
    }
    if let Some(names) = &rules.extensions.for_all {
        add("extensions", names);
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::Finding;
    use crate::row::{Duplicates, NullMeans};

    #[test]
    fn only_what_was_set_is_a_flag() {
        let rules = Rules { locale: "de".parse().ok(), ..Rules::default() };
        let options = ReadOptions {
            encoding: "windows-1252".parse().ok(),
            columns: [("Datei-ID".to_owned(), "fileId".to_owned())].into(),
            usual_columns: [("Alt".to_owned(), "description".to_owned())].into(),
            ..ReadOptions::default()
        };
        let flags =
            " --encoding windows-1252 --map 'Datei-ID=fileId' --map 'Alt=description' --locale de";
        assert_eq!(read_flags(&options, &rules), flags);
        let options = ReadOptions {
            encoding: "utf-16le".parse().ok(),
            delimiter: "|".parse().ok(),
            ignored: vec!["Alt text".to_owned(), "note".to_owned()],
            ..ReadOptions::default()
        };
        let flags = " --delimiter '|' --ignore-columns 'Alt text,note'";
        assert_eq!(read_flags(&options, &Rules::default()), flags);
        let mut rules = Rules {
            clear_token: "-".to_owned(),
            literals: ["NA".to_owned(), "nil".to_owned()].into(),
            null_means: Some(NullMeans::Leave),
            duplicates: Duplicates::Last,
            accepted: [Finding::Dates, Finding::LostZeros].into(),
            ..Rules::default()
        };
        rules.extensions.for_all = Some("tag".to_owned());
        let options =
            ReadOptions { worksheet: Some("Sheet 2".to_owned()), ..ReadOptions::default() };
        let flags = " --worksheet 'Sheet 2' --clear-token=- --literal NA --literal nil \
                     --null-means leave --duplicates last --accept lost-zeros --accept dates \
                     --extensions tag";
        assert_eq!(read_flags(&options, &rules), flags);
    }
}
