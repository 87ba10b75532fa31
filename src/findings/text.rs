//! What a single text shows.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;

/// Separators that people and programs use. A middle dot is none: Japanese has it within words.
const SEPARATORS: [&str; 18] = [
    ";", "|", "\t", "；", "，", "、", "،", "؛", "｜", "／", "•", " / ", "~", "<br>", "<br/>",
    "<br />", "\\n", ",",
];
/// Digits that a spreadsheet keeps of a number.
pub(super) const DIGITS_KEPT: usize = 15;
/// Short names of months in lower case, as spreadsheets print them in Western Europe.
const MONTHS: [&str; 39] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
    "jän", "mrz", "mär", "mai", "maj", "mrt", "mei", "okt", "dez", "des", "janv", "févr", "mars",
    "avr", "juin", "juil", "août", "déc", "ene", "abr", "ago", "dic", "gen", "fev", "giu", "lug",
];
/// Short names of months in other languages, and those that are words too. They count only without a blank:
/// `Set 1` is no date.
const MONTHS_OR_WORDS: [&str; 57] = [
    "mag", "set", "ott", "out", "sty", "lut", "kwi", "cze", "lip", "sie", "wrz", "paź", "lis",
    "gru", "oca", "şub", "nis", "haz", "tem", "ağu", "eyl", "eki", "kas", "ara", "янв", "фев",
    "мар", "апр", "май", "мая", "июн", "июл", "авг", "сен", "сент", "окт", "ноя", "нояб", "дек",
    "січ", "лют", "бер", "кві", "тра", "чер", "лип", "сер", "вер", "жов", "гру", "márc", "ápr",
    "máj", "jún", "júl", "szept", "ian",
];
/// Characters that begin or end a curly quotation.
const CURLY_QUOTES: [char; 9] = ['“', '”', '„', '‟', '«', '»', '‘', '‚', '‹'];

/// Whether a text is what a spreadsheet makes of a long number: it has an exponent, or only zeros after
/// 15 digits.
#[must_use]
pub(crate) fn is_long_number(text: &str) -> bool {
    let text = text.trim();
    if let Some((mantissa, exponent)) = text.split_once(['E', 'e']) {
        let has_point = mantissa.contains(['.', ',']);
        let digits = exponent.strip_prefix('+');
        let exponent = digits.unwrap_or(exponent);
        return (has_point || digits.is_some())
            && is_digits(&mantissa.replacen(['.', ','], "", 1))
            && is_digits(exponent);
    }
    is_digits(text)
        && text
            .get(DIGITS_KEPT..)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte == b'0'))
}

/// Whether a text is a long number with an exponent, as spreadsheets show numbers of 12 digits and more, or
/// with zeros after 15 digits.
pub(super) fn has_lost_digits(text: &str) -> bool {
    const EXPONENT_MIN: u32 = 10;
    is_long_number(text)
        && text.rsplit_once(['E', 'e']).is_none_or(|(_, exponent)| {
            exponent.trim_start_matches('+').parse().is_ok_and(|it: u32| it >= EXPONENT_MIN)
        })
}

/// Whether a text is `#N/A` or `n/a`.
pub(crate) fn is_not_available(text: &str) -> bool {
    let text = text.trim();
    text.strip_prefix('#').unwrap_or(text).eq_ignore_ascii_case("n/a")
}

/// Whether a number has a point before three digits, as decimals or thousands can have.
pub(super) fn is_decimal_or_thousands(text: &str) -> bool {
    let text = text.trim();
    let number = text.strip_prefix(['-', '+']).unwrap_or(text);
    number.split_once('.').is_some_and(|(whole, rest)| {
        matches!(whole.len(), 1..=3)
            && !whole.starts_with('0')
            && rest.len() == 3
            && is_digits(whole)
            && is_digits(rest)
    })
}

/// Whether a character separates decimals or thousands in some language.
pub(crate) fn is_number_separator(c: char) -> bool {
    matches!(c, '.' | ',' | ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}' | '\'' | '’')
}

