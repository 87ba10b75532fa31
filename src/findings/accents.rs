//! Recognizes UTF-8 that was read in another encoding.
//!
//! A single sequence such as `É”` can be both: UTF-8 for one letter, and the end of a quotation. So a
//! sequence counts only where no language writes it: with a mark that never follows a letter, with a
//! capital within a word in lower case, or several in a row.

use std::collections::HashSet;
use std::sync::LazyLock;

use encoding_rs::{
    BIG5, EUC_KR, Encoding, GBK, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252, WINDOWS_1253,
    WINDOWS_1255, WINDOWS_1256, WINDOWS_1257,
};

use super::utf8_words::{first_of, has_words_of_utf8};

/// Marks that never follow a letter directly. Quotes, dashes, a no-break blank, ® and the like do.
const ODD_MARKS: &str = "‰†‡ƒˆ˜¶¤©¨¬¦¢±¸¯¿¡£¥µ‚„¼¾§€‹˘˛ˇ˝˙";
/// Signs that begin with 0xC2 in UTF-8, and that no word of one letter has.
const SIGNS: &str = "°®©±²³·¶§¬½¼¾ºª";
/// Letters that no language writes after `Ã`, `Ä` or `Å`.
const ODD_LETTERS: &str = "œŸ";
/// Letters that no language writes after `Ã`, or after `Ă`.
const ODD_AFTER_A: [(char, &str); 2] = [('Ã', "ŠŒŽšž"), ('Ă', "ŚśŹźŤ")];
/// Punctuation and signs whose UTF-8 was read in Mac Roman or a DOS code page.
const OTHER_SIGNS: [&str; 11] =
    ["‚Äô", "‚Äò", "‚Äì", "‚Äî", "‚Äú", "‚Äù", "‚Ä¶", "‚Ç¨", "¬∞", "ÔÇ", "Ôé¼"];
/// Rare characters of Chinese with which the UTF-8 of Japanese begins in Shift JIS, and that of
/// undecoded characters in GBK.
const EAST_ASIAN_LEADS: &str = "繝繧縺锟";
/// The first byte of most accented and Cyrillic letters in UTF-8, in Mac Roman and in the DOS code pages.
const OTHER_LEADS: [char; 5] = ['√', '├', '┬', '╨', '╤'];
/// What follows `├` and `┬` in drawings; any line follows `╨` and `╤`.
const LINES: &str = "─├└┬┴┼┤┐┘│";

/// An encoding in which UTF-8 may have been read.
struct Reading {
    /// The characters of the bytes from 0x80 to 0xBF, which continue a character in UTF-8.
    continuations: Vec<char>,
    /// The characters of the bytes with which Latin letters begin, 0xC3 to 0xC5.
    latin: [char; 3],
    /// The character of 0xC2, with which signs and blanks begin.
    signs: char,
    /// The character of 0xE2, with which punctuation begins.
    punctuation: char,
    /// The characters of 0xF0 and 0x9F, with which emoji begin.
    emoji: [char; 2],
    /// The characters of the bytes with which Cyrillic letters begin, 0xD0 and 0xD1.
    cyrillic: [char; 2],
}

static READINGS: LazyLock<[Reading; 7]> = LazyLock::new(|| {
    [
        WINDOWS_1252,
        WINDOWS_1250,
        WINDOWS_1251,
        WINDOWS_1253,
        WINDOWS_1255,
        WINDOWS_1256,
        WINDOWS_1257,
    ]
    .map(Reading::of)
});

/// Characters of East Asian encodings whose two bytes are the UTF-8 of a Latin letter with an accent.
static EAST_ASIAN_LETTERS: LazyLock<HashSet<char>> = LazyLock::new(|| {
    let of_encoding =
        |encoding| (0x80..=0xBF).filter_map(move |byte| first_of(encoding, &[0xC3, byte]));
    [GBK, BIG5, EUC_KR].into_iter().flat_map(of_encoding).collect()
});

/// Whether the text has characters that are the bytes of UTF-8, one by one.
pub(super) fn has_broken_accents(text: &str) -> bool {
    if text.is_ascii() {
        return false;
    }
    let chars: Vec<char> = text.chars().collect();
    let is_other_lead = |pair: &[char]| match pair {
        [lead, next] => {
            let is_drawing = match lead {
                '├' | '┬' => LINES.contains(*next),
                '╨' | '╤' => ('\u{2500}'..='\u{257f}').contains(next),
                _ => false,
            };
            OTHER_LEADS.contains(lead) && !next.is_ascii() && !next.is_whitespace() && !is_drawing
        }
        _ => false,
    };
    let is_control = |c: &char| matches!(*c, '\u{80}'..='\u{84}' | '\u{86}'..='\u{9f}');
    let east_asian = chars.iter().filter(|c| EAST_ASIAN_LEADS.contains(**c)).count();
    chars.windows(2).any(is_other_lead)
        || chars.iter().any(is_control)
        || east_asian >= 2
        || OTHER_SIGNS.iter().any(|sign| text.contains(sign))
        || READINGS.iter().any(|reading| reading.is_in(&chars))
        || has_words_of_utf8(text)
        || has_east_asian_letter(&chars)
}

