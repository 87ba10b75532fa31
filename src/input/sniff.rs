//! Detects files that are not UTF-8 sheets by their first bytes: other encodings and file types.

use super::InputError;

/// Number of bytes to inspect.
pub(super) const SNIFFED_BYTES: u64 = 16;

const SAVE: &str = "save it as “CSV UTF-8”";
const OPEN: &str = "open it in a spreadsheet program, and save it as “CSV UTF-8”";
const IMAGE_FIX: &str = "name a sheet, whose rows name the images";

/// Magic bytes, the kind of file, and the fix. The first match wins.
const MAGIC_BYTES: [(&[u8], &str, &str); 21] = [
    (b"\xFF\xFE\0\0", "UTF-32", SAVE),
    (b"\0\0\xFE\xFF", "UTF-32", SAVE),
    (b"\xFF\xFE", "UTF-16", SAVE),
    (b"\xFE\xFF", "UTF-16", SAVE),
    (b"\0\0", "damaged (it starts with NUL bytes)", "export or copy it again"),
    (b"PK\x03\x04", "a workbook or ZIP file", "leave out --format"),
    (b"\xD0\xCF\x11\xE0", "a workbook in an old format", "save it as XLSX"),
    (b"\x1F\x8B", "compressed with gzip", "decompress it"),
    (b"%PDF-", "a PDF", SAVE),
    (b"\x89PNG", "an image", IMAGE_FIX),
    (b"\xFF\xD8\xFF", "an image", IMAGE_FIX),
    (b"GIF8", "an image", IMAGE_FIX),
    (b"RIFF", "an image or sound", IMAGE_FIX),
    (b"<TABLE", "a web page", OPEN),
    (b"<HTML><TABLE", "a web page", OPEN),
    (b"<HTML><BODY><TAB", "a web page", OPEN),
    // Excel declares its own names, such as xmlns:x.
    (b"<HTML XMLNS:", "a web page, as programs save sheets for Excel", OPEN),
    (b"<!DOCTYPE", "a web page", "download the sheet itself"),
    (b"<HTML", "a web page", "download the sheet itself"),
    (b"<?XML", "an XML file", SAVE),
    (b"{\\rtf", "an RTF document", "save it as plain text, or as “CSV UTF-8”"),
];

/// Fails if the first bytes cannot be those of a sheet in UTF-8.
pub(super) fn check_kind(sniff: &[u8]) -> Result<(), InputError> {
    // Programs write blanks before the first tag.
    let text = sniff.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(sniff).trim_ascii_start();
    let starts_with = |magic: &[u8]| {
        let has = |from: &[u8]| {
            from.get(..magic.len()).is_some_and(|bytes| bytes.eq_ignore_ascii_case(magic))
        };
        has(sniff) || magic.starts_with(b"<") && has(text)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_sheets_are_named() {
        for (bytes, what) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], "an image"),
            (b"\xFF\xD8\xFF\xE0\0\x10JFIF", "an image"),
            (b"RIFF\x24\x10\0\0WEBPVP8 ", "an image or sound"),
            (b"<table><tr><td>f", "a web page"),
            (b"\xEF\xBB\xBF\r\n <HTML>", "a web page"),
            (b"<html xmlns:x=\"urn:schemas-microsoft-com:office:excel\">", "for Excel"),
            (b"{\\rtf1\\ansi fileId", "an RTF document"),
            (b"f\0i\0l\0e\0I\0d\0", "UTF-16"),
        ] {
            let error = check_kind(bytes).expect_err("it is no sheet").to_string();
            assert!(error.contains(what), "{error}");
        }
        assert!(check_kind(b"fileId,tags\na,x\n").is_ok() && check_kind(b"").is_ok());
    }
}
