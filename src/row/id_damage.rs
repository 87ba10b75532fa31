//! What programs make of ids: the only reasons to refuse one, because ImageKit documents no shape.

use super::no_value::NO_ID_FIX;
use super::problem::Invalid;
use crate::findings::{has_invisible_character, is_not_available};

/// Significant digits that a spreadsheet program keeps of a number.
const DIGITS_KEPT: usize = 15;
/// Endings of file names.
const FILE_ENDINGS: [&str; 22] = [
    "jpg", "jpeg", "png", "gif", "webp", "svg", "avif", "heic", "tif", "tiff", "bmp", "ico", "psd",
    "mp4", "mov", "webm", "avi", "mp3", "wav", "pdf", "zip", "eps",
];
const LOST: &str = "export the sheet again with the ids as text";

/// Fails if the text is what a program makes of an id, or another name of the file.
pub(super) fn check_id(text: &str) -> Result<(), Invalid> {
    let invalid = |problem, suggestion| Err(Invalid::new(problem, suggestion));
    if is_plain(text) {
        return Ok(());
    }
    if text.contains("://") {
        return invalid(
            "is a URL, not an id",
            "put it into the column url; --map fileId=url reads the whole column so",
        );
    }
    if is_not_available(text) {
        return invalid("stands for no id", NO_ID_FIX);
    }
    if text.contains('/') {
        return invalid(
            "is a path, not an id",
            "put it into the column filePath, from the root: /a/b.jpg; --map fileId=filePath reads the \
             whole column so",
        );
    }
    if is_exponent(text) {
        return invalid("is what a spreadsheet makes of a long number: the id is lost", LOST);
    }
    if has_lost_digits(text) {
        return invalid(
            "ends in zeros, as a spreadsheet keeps only 15 digits of a number: the id is lost",
            LOST,
        );
    }
    if has_invisible_character(text) {
        return invalid("contains an invisible character, so it is no id", "write the id again");
    }
    if text.contains(['"', '\'', '`', '“', '”', '„', '‘', '’', '«', '»']) {
        return invalid("contains quotes, so it is no id", "write only the id");
    }
    if text.contains(',') {
        return invalid("contains a comma, so it is no id", "write one id per row");
    }
    if text.contains([';', '|']) && text.split([';', '|']).any(|part| is_imagekit_id(part.trim())) {
        return invalid("is an id and more, separated by ; or |", "write one id per row");
    }
    if text.contains(char::is_whitespace) {
        return invalid(
            "contains a blank, so it is no id",
            "write only the id, as ImageKit shows it",
        );
    }
    if has_file_ending(text) {
        return invalid(
            "is the name of a file, not an id",
            "put its path into the column filePath, from the root: /a/b.jpg",
        );
    }
    Ok(())
}

/// Whether the text has only letters, digits, hyphens and underscores of ASCII, but is no number: a
/// fast path for nearly all ids, in which no damage is possible.
fn is_plain(text: &str) -> bool {
    classes_of(text.as_bytes()) & (LETTER | OTHER) == LETTER
}

/// Whether a text has the shape of ImageKit's ids: hexadecimal digits.
pub(crate) fn is_imagekit_id(text: impl AsRef<[u8]>) -> bool {
    let text = text.as_ref();
    text.len() == ID_DIGITS && classes_of(text) & !(HEX_DIGIT | LETTER) == 0
}

/// Whether a text has the shape of ImageKit's ids and is no number, so that it can be nothing else: no
/// finding, no artefact and no damaged id. A fast path for nearly all ids.
pub(super) fn is_usual_id(text: &str) -> bool {
    text.len() == ID_DIGITS && classes_of(text.as_bytes()) == HEX_DIGIT | LETTER
}

/// Length of ImageKit's ids.
const ID_DIGITS: usize = 24;

/// A letter of ASCII, which is a hexadecimal digit or not.
const LETTER: u8 = 1;
const HEX_DIGIT: u8 = 2;
/// A byte that is no hexadecimal digit.
const NO_HEX: u8 = 4;
/// A byte that no plain id has.
const OTHER: u8 = 8;

/// The classes of all bytes of a text.
fn classes_of(text: &[u8]) -> u8 {
    text.iter().fold(0, |seen, byte| seen | CLASSES[usize::from(*byte)])
}

/// The classes of each byte.
const CLASSES: [u8; 256] = {
    let mut classes = [NO_HEX | OTHER; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        let hex = if byte.is_ascii_hexdigit() { HEX_DIGIT } else { NO_HEX };
        if byte.is_ascii_alphabetic() {
            classes[byte as usize] = LETTER | hex;
        } else if byte.is_ascii_digit() || byte == b'-' || byte == b'_' {
            classes[byte as usize] = hex;
        }
        byte += 1;
    }
    classes
};

/// `1.23457E+23`. Digits with a lone `e`, without a sign or point, can be an id.
fn is_exponent(text: &str) -> bool {
    let Some((number, exponent)) = text.split_once(['e', 'E']) else {
        return false;
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = number.split_once(['.', ',']).unwrap_or((number, "0"));
    let is_number = is_digits(whole) && is_digits(fraction);
    let has_mark = number.len() > whole.len() || exponent.starts_with('+');
    is_number && has_mark && is_digits(exponent.trim_start_matches('+'))
}

/// `123456789012345000000000` or `123.0`.
fn has_lost_digits(text: &str) -> bool {
    let digits = text.strip_suffix(".0");
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(digits) = digits {
        return !digits.is_empty() && is_digits(digits);
    }
    text.len() > DIGITS_KEPT + 1
        && is_digits(text)
        && text.bytes().skip(DIGITS_KEPT).all(|byte| byte == b'0')
}

/// Whether the text ends as the name of a file does.
pub(crate) fn has_file_ending(text: &str) -> bool {
    let ending = text.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| FILE_ENDINGS.contains(&ending.as_str()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::findings::CellKind;
    use crate::row::no_value;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn usual_id_can_be_nothing_else(id in "[0-9a-fA-F]{24}|[0-9]{10}[eE][0-9]{13}|[0-9]{24}") {
            if is_usual_id(&id) {
                prop_assert!(check_id(&id).is_ok());
                prop_assert!(no_value::is_plain(&id));
                prop_assert!(!CellKind::Id.can_show_finding(&id));
            }
        }
    }

    #[test]
    fn only_known_damage_is_refused() {
        for damaged in [
            "1.23457E+23",
            "1,23457E+23",
            "6e+35",
            "123456789012345000000000",
            "123.0",
            "/p/shoe.jpg",
            "https://ik.imagekit.io/a/shoe.jpg",
            "shoe.JPG",
            "a, b",
            "65a1f0c29b41d45b037cc000;65a1f0c29b41d45b037cc001",
            "65a1f0c29b41d45b037cc000|red",
            "new shoe",
            "65a1f0c2\u{200b}",
            "“65a1f0c2”",
            "65a1f0c2'",
        ] {
            assert!(check_id(damaged).is_err(), "{damaged}");
        }
        for id in [
            "65a1f0c29b41d45b037cc000",
            "123456789012345678901e23",
            "123456789012345678901234",
            "1e10",
            "a",
            "9f8e-x_Y.z",
            "id:7",
            "a;b",
            "größe",
        ] {
            assert!(check_id(id).is_ok(), "{id}");
        }
    }
}