/// The decimal mark of the language of a number, if the number shows it: `,` for `12,5`, `1 234,50` and
/// `1.234.567`.
pub(super) fn decimal_mark(text: &str) -> Option<char> {
    let text = text.trim();
    let number = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, last) = number.rsplit_once(['.', ','])?;
    let mark = number.get(whole.len()..)?.chars().next()?;
    let is_part = |c: char| c.is_ascii_digit() || is_number_separator(c);
    if !is_digits(last) || !whole.chars().all(is_part) {
        return None;
    }
    let other = if mark == ',' { '.' } else { ',' };
    match last.len() {
        // A mark that is there twice separates thousands.
        3 if whole.contains(mark) => (!whole.contains(other)).then_some(other),
        3 if whole.starts_with('0') || whole.contains(|c: char| !c.is_ascii_digit()) => Some(mark),
        3 => None,
        _ => (!whole.contains(mark)).then_some(mark),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The separator in a list that has not the one at which it is split; `None` for words in quotes, an array
/// of several words, and a list that is split.
pub(super) fn other_separator(text: &str, separator: char) -> Option<&'static str> {
    let text = text.trim();
    if text.starts_with('[') {
        let words: Vec<Cow<'_, str>> = serde_json::from_str(text).ok()?;
        let [word] = words.as_slice() else { return None };
        return separator_in_word(word);
    }
    let outside = outside_quotes(text);
    if outside.contains(separator) { None } else { separator_between(&outside, separator) }
}

/// The separator in the only word of an array, which makes it several; a comma, if the word is an array
/// itself.
pub(super) fn separator_in_word(word: &str) -> Option<&'static str> {
    let is_array = |text: &str| {
        let words = serde_json::from_str::<Vec<Cow<'_, str>>>(text);
        text.starts_with('[') && words.is_ok_and(|words| !words.is_empty())
    };
    if is_array(word.trim()) { Some(",") } else { separator_between(word, '\0') }
}

/// The first of [`SEPARATORS`] between the words of a text, other than this one.
fn separator_between(text: &str, separator: char) -> Option<&'static str> {
    let is_between_words = |other: &&str| match *other {
        // A comma before a blank is in a word, such as a name.
        "," => text.replace(", ", "").contains(','),
        ";" => text.contains(';') && without_entities(text).contains(';') && !begins_lookup(text),
        // `~5 m` is a word.
        "~" => text.find('~').is_some_and(|at| at > 0),
        "\\n" => !is_path_of_windows(text) && text.contains(other),
        other => text.contains(other) && !other.contains(separator),
    };
    let is_hashtags = || {
        let mut words = text.split_whitespace();
        words.clone().count() > 1 && words.all(|word| word.starts_with('#')) && separator != '#'
    };
    SEPARATORS.into_iter().find(is_between_words).or_else(|| is_hashtags().then_some("#"))
}

/// Whether a text begins as `;#red;#blue;#` and `1;#red;#2;#blue`, in which `SharePoint` stores choices
/// and references.
pub(crate) fn begins_lookup(text: &str) -> bool {
    text.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(";#")
}

/// What a list has outside words in quotes. Quotes within words, as in `5" nail`, quote nothing.
fn outside_quotes(text: &str) -> Cow<'_, str> {
    if !text.starts_with('"') {
        return Cow::Borrowed(text);
    }
    text.split('"').step_by(2).collect::<String>().into()
}

/// Whether a text is a path in which a backslash escapes nothing.
fn is_path_of_windows(text: &str) -> bool {
    text.contains(":\\") || text.starts_with("\\\\")
}

/// The text without its HTML entities, such as `&amp;` and `&#39;`.
fn without_entities(text: &str) -> String {
    let mut parts = text.split('&');
    let mut without = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        without += part.split_once(';').filter(|(name, _)| is_entity(name)).map_or(part, |it| it.1);
    }
    without
}

/// Whether a text ends with an HTML entity that lacks its semicolon.
pub(crate) fn ends_entity(text: &str) -> bool {
    text.rsplit_once('&').is_some_and(|(_, name)| is_entity(name))
}

/// Whether a text has an HTML entity.
pub(super) fn has_entity(text: &str) -> bool {
    let names = text.split('&').skip(1).filter_map(|part| part.split_once(';'));
    names.map(|(name, _)| name).any(is_entity)
}

/// Elements of HTML that are found in texts.
const ELEMENTS: [&str; 18] = [
    "a", "b", "br", "div", "em", "font", "h1", "h2", "h3", "i", "img", "li", "ol", "p", "span",
    "strong", "u", "ul",
];

