//! Recognizes UTF-8 that was read in another encoding.

use encoding_rs::{Encoding, WINDOWS_1250, WINDOWS_1251};

/// The characters of Windows-1252 for the bytes from 0x80 to 0x9F; undefined bytes are kept as
/// control characters, as browsers do. From the WHATWG Encoding Standard.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];
/// The first byte of most accented letters in UTF-8, in Mac Roman and in the DOS code pages.
const OTHER_LEADS: [char; 2] = ['√', '├'];

/// First bytes of letters of Latin scripts and of punctuation in UTF-8. Others are read as letters that
/// follow each other in Central European words too, such as ÓŁ.
const LATIN_LEADS: [u8; 5] = [0xC2, 0xC3, 0xC4, 0xC5, 0xE2];

/// Whether the text has characters that are the bytes of UTF-8, one by one.
pub(super) fn has_broken_accents(text: &str) -> bool {
    !text.is_ascii()
        && (was_read_as_western(text)
            || was_read_as(WINDOWS_1250, text, |lead| LATIN_LEADS.contains(&lead))
            || was_read_as(WINDOWS_1251, text, |_| true))
}

/// Whether a run of characters beyond ASCII is UTF-8 in this encoding, and begins with such a byte.
fn was_read_as(encoding: &'static Encoding, text: &str, is_lead: impl Fn(u8) -> bool) -> bool {
    let mut runs = text.split(|c: char| c.is_ascii()).filter(|run| run.chars().nth(1).is_some());
    runs.any(|run| {
        let (bytes, _, has_unmappable) = encoding.encode(run);
        !has_unmappable && is_utf_8(&bytes) && bytes.first().is_some_and(|lead| is_lead(*lead))
    })
}

fn was_read_as_western(text: &str) -> bool {
    let mut run = Vec::new();
    let mut previous = ' ';
    for c in text.chars() {
        if OTHER_LEADS.contains(&previous) && !c.is_ascii() && !c.is_whitespace() {
            return true;
        }
        previous = c;
        match byte_of(c) {
            Some(byte) => run.push(byte),
            None if is_utf_8(&run) => return true,
            None => run.clear(),
        }
    }
    is_utf_8(&run)
}

/// The byte of a character beyond ASCII in Windows-1252.
fn byte_of(c: char) -> Option<u8> {
    let special = WINDOWS_1252.iter().position(|special| *special == c);
    if let Some(index) = special {
        return u8::try_from(index + 0x80).ok();
    }
    u8::try_from(c).ok().filter(|byte| *byte >= 0xA0)
}

/// Whether bytes beyond ASCII are characters of UTF-8.
fn is_utf_8(run: &[u8]) -> bool {
    run.len() >= 2 && std::str::from_utf8(run).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf_8_read_in_another_encoding_is_recognized() {
        for text in [
            "cafĂ©",
            "GrĂ¶Ăźe",
            "Ĺ\u{81}ĂłdĹş",
            "itâ€™s",
            "РїСЂРёРІРµС‚",
            "cafГ©",
            "cafÃ©",
            "GrÃ¶ÃŸe",
            "50 Â°C",
            "itâ€™s new",
            "Ð¿Ñ€Ð¸Ð²ÐµÑ‚",
            "æ—¥æœ¬",
            "Gr√∂√üe",
            "caf├®",
        ] {
            assert!(has_broken_accents(text), "{text}");
        }
    }

    #[test]
    fn proper_text_is_not_broken() {
        for text in [
            "café",
            "Größe",
            "50 °C",
            "it’s “new”",
            "привет",
            "日本",
            "ÄÖÜ",
            "São Paulo",
            "√2",
            "Ã",
            "naïve…",
            "PÓŁKA",
            "Łódź",
            "příliš žluťoučký",
            "Рёбра",
            "Рік",
            "ПРИВЕТ",
            "árvíztűrő",
        ] {
            assert!(!has_broken_accents(text), "{text}");
        }
    }
}
