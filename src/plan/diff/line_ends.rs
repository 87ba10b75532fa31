//! Line ends of text cells, which spreadsheet programs rewrite when they save a sheet.

use serde_json::Value;

use crate::file_fields::FileFields;
use crate::row::{Change, Set};

/// Gives texts that differ from those of the file only in line ends the file's line ends, so that they
/// are up to date.
pub(super) fn adopt_line_ends(change: &mut Change, fields: &FileFields) {
    if let (Some(Set::Value(text)), Some(current)) = (&mut change.description, &fields.description)
        && differ_in_line_ends(text, current)
    {
        *text = current.as_str().into();
    }
    for (field, value) in &mut change.metadata {
        if let Set::Value(Value::String(text)) = value
            && let Some(Value::String(current)) = fields.custom_metadata.get(&*field.name)
            && differ_in_line_ends(text, current)
        {
            text.clone_from(current);
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
