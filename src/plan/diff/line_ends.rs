//! Line ends of text cells, which spreadsheet programs rewrite when they save a sheet.

use crate::file_fields::FileFields;
use crate::row::Change;

/// Gives texts that differ from those of the file only in line ends the file's line ends, so that they
/// are up to date.
pub(super) fn adopt_line_ends(change: &mut Change, fields: &FileFields) {
    for (field, text) in change.details.texts_mut() {
        if let Some(current) = fields.detail(field).as_str()
            && differ_in_line_ends(text, current)
        {
            current.clone_into(text);
        }
    }
}

/// Whether two texts differ in nothing but line ends: LF, CR LF or CR.
fn differ_in_line_ends(one: &str, other: &str) -> bool {
    let has_lines = |text: &str| text.contains(['\n', '\r']);
    let lines = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n");
    one != other && has_lines(one) && has_lines(other) && lines(one) == lines(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_line_ends_may_differ() {
        assert!(differ_in_line_ends("a\nb", "a\r\nb"));
        assert!(differ_in_line_ends("a\r\rb", "a\n\nb"));
        for (one, other) in [("a\nb", "a\nb"), ("a\nb", "a\n\nb"), ("a\nb", "a b"), ("a", "a\n")] {
            assert!(!differ_in_line_ends(one, other), "{one:?} {other:?}");
        }
    }
}