/// Whether a text has an element of HTML, such as `<br>` or `</p>`.
pub(super) fn has_element(text: &str) -> bool {
    let elements = text.split('<').skip(1).filter_map(|part| part.split_once('>'));
    let is_element = |(element, _): (&str, &str)| {
        let name = element.trim_matches('/').split(char::is_whitespace).next().unwrap_or_default();
        ELEMENTS.iter().any(|known| name.eq_ignore_ascii_case(known))
    };
    elements.into_iter().any(is_element)
}

/// HTML entities of signs.
const ENTITIES: [&str; 33] = [
    "amp", "lt", "gt", "quot", "apos", "nbsp", "copy", "reg", "trade", "euro", "pound", "yen",
    "cent", "hellip", "ndash", "mdash", "lsquo", "rsquo", "ldquo", "rdquo", "bdquo", "laquo",
    "raquo", "bull", "middot", "deg", "frac12", "frac14", "frac34", "times", "sup2", "szlig",
    "shy",
];
/// Ends of the HTML entities of letters, such as `eacute`.
const LETTER_MARKS: [&str; 9] =
    ["acute", "grave", "circ", "uml", "tilde", "cedil", "ring", "slash", "lig"];

/// Whether this is what an HTML entity has between `&` and `;`.
fn is_entity(name: &str) -> bool {
    if let Some(number) = name.strip_prefix('#') {
        return match number.strip_prefix(['x', 'X']) {
            Some(hex) => !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
            None => is_digits(number),
        };
    }
    let is_letter = || {
        let mut letters = LETTER_MARKS.iter().filter_map(|mark| name.strip_suffix(mark));
        letters.any(|letter| (1..=2).contains(&letter.len()))
    };
    ENTITIES.contains(&name) || is_letter()
}

/// Whether a text has an escape that a program left in place of a line end or another character:
/// `\n`, `\u00e9`, `\'`, `_x000D_`.
pub(super) fn has_escape(text: &str) -> bool {
    let is_hex = |text: &str| text.len() == 4 && text.bytes().all(|it| it.is_ascii_hexdigit());
    let mut after = text.match_indices('\\').filter_map(|(at, _)| text.get(at + 1..));
    let is_escape = |rest: &str| {
        // In a path, a letter of the name follows.
        let ends_line = |rest: &str| !rest.starts_with(|c: char| c.is_lowercase());
        rest.starts_with("r\\n")
            || rest.starts_with(['\'', '"'])
            || rest.strip_prefix('n').is_some_and(ends_line)
            || rest.strip_prefix('u').and_then(|rest| rest.get(..4)).is_some_and(is_hex)
    };
    // Control characters, and the escaped underscore.
    let is_of_cell = |hex: &str| {
        is_hex(hex)
            && (hex.starts_with("000")
                || hex.starts_with("001")
                || hex.eq_ignore_ascii_case("005f"))
    };
    let mut cells = text.match_indices("_x").filter_map(|(at, _)| text.get(at + 2..at + 7));
    !is_path_of_windows(text) && after.any(is_escape)
        || cells.any(|it| it.strip_suffix('_').is_some_and(is_of_cell))
}

/// Whether a word of a list ends in a backslash: before the separator, it is an escape of a program that
/// meant one word.
pub(super) fn has_escaped_separator(text: &str, separator: char) -> bool {
    let mut words = text.split(separator);
    words.next_back();
    words.any(|word| word.ends_with('\\'))
}

/// Whether a word of a list begins or ends with a curly quote.
pub(super) fn has_curly_quotes(text: &str, separator: char) -> bool {
    !text.is_ascii()
        && text
            .split(separator)
            .map(str::trim)
            .any(|word| word.starts_with(CURLY_QUOTES) || word.ends_with(CURLY_QUOTES))
}

/// Whether a word of a list has quotes that are sent with it: apostrophes on both sides, or a straight
/// quote that is not closed.
pub(super) fn has_quoted_word(text: &str, separator: char) -> bool {
    let is_in_apostrophes =
        |word: &str| word.len() > 2 && word.starts_with('\'') && word.ends_with('\'');
    let is_unclosed = text.bytes().filter(|byte| *byte == b'"').count() % 2 == 1;
    let mut words = [text].into_iter().chain(text.split(separator)).map(str::trim);
    !text.trim_start().starts_with('[')
        && words.any(|word| is_in_apostrophes(word) || is_unclosed && word.starts_with('"'))
}

