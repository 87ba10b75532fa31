//! What a single text shows.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;

/// Whether a text is `#N/A` or `n/a`.
pub(crate) fn is_not_available(text: &str) -> bool {
    let text = text.trim();
    text.strip_prefix('#').unwrap_or(text).eq_ignore_ascii_case("n/a")
}

/// Whether a text is in straight quotes or apostrophes, and has none of them inside.
pub(super) fn is_in_quotes(text: &str) -> bool {
    let inside = |quote| text.strip_prefix(quote).and_then(|rest: &str| rest.strip_suffix(quote));
    let is_around =
        |quote| inside(quote).is_some_and(|inside| !inside.is_empty() && !inside.contains(quote));
    is_around('"') || is_around('\'')
}

/// Whether a text begins with the apostrophe that a spreadsheet shows only while the cell is edited. Words
/// such as `'90s` and `'s-Hertogenbosch` have one of their own, and names in apostrophes a second one.
pub(super) fn has_apostrophe(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('\'') else { return false };
    rest.chars().take(2).filter(|c| c.is_alphabetic()).count() == 2 && !rest.contains('\'')
}

/// Whether a text has a zero-width, direction, no-break or control character. Joiners count only
/// between ASCII letters: scripts and emoji need them.
pub(crate) fn has_invisible_character(text: &str) -> bool {
    if has_control_character(text) {
        return true;
    }
    !text.is_ascii()
        && text.chars().any(|c| {
            matches!(
                c,
                '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202f}'
                    | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{a0}' | '\u{ad}' | '\u{2007}'
            )
        })
}

/// Whether a text has a control character other than a tab or line end. NUL is a problem of its own.
pub(super) fn has_control_character(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && !matches!(c, '\0' | '\t' | '\n' | '\r'))
}

/// Whether the text is a formula: a call, a reference to a cell, or a text that is put together.
pub(super) fn is_formula(text: &str) -> bool {
    let Some(formula) = text.strip_prefix('=') else { return false };
    let formula = formula.trim_start().trim_start_matches(['+', '-', '@', '(']);
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '$');
    let name = formula.find(|c| !is_name(c)).map_or(formula, |end| &formula[..end]);
    let after = formula.get(name.len()..).unwrap_or_default();
    let begins_with = |c: char| after.starts_with(c);
    match name {
        "" => formula.starts_with(['#', '"', '\'']),
        _ if is_reference(name) => {
            let after = after.trim_start();
            after.is_empty() || after.starts_with(|c: char| "+-*/&:^=<>,;)!".contains(c))
        }
        _ if begins_with('(') => formula.contains(')') && is_function(name),
        _ => begins_with('!') && after.len() > 1,
    }
}

/// Whether a name is that of a function, which programs write in capitals.
fn is_function(name: &str) -> bool {
    let name = name.strip_prefix("_xlfn.").unwrap_or(name);
    !name.is_empty() && !name.contains(char::is_lowercase)
}

