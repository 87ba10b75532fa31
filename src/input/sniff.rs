//! Detects files that are not UTF-8 sheets by their first bytes: other encodings and file types.

use super::InputError;

/// Number of bytes to inspect.
pub(super) const SNIFFED_BYTES: u64 = 16;

const SAVE: &str = "save it as “CSV UTF-8”";

/// Magic bytes, the kind of file, and the fix. The first match wins.
const MAGIC_BYTES: [(&[u8], &str, &str); 12] = [
    (b"\xFF\xFE\0\0", "UTF-32", SAVE),
    (b"\0\0\xFE\xFF", "UTF-32", SAVE),
    (b"\xFF\xFE", "UTF-16", SAVE),
    (b"\xFE\xFF", "UTF-16", SAVE),
    (b"\0\0", "damaged (it starts with NUL bytes)", "export or copy it again"),
    (b"PK\x03\x04", "a workbook or ZIP file", "leave out --format"),
    (b"\xD0\xCF\x11\xE0", "a workbook in an old format", "save it as XLSX"),
    (b"\x1F\x8B", "compressed with gzip", "decompress it"),
    (b"%PDF-", "a PDF", SAVE),
    (b"<!DOCTYPE", "a web page", "download the sheet itself"),
    (b"<HTML", "a web page", "download the sheet itself"),
    (b"<?XML", "an XML file", SAVE),
];

/// Fails if the first bytes cannot be those of a sheet in UTF-8.
pub(super) fn check_kind(sniff: &[u8]) -> Result<(), InputError> {
    let starts_with = |magic: &[u8]| {
        sniff.get(..magic.len()).is_some_and(|bytes| bytes.eq_ignore_ascii_case(magic))
    };
    if let Some((_, what, suggestion)) = MAGIC_BYTES.iter().find(|(magic, ..)| starts_with(magic)) {
        return Err(InputError::OtherKind { what, suggestion });
    }
    // UTF-16 without a BOM: every second byte of ASCII text is zero.
    match sniff {
        [0, _, ..] | [_, 0, ..] => Err(InputError::OtherKind { what: "UTF-16", suggestion: SAVE }),
        _ => Ok(()),
    }
}
