//! What a file shows at its beginning that is no sheet at all: other encodings, other kinds of file.

use super::InputError;

/// Bytes that are looked at.
pub(super) const LOOKED_AT_BYTES: u64 = 16;

const SAVE: &str = "save it as “CSV UTF-8”";

/// What files of other kinds begin with, what they are, and what to do. The first that fits holds.
const MARKS: [(&[u8], &str, &str); 12] = [
    (b"\xFF\xFE\0\0", "UTF-32", SAVE),
    (b"\0\0\xFE\xFF", "UTF-32", SAVE),
    (b"\xFF\xFE", "UTF-16", SAVE),
    (b"\xFE\xFF", "UTF-16", SAVE),
    (b"\0\0", "nothing but NUL bytes at its beginning", "write or copy it again"),
    (b"PK\x03\x04", "a spreadsheet or ZIP file", SAVE),
    (b"\xD0\xCF\x11\xE0", "a spreadsheet of an old format", SAVE),
    (b"\x1F\x8B", "compressed with gzip", "unpack it"),
    (b"%PDF-", "a PDF", SAVE),
    (b"<!DOCTYPE", "a web page", "download the sheet itself"),
    (b"<HTML", "a web page", "download the sheet itself"),
    (b"<?XML", "an XML file", SAVE),
];

/// Refuses a file that begins as no sheet does.
pub(super) fn refuse_other_kinds(sniff: &[u8]) -> Result<(), InputError> {
    let begins_with =
        |mark: &[u8]| sniff.get(..mark.len()).is_some_and(|bytes| bytes.eq_ignore_ascii_case(mark));
    if let Some((_, what, suggestion)) = MARKS.iter().find(|(mark, ..)| begins_with(mark)) {
        return Err(InputError::OtherKind { what, suggestion });
    }
    // Without a mark UTF-16 shows by the zeros in half of its ASCII characters.
    match sniff {
        [0, _, ..] | [_, 0, ..] => Err(InputError::OtherKind { what: "UTF-16", suggestion: SAVE }),
        _ => Ok(()),
    }
}