/// Whether a text is in straight quotes or apostrophes, and has none of them inside.
pub(super) fn is_in_quotes(text: &str) -> bool {
    let inside = |quote| text.strip_prefix(quote).and_then(|rest: &str| rest.strip_suffix(quote));
    let is_around =
        |quote| inside(quote).is_some_and(|inside| !inside.is_empty() && !inside.contains(quote));
    is_around('"') || is_around('\'')
}

/// Whether a text begins with the apostrophe that a spreadsheet shows only while the cell is edited. `'90s`
/// is a word.
pub(super) fn has_apostrophe(text: &str) -> bool {
    text.strip_prefix('\'').is_some_and(|rest| rest.starts_with(char::is_alphabetic))
}

/// Whether a word is a date as spreadsheets print them without a year or a day: `1-Mar`, `Sep-07`, `3月1日`.
pub(super) fn is_date(word: &str) -> bool {
    let word = word.trim();
    if word.ends_with(['日', '일', '月', '월']) {
        return is_east_asian_date(word);
    }
    let Some((first, second)) = word.split_once(['-', ' ', '/', '.']) else {
        return false;
    };
    let is_apart = second.starts_with(' ') || word[first.len()..].starts_with(' ');
    let (first, second) = (first.trim_end_matches('.'), second.trim().trim_end_matches('.'));
    let is_month = |text: &str| {
        let text = text.to_lowercase();
        MONTHS.contains(&text.as_str()) || !is_apart && MONTHS_OR_WORDS.contains(&text.as_str())
    };
    let is_number = |text: &str| matches!(text.len(), 1..=2) && is_digits(text);
    is_number(first) && is_month(second) || is_month(first) && is_number(second)
}

