//! First lines that are no header, and what they are instead.

use super::names::Names;
use super::structure::FileShape;
use crate::row::has_file_ending;

/// First words of SQL that writes or reads rows.
const SQL: [&str; 5] = ["insert into ", "replace into ", "create table ", "drop table ", "copy "];
const EXPORT: &str = "export the sheet as CSV";

/// Why the first line is no header of a sheet, with the fix; `None` if it can be one.
pub(super) fn why_no_header(names: &[&str], known: Names<'_>) -> Option<String> {
    let only = names.first().copied().unwrap_or_default();
    let is_id = |name: &str| FileShape::of(name) == Some(FileShape::Id);
    // An id can be mapped, but is no name.
    let mut others = names.iter().filter(|name| !is_id(name));
    if others.any(|name| known.names_file(name)) {
        return None;
    }
    if let Some(cell) = names.iter().find(|name| is_id(name)) {
        return Some(looks_like_row(cell, "the id of a file"));
    }
    if names.iter().all(|name| name.is_empty()) {
        return Some(
            "the first line is empty; it must contain the column names, including fileId, filePath or url"
                .to_owned(),
        );
    }
    if only.starts_with('{') {
        return Some(
            "the input looks like JSON; pass --format jsonl, or use the extension .jsonl"
                .to_owned(),
        );
    }
    if only.starts_with('[') {
        return Some(
            "the input looks like a JSON array; pass --format jsonl, or use the extension .json"
                .to_owned(),
        );
    }
    if let Some(cell) = names.iter().find(|name| is_target(name)) {
        return Some(looks_like_row(cell, "the path or URL of a file"));
    }
    other_text(only, names, known)
}

/// What a text is that has no columns.
fn other_text(first: &str, names: &[&str], known: Names<'_>) -> Option<String> {
    if first.starts_with("version https://git-lfs.") {
        return Some(
            "the input is a pointer of Git LFS, not the sheet itself; fetch it with `git lfs pull`"
                .to_owned(),
        );
    }
    let lower = first.to_ascii_lowercase();
    if SQL.iter().any(|word| lower.starts_with(word)) && names.join(",").contains('(') {
        return Some(format!("the input is SQL; {EXPORT}"));
    }
    let [text] = names else { return None };
    let blanks = text.split("  ").filter(|part| !part.is_empty());
    if blanks.clone().count() > 1 && blanks.map(str::trim).any(|part| known.names_file(part)) {
        return Some(format!("the columns are separated by runs of blanks; {EXPORT}"));
    }
    None
}

fn looks_like_row(cell: &str, what: &str) -> String {
    format!(
        "the first line looks like a row, as {cell:?} is {what}; add a line with the names of the columns \
         above it, such as fileId, filePath or url for the file"
    )
}

/// Whether a text is the path or URL of a file.
fn is_target(text: &str) -> bool {
    let has_blank = text.contains(char::is_whitespace) && text.contains("://");
    FileShape::of(text) == Some(FileShape::Target) && has_file_ending(text) && !has_blank
}
