//! What programs make of numbers.

/// Digits that a spreadsheet keeps of a number.
pub(super) const DIGITS_KEPT: usize = 15;

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

/// Whether the new value is the old one without leading zeros or with a `.0`, as after a
/// spreadsheet or a data frame.
#[must_use]
pub(crate) fn has_lost_zeros(old: &str, new: &str) -> bool {
    // Fast path for nearly all texts.
    let begins_number = |text: &str| text.trim_start().starts_with(|c: char| c.is_ascii_digit());
    if !begins_number(new) || !begins_number(old) {
        return false;
    }
    let (old_zeros, old_digits) = bare_number(old);
    let (new_zeros, new_digits) = bare_number(new);
    let has_gained_fraction = has_fraction_of_zeros(new) && !has_fraction_of_zeros(old);
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
fn has_fraction_of_zeros(text: &str) -> bool {
    let parts = text.trim().split_once(['.', ',']);
    parts.is_some_and(|(whole, fraction)| is_digits(whole) && is_zeros(fraction))
}

/// Whether a text is a whole number with `.0`, as data frames write it. Prices have two zeros.
pub(super) fn has_zero_fraction(text: &str) -> bool {
    text.trim().strip_suffix(".0").is_some_and(is_digits)
}

fn is_zeros(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte == b'0')
}

/// Whether a text is not empty and has only digits.
pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
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