/// Whether a word is a date as spreadsheets print them in Japanese, Chinese or Korean: `3月1日`, `3월 1일`.
fn is_east_asian_date(word: &str) -> bool {
    let is_number = |text: &str| matches!(text.len(), 1..=2) && is_digits(text);
    let Some((month, day)) = word.split_once(['月', '월']) else { return false };
    let day = day.trim().trim_end_matches(['日', '일']);
    is_number(month.trim()) && is_number(day)
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

/// Whether an accent follows its letter as a character of its own.
pub(super) fn has_decomposed_letter(text: &str) -> bool {
    let is_accent = |c: char| ('\u{300}'..='\u{36f}').contains(&c);
    !text.is_ascii()
        && text
            .chars()
            .zip(text.chars().skip(1))
            .any(|(letter, c)| letter.is_alphabetic() && is_accent(c))
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

/// Whether the new value is the old one without leading zeros or with a `.0`, as after a
/// spreadsheet or a data frame.
#[must_use]
pub(crate) fn has_lost_zeros(old: &str, new: &str) -> bool {
    let (old_zeros, old_digits) = bare_number(old);
    let (new_zeros, new_digits) = bare_number(new);
    let has_gained_fraction = has_zero_fraction(new) && !has_zero_fraction(old);
    is_digits(old_digits)
        && old_digits == new_digits
        && new_zeros <= old_zeros
        && (new_zeros < old_zeros || has_gained_fraction)
        || has_shorter_fraction(old, new)
}

/// Whether the new number is the old one without zeros at its end: `12.5` for `12.50`.
fn has_shorter_fraction(old: &str, new: &str) -> bool {
    let (old, new) = (old.trim(), new.trim());
    let Some((whole, fraction)) = old.split_once(['.', ',']) else { return false };
    let lost = old.strip_prefix(new).unwrap_or_default();
    let lost_zeros = lost.strip_prefix(['.', ',']).unwrap_or(lost);
    let is_number = new.len() >= whole.len() && !new.ends_with(['.', ',']);
    is_digits(whole) && is_digits(fraction) && is_zeros(lost_zeros) && is_number
}

/// How many digits a number loses where a spreadsheet shows it shortened; a person rounds by fewer.
const ROUNDED_DIGITS_MIN: usize = 3;

/// Whether the new number is the old one, rounded to fewer digits, as where a spreadsheet saves what it
/// shows.
#[must_use]
pub(crate) fn is_rounded(old: f64, new: f64) -> bool {
    let (old_digits, new_digits) = (significant_digits(old), significant_digits(new));
    let rounded = format!("{old:.*e}", new_digits.saturating_sub(1)).parse();
    old_digits >= new_digits + ROUNDED_DIGITS_MIN && rounded == Ok(new)
}

/// The number of digits from the first to the last that is not zero.
fn significant_digits(number: f64) -> usize {
    let text = format!("{number:e}");
    let (mantissa, _) = text.split_once('e').unwrap_or((&text, ""));
    mantissa.bytes().filter(u8::is_ascii_digit).count()
}

/// The number of leading zeros, and the digits after them without a fraction of zeros.
fn bare_number(text: &str) -> (usize, &str) {
    let text = text.trim();
    let whole = match text.split_once(['.', ',']) {
        Some((whole, fraction)) if is_zeros(fraction) => whole,
        _ => text,
    };
    let zeros = whole.bytes().take_while(|byte| *byte == b'0').count();
    // A number of zeros only keeps its last one.
    let zeros = zeros.min(whole.len().saturating_sub(1));
    (zeros, whole.get(zeros..).unwrap_or_default())
}

/// Whether a text is a number with a fraction of zeros.
pub(super) fn has_zero_fraction(text: &str) -> bool {
    let parts = text.trim().split_once(['.', ',']);
    parts.is_some_and(|(whole, fraction)| is_digits(whole) && is_zeros(fraction))
}

fn is_zeros(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_a_spreadsheet_read_as_numbers_are_recognized() {
        for id in ["1.23457E+23", "1,23457E+23", "6E+35", "123456789012345000000000", "6.1e12"] {
            assert!(is_long_number(id), "{id}");
        }
        for id in [
            "65a1f0c29b41d45b037cc000",
            "12e45",
            "e",
            "123456789012345678901234",
            "100000",
            "1.2.3E+4",
        ] {
            assert!(!is_long_number(id), "{id}");
        }
    }

    #[test]
    fn separators_count_only_without_the_one_in_force() {
        for text in [
            "a;b",
            "a|b",
            "green;",
            "a；b",
            "a、b",
            "a / b",
            "a • b",
            "a<br>b",
            "red\\nblue",
            "a~b",
            "a｜b",
            r#""a";"b, c""#,
            r#"["a;b"]"#,
            r#"["a,b"]"#,
            r#"["[\"a\",\"b\"]"]"#,
        ] {
            assert!(other_separator(text, ',').is_some(), "{text}");
        }
        for text in [
            "a,b;c",
            "a",
            r#"["a;b","c"]"#,
            r#"["a, b"]"#,
            r#""a;b""#,
            r#""a;b","c""#,
            "a b",
            "",
            "men/women",
            "~5 m",
            "C:\\new\\n",
            "レディース・ファッション",
        ] {
            assert!(other_separator(text, ',').is_none(), "{text}");
        }
        assert_eq!(other_separator("a,b", ';'), Some(","));
        assert_eq!(other_separator("a|b", ';'), Some("|"));
        assert_eq!(other_separator("a,b;c", ';'), None);
        assert_eq!(other_separator("Smith, John", ';'), None);
        assert_eq!(other_separator("R&amp;D", ','), None);
        assert_eq!(other_separator("R&amp;D; x", ','), Some(";"));
        assert_eq!(other_separator("#red #blue", ','), Some("#"));
        assert_eq!(other_separator("#red", ','), None);
        assert_eq!(other_separator("#1 of #2", ','), None);
    }

    #[test]
    fn entities_and_escapes_are_recognized() {
        for text in ["A &amp; B", "It&#39;s", "&#x1F600;", "caf&eacute;", "&frac12; price"] {
            assert!(has_entity(text), "{text}");
        }
        for text in ["Salt&Pepper;", "B&Bs;", "A & B; C", "a&b", "&;", "R&D department;", "x&1;"] {
            assert!(!has_entity(text), "{text}");
        }
        for text in ["Line 1\\nLine 2", "a\\r\\nb", "caf\\u00e9", "a_x000D_", "end\\n"] {
            assert!(has_escape(text), "{text}");
        }
        for text in [
            "C:\\NEU\\n2\\a.jpg",
            "banner_1920_x1080_final",
            "C:\\new\\user",
            "a_x1_b",
            "\\NULL",
            "a\\b",
            "size_x_large",
        ] {
            assert!(!has_escape(text), "{text}");
        }
        assert!(has_escaped_separator("red\\,blue", ','));
        assert!(!has_escaped_separator("red,blue\\", ','));
    }

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
    fn dates_in_place_of_words_are_recognized() {
        for text in [
            "1-Mar",
            "red,2-Sep",
            "Sep-07",
            "03. Mrz",
            "15-Dez",
            "Mrz. 07",
            "Mrz 07",
            "1-мар",
            "01.мар",
            "мар.07",
            "1-sty",
            "01.Oca",
            "1-mrt",
            "1/set",
            "01-maj",
            "03. Jän",
            "3月1日",
            "3월 1일",
            "03월 01일",
        ] {
            assert!(text.split(',').any(is_date), "{text}");
        }
        for text in [
            "March",
            "1-marble",
            "Mar",
            "a-Mar",
            "12-13",
            "may be",
            "May-2026-x",
            "Set 1",
            "Mag. 3",
            "3月",
            "月",
            "100月1日",
            "毎月1日",
            "1.2",
        ] {
            assert!(!text.split(',').any(is_date), "{text}");
        }
    }

    #[test]
    fn look_alike_words_are_recognized() {
        assert!(has_curly_quotes("“red”,white", ',') && has_curly_quotes("“red, white”", ','));
        assert!(has_curly_quotes("red;“white”", ';') && !has_curly_quotes("a,“white”,b", ';'));
        assert!(!has_curly_quotes("rock’n’roll,\"a\"", ','));
        assert!(has_invisible_character("re\u{200b}d") && has_invisible_character("on\u{a0}sale"));
        for control in ['\u{7}', '\u{b}', '\u{1d}', '\u{7f}', '\u{85}'] {
            assert!(has_invisible_character(&format!("red{control}blue")), "{control:?}");
        }
        assert!(!has_invisible_character("on sale é\t\r\n"));
        assert!(has_decomposed_letter("cafe\u{301}") && !has_decomposed_letter("café"));
        assert_eq!(composed("cafe\u{301}"), "café");
    }

    #[test]
    fn quotes_that_do_not_quote_are_recognized() {
        for list in ["'red','blue'", "'red, blue'", "red,'blue'", "\"red", "red, \"blue"] {
            assert!(has_quoted_word(list, ','), "{list}");
        }
        for list in ["'90s,red", "5\" nail", "\"red, blue\"", "[\"'a'\"]", "rock 'n' roll", "''"] {
            assert!(!has_quoted_word(list, ','), "{list}");
        }
        for text in ["\"A shoe\"", "'A shoe'", "'00123'"] {
            assert!(is_in_quotes(text), "{text}");
        }
        for text in ["\"A\" and \"B\"", "'", "\"\"", "A 'b'", "5'"] {
            assert!(!is_in_quotes(text), "{text}");
        }
        assert!(has_apostrophe("'red") && !has_apostrophe("'90s") && !has_apostrophe("it's"));
    }

    #[test]
    fn html_elements_are_recognized() {
        for text in ["<p>New</p>", "a<br>b", "a<br/>", "<BR />", "<a href='x'>y</a>", "x</li>"] {
            assert!(has_element(text), "{text}");
        }
        for text in ["a < b > c", "<new>", "<clear>", "x <3", "<>", "5 <b"] {
            assert!(!has_element(text), "{text}");
        }
    }

    #[test]
    fn zeros_are_lost_only_from_the_library() {
        for (old, new) in [
            ("00123", "123"),
            ("00123", "123.0"),
            ("123", "123.0"),
            ("007", "7,00"),
            ("000", "0"),
            ("12.50", "12.5"),
            ("12,00", "12"),
            ("0.10", "0.1"),
        ] {
            assert!(has_lost_zeros(old, new), "{old} {new}");
        }
        for (old, new) in [
            ("123", "00123"),
            ("123", "123"),
            ("123", "124"),
            ("00a", "a"),
            ("1.5", "1.50"),
            ("12.50", "12.50"),
            ("10", "1"),
            ("12.05", "12"),
            ("12.00", "12."),
            ("", "0"),
        ] {
            assert!(!has_lost_zeros(old, new), "{old} {new}");
        }
    }

    #[test]
    fn rounded_numbers_lose_three_digits_or_more() {
        for (old, new) in [
            (5.508_831_816_499_05e-9, 5.508_831_816_5e-9),
            (1.0 / 3.0, 0.33),
            (123_456.789, 123_457.0),
            (-12.345_678, -12.35),
        ] {
            assert!(is_rounded(old, new), "{old} {new}");
        }
        for (old, new) in [(12.345, 12.35), (1.0 / 3.0, 0.34), (0.33, 1.0 / 3.0), (2.0, 2.0)] {
            assert!(!is_rounded(old, new), "{old} {new}");
        }
    }
}