/// Whether a word in Latin letters has characters of Chinese, Japanese or Korean that stand for its accented
/// letters, as in `caf茅`. A word of such characters can follow Latin letters.
fn has_east_asian_letter(chars: &[char]) -> bool {
    let is_east_asian = |c: char| c >= '\u{1100}' && c.is_alphabetic();
    let is_letter = |c: char| EAST_ASIAN_LETTERS.contains(&c);
    // The two bytes of a letter, as Shift JIS reads them.
    let is_pair = |chars: &[char]| matches!(chars, ['ﾃ', '｡'..='ｿ', ..]);
    (1..chars.len()).any(|at| {
        let (before, letters) = chars.split_at(at);
        let length = match letters.iter().take_while(|c| is_letter(**c)).count() {
            0 if is_pair(letters) => 2,
            length => length,
        };
        before.last().is_some_and(char::is_ascii_lowercase)
            && length > 0
            && !letters.get(length).is_some_and(|c| is_east_asian(*c))
    })
}

impl Reading {
    fn of(encoding: &'static Encoding) -> Self {
        let of_byte = |byte: u8| {
            let bytes = [byte];
            let (text, _) = encoding.decode_without_bom_handling(&bytes);
            text.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER)
        };
        Self {
            continuations: (0x80..=0xBF).map(of_byte).collect(),
            latin: [0xC3, 0xC4, 0xC5].map(of_byte),
            signs: of_byte(0xC2),
            punctuation: of_byte(0xE2),
            emoji: [0xF0, 0x9F].map(of_byte),
            cyrillic: [0xD0, 0xD1].map(of_byte),
        }
    }

    fn is_in(&self, chars: &[char]) -> bool {
        (0..chars.len()).any(|at| {
            let (before, here) = chars.split_at(at);
            self.begins_at(before.last(), here)
        })
    }

    /// Whether a character of UTF-8 begins here, after the character `before`.
    fn begins_at(&self, before: Option<&char>, chars: &[char]) -> bool {
        let [lead, next, rest @ ..] = chars else { return false };
        let continues = |c: &char| self.continuations.contains(c);
        if !continues(next) {
            return false;
        }
        let third = rest.first().is_some_and(continues);
        // Scripts that have no letters in common do not meet within a word.
        let is_semitic = ('\u{590}'..='\u{6ff}').contains(lead) && self.latin.contains(lead);
        if is_semitic && before.is_some_and(char::is_ascii_alphabetic) {
            return true;
        }
        if self.latin.contains(lead) {
            let is_within_word = before.is_some_and(|c| c.is_lowercase()) && lead.is_uppercase();
            let is_odd_after =
                |(first, letters): &(char, &str)| first == lead && letters.contains(*next);
            let is_odd = ODD_LETTERS.contains(*next) || ODD_AFTER_A.iter().any(is_odd_after);
            let is_apart = |c: Option<&char>| c.is_none_or(|c| c.is_whitespace() || c.is_numeric());
            let is_times = *next == '—' && is_apart(before) && is_apart(rest.first());
            let begins_word = before.is_none_or(|c| !c.is_alphanumeric());
            return is_within_word
                || is_odd
                || is_times
                || *next == '°' && begins_word
                || ODD_MARKS.contains(*next);
        }
        if *lead == self.signs {
            if *next == '\u{a0}' {
                return before.is_some_and(|c| c.is_numeric());
            }
            let is_number = matches!(before, Some('N' | 'n')) && *next == 'º';
            let is_sign = !before.is_some_and(|c| c.is_alphabetic()) && SIGNS.contains(*next);
            return is_number || is_sign;
        }
        if *lead == self.punctuation {
            let begins = [self.continuations.first(), self.continuations.get(4)];
            let is_euro = *next == '‚' && rest.first() == Some(&'¬');
            let begins_arrow = *next == '†';
            return third && (begins.contains(&Some(next)) || is_euro || begins_arrow);
        }
        if [*lead, *next] == self.emoji {
            return third && rest.get(1).is_some_and(continues);
        }
        let is_cyrillic = |c: &char| self.cyrillic.contains(c);
        is_cyrillic(lead)
            && matches!(rest, [lead, next, ..] if is_cyrillic(lead) && continues(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf_8_read_in_another_encoding_is_recognized() {
        for text in [
            "cafÃ©",
            "GrÃ¶ÃŸe",
            "ÃœbergrÃ¶ÃŸe",
            "50 Â°C",
            "itâ€™s new",
            "Nike â€“ red",
            "Ð¿Ñ€Ð¸Ð²ÐµÑ‚",
            "æ—¥æœ¬",
            "ðŸ˜€ new",
            "Å‚Ã³dÅº",
            "Gr√∂√üe",
            "caf├®",
            "f├╝r",
            "cafĂ©",
            "GrĂ¶Ăźe",
            "Ĺ‚Ăłdka",
            "itâ€™s",
            "РїСЂРёРІРµС‚",
            "cafГ©",
            "itвЂ™s",
            "50 В°C",
            "19 â‚¬",
            "Ãœbersicht",
            "ÃŠtes",
            "ÃŽLE",
            "20 Ã— 30 cm",
            "NÂº 5",
            "1Âº",
            "5Â\u{a0}cm",
            "Ä°ndirim",
            "ÅŸapka",
            "ÄŸ",
            "StraÃ\u{9f}e",
            "itâ\u{80}\u{99}s",
            "Ăśber",
            "it‚Äôs new",
            "50 ¬∞C",
            "19 ‚Ç¨",
            "itÔÇÖs",
            "50 ┬░C",
            "繧ｷ繝｣繝・",
            "cafΓ©",
            "cafĆ©",
            "caf茅",
            "Gr枚脽e",
            "caf矇",
            "caf챕",
            "cafﾃｩ",
            "cafֳ©",
            "Grֳ¶e",
            "Kֳ₪se",
            "cafأ©",
            "Grأ¶أںe",
            "A â†’ B",
            "╨Ь╨╛╤Б╨║╨▓╨░",
        ] {
            assert!(has_broken_accents(text), "{text}");
        }
    }

    #[test]
    fn proper_text_of_other_scripts_is_not_broken() {
        for text in [
            "├─┬ src",
            "ΚΑΦΕΣ",
            "Καφές «ΝΕΟ» 50€",
            "μεγάλη προσφορά",
            "ΈΝΑ Ώρα",
            "Ąžuolas",
            "maksā 5€",
            "Ēna „Zilā”",
            "ÄÄR",
            "MANHÃ—NOITE",
            "NÃO",
            "Ăștia",
            "Nº 5",
            "voilà†",
            "日本語の繊維",
            "T恤 vivo每日 iPhone没电",
            "茅台 酒",
            "ﾃﾚﾋﾞ",
            "كتاب آلة، أ؟",
            "USB أسود",
            "رگ رک کرکٹ",
            "فارسی «گرگ»",
            "שָׁלוֹם חֳדָשִׁים",
            "mit 챕터",
            "25mmﾃｰﾌﾟ iPhoneﾃｽﾄ kgﾃﾝﾄ miniﾃｨｯｼｭ",
            "╔═╤═╗",
        ] {
            assert!(!has_broken_accents(text), "{text}");
        }
    }

    /// Among them what is UTF-8 byte by byte, and is written by people.
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
            "Зі знижкою 20%",
            "Ці кросівки легкі",
            "КРЕМ ЗІ СМАКОМ",
            "CAPACITÉ\u{a0}: 5 L",
            "«\u{a0}Beauté\u{a0}»",
            "Farbe „weiß“",
            "weiß–blau",
            "10 Fuß²",
            "groß\u{a0}5 cm",
            "Ø\u{a0}30 mm",
            "30 ×\u{a0}20 cm",
            "2×½ l",
            "NESCAFÉ® Gold",
            "CAFÉ™",
            "“CAFÉ” poster",
            "PRIVÉ–SAUNA",
            "”BLÅ” tröja",
            "“MAÇÔ",
            "«PERÚ»",
            "“CAFFÈ”",
            "”HYVÄ”",
            "“BÜYÜ”",
            "DĹŽKA 20 CM",
            "CĂŞTI WIRELESS",
            "„DAMĂ”",
            "С\u{a0}1 мая",
            "в\u{a0}«OZON»",
            "В\u{a0}2026 году",
            "├── src",
        ] {
            assert!(!has_broken_accents(text), "{text}");
        }
    }
}
