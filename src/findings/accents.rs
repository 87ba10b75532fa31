//! Recognizes UTF-8 that was read in another encoding.

/// The characters of Windows-1252 for the bytes from 0x80 to 0x9F; undefined bytes are kept as
/// control characters, as browsers do. From the WHATWG Encoding Standard.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];
/// The first byte of most accented letters in UTF-8, in Mac Roman and in the DOS code pages.
const OTHER_LEADS: [char; 2] = ['√', '├'];

/// Whether the text has characters that are the bytes of UTF-8, one by one.
pub(super) fn has_broken_accents(text: &str) -> bool {
    if text.is_ascii() {
        return false;
    }
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
    fn utf_8_read_as_windows_1252_is_recognized() {
        for text in [
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
        ] {
            assert!(!has_broken_accents(text), "{text}");
        }
    }
}
