//! Recognizes words whose UTF-8 was read in another encoding, by turning them back.

use std::collections::HashMap;
use std::str::from_utf8;
use std::sync::LazyLock;

use encoding_rs::{
    BIG5, EUC_KR, Encoding, GBK, SHIFT_JIS, WINDOWS_874, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252,
    WINDOWS_1253, WINDOWS_1254, WINDOWS_1255, WINDOWS_1256, WINDOWS_1257, WINDOWS_1258,
};

/// Encodings in which the UTF-8 of whole words is read, also of other scripts.
static ENCODINGS: [&Encoding; 14] = [
    WINDOWS_1250,
    WINDOWS_1251,
    WINDOWS_1252,
    WINDOWS_1253,
    WINDOWS_1254,
    WINDOWS_1255,
    WINDOWS_1256,
    WINDOWS_1257,
    WINDOWS_1258,
    WINDOWS_874,
    GBK,
    BIG5,
    EUC_KR,
    SHIFT_JIS,
];
/// Characters at the beginning of a word that are tried first: they rule out nearly all encodings.
const BEGINNING: usize = 3;

/// The characters whose bytes can begin a word in UTF-8, with the encodings in which they do, as bits.
static BEGINNINGS: LazyLock<HashMap<char, u16>> = LazyLock::new(|| {
    let mut beginnings: HashMap<char, u16> = HashMap::new();
    for (index, encoding) in ENCODINGS.iter().enumerate() {
        for lead in 0xC3..=0xED {
            let of_two = (0x80..=0xBF).filter_map(|next| first_of(encoding, &[lead, next]));
            for c in of_two {
                *beginnings.entry(c).or_default() |= 1 << index;
            }
        }
    }
    beginnings
});

/// The first character of the bytes, if it is not ASCII.
pub(super) fn first_of(encoding: &'static Encoding, bytes: &[u8]) -> Option<char> {
    let (text, has_errors) = encoding.decode_without_bom_handling(bytes);
    text.chars().next().filter(|c| !has_errors && !c.is_ascii())
}

/// Whether all that is not ASCII in a text is the UTF-8 of letters, at least two, in the same encoding.
pub(super) fn has_words_of_utf8(text: &str) -> bool {
    let words = || text.split(|c: char| c.is_ascii()).filter(|word| !word.is_empty());
    let Some(word) = words().next() else { return false };
    let first = word.chars().next().unwrap_or_default();
    let candidates = BEGINNINGS.get(&first).copied().unwrap_or_default();
    let beginning = word.char_indices().nth(BEGINNING).map_or(word, |(end, _)| &word[..end]);
    let mut encodings =
        ENCODINGS.iter().enumerate().filter(|(index, _)| candidates & (1 << index) != 0);
    encodings.any(|(_, encoding)| {
        let letters = |word| letters_of_utf8(encoding, word);
        letters(beginning).is_some()
            && words().try_fold(0, |sum, word| Some(sum + letters(word)?)).is_some_and(|it| it > 1)
    })
}

/// The number of letters whose UTF-8 a word is in an encoding; `None` if it is anything else. The last one
/// can be incomplete: a byte that the encoding does not have was lost.
fn letters_of_utf8(encoding: &'static Encoding, word: &str) -> Option<usize> {
    let (bytes, _, has_unmappable) = encoding.encode(word);
    let letters = match from_utf8(&bytes) {
        Ok(letters) => letters,
        Err(error) if error.error_len().is_none() => {
            from_utf8(bytes.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    (!has_unmappable && letters.chars().all(is_of_known_script)).then(|| letters.chars().count())
}

/// Whether a letter or mark is of a script in which many sheets are written. Those of rare scripts can come
/// about by chance.
fn is_of_known_script(c: char) -> bool {
    matches!(
        c,
        '\u{c0}'..='\u{24f}'
            | '\u{370}'..='\u{52f}'
            | '\u{590}'..='\u{6ff}'
            | '\u{e00}'..='\u{e7f}'
            | '\u{1ea0}'..='\u{1eff}'
            | '\u{3000}'..='\u{30ff}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{ac00}'..='\u{d7a3}'
            | '\u{ff00}'..='\u{ffef}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_every_script_are_recognized() {
        for text in [
            "ظ‚ط±ظ…ط²",
            "׳©׳?׳•׳?",
            "Ξ‘ΞΈΞ®Ξ½Ξ±",
            "เธชเธตเน",
            "绾㈣壊",
            "鏉变含",
            "袦芯褋泻胁邪",
            "鍮④컯",
        ] {
            assert!(has_words_of_utf8(text), "{text}");
        }
    }

    #[test]
    fn proper_words_are_no_utf8() {
        for text in [
            "เขตแดน เธอ",
            "รองเท้าผ้าใบ",
            "红色 连衣裙 夏季新款 棉质 长袖 商务休闲 运动鞋 手机壳",
            "紅色 連衣裙 夏季新款",
            "빨간색 원피스 여름 신상",
            "قميص أحمر، مقاس كبير",
            "Αθήνα, κόκκινο φόρεμα ΝΈΑ",
            "красное платье чай шаг",
            "Đỏ, váy mùa hè, áo khoác",
            "ÇİĞDEM şık elbise",
        ] {
            assert!(!has_words_of_utf8(text), "{text}");
        }
    }
}