/// Whether a name is that of a cell: `A1`, `$B$12`.
fn is_reference(name: &str) -> bool {
    let name = name.replace('$', "");
    let letters = name.bytes().take_while(u8::is_ascii_uppercase).count();
    let row = name.get(letters..).unwrap_or_default();
    (1..=3).contains(&letters)
        && (1..=7).contains(&row.len())
        && row.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text begins or ends with a blank.
pub(super) fn has_outer_blank(text: &str) -> bool {
    const BLANKS: [char; 3] = [' ', '\t', '\u{a0}'];
    text.starts_with(BLANKS) || text.ends_with(BLANKS)
}

/// Whether an accent follows its letter as a character of its own, and Unicode has one for both.
pub(super) fn has_decomposed_letter(text: &str) -> bool {
    let is_accent = |c: char| ('\u{300}'..='\u{36f}').contains(&c);
    !text.is_ascii()
        && text
            .chars()
            .zip(text.chars().skip(1))
            .any(|(letter, c)| letter.is_alphabetic() && is_accent(c))
        && composed(text) != text
}

/// The text with each accent composed with its letter, where Unicode has such a character (NFC).
pub(crate) fn composed(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    ComposingNormalizerBorrowed::new_nfc().normalize(text)
}

/// Whether the new text is the old one with question marks in place of its characters beyond ASCII, or
/// without its letters beyond ASCII.
#[must_use]
pub(crate) fn has_lost_accents(old: &str, new: &str) -> bool {
    // A program that reads bytes writes one for each.
    let by_byte = || {
        let marks = |c: char| if c.is_ascii() { c.to_string() } else { "?".repeat(c.len_utf8()) };
        new.contains('?') && old.chars().map(marks).collect::<String>() == new
    };
    let is_kept = |(old, new): (char, char)| old == new || !old.is_ascii() && new == '?';
    let is_left_out = || {
        let kept = || old.chars().filter(|c| c.is_ascii() || !c.is_alphabetic());
        new.chars().any(char::is_alphabetic) && kept().eq(new.chars())
    };
    !old.is_ascii()
        && old != new
        && (by_byte()
            || is_left_out()
            || old.chars().count() == new.chars().count()
                && old.chars().zip(new.chars()).all(is_kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_recognized() {
        for text in [
            "=VLOOKUP(A2,Sheet2!A:B,2,0)",
            "=IF(1,2,3)",
            "=SVERWEIS(A2;B:C;2;0)",
            "=TEXT(123,\"00000\")",
            "=#REF!",
            "=A2",
            "=$A$2&\" x\"",
            "=Sheet2!A1",
            "='My sheet'!A1",
            "=\"a\"&B2",
            "=-A1*2",
            "=_xlfn.CONCAT(A1:A3)",
        ] {
            assert!(is_formula(text), "{text}");
        }
        for text in [
            "=",
            "==",
            "=1+1",
            "= red",
            "=)",
            "=D",
            "E=mc2",
            "=Abc2",
            "=SALE!",
            "=A4 Papier",
            "=f(x)",
        ] {
            assert!(!is_formula(text), "{text}");
        }
    }

    #[test]
    fn lost_accents_are_recognized() {
        assert!(has_lost_accents("Größe café", "Gr??e caf?"));
        assert!(has_lost_accents("Größe", "Gr????e"));
        assert!(has_lost_accents("Größe", "Gre") && has_lost_accents("café rouge", "caf rouge"));
        for (old, new) in [
            ("Größe", "Größe"),
            ("why", "why?"),
            ("Größe", "Gr?e"),
            ("ab", "a?"),
            ("Größe", "Grosse"),
            ("Nike™", "Nike"),
            ("日本", ""),
        ] {
            assert!(!has_lost_accents(old, new), "{old} {new}");
        }
    }

    #[test]
    fn look_alike_words_are_recognized() {
        assert!(has_invisible_character("re\u{200b}d") && has_invisible_character("on\u{a0}sale"));
        for control in ['\u{7}', '\u{b}', '\u{1d}', '\u{7f}', '\u{85}'] {
            assert!(has_invisible_character(&format!("red{control}blue")), "{control:?}");
        }
        assert!(!has_invisible_character("on sale é\t\r\n"));
        assert!(has_decomposed_letter("cafe\u{301}") && !has_decomposed_letter("café"));
        assert!(!has_decomposed_letter("за\u{301}мок"), "Unicode has no such letter");
        assert_eq!(composed("cafe\u{301}"), "café");
    }

    #[test]
    fn texts_in_quotes_are_recognized() {
        for text in ["\"A shoe\"", "'A shoe'", "'00123'"] {
            assert!(is_in_quotes(text), "{text}");
        }
        for text in ["\"A\" and \"B\"", "'", "\"\"", "A 'b'", "5'"] {
            assert!(!is_in_quotes(text), "{text}");
        }
        for text in ["'90s", "'s-Hertogenbosch", "'Guernica', 1937"] {
            assert!(!has_apostrophe(text), "{text}");
        }
        assert!(has_apostrophe("'red") && !has_apostrophe("it's"));
    }
}
