//! Names that somebody may have meant who wrote another one.

/// Letters from which on a name with one wrong letter still is the same name rather than another.
const LETTERS_MIN: usize = 4;

/// Whether the two differ in nothing but case, spaces and punctuation.
pub(crate) fn is_spelt_like(one: &str, other: &str) -> bool {
    letters(one).eq(letters(other))
}

/// Whether the two are the same but for case, punctuation, and a letter that is wrong, missing or
/// too many.
pub(super) fn is_close(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (letters(one).collect(), letters(other).collect());
    let same = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let (shorter, longer) = if one.len() < other.len() { (&one, &other) } else { (&other, &one) };
    let behind = |name: &[char], skipped| name.get(same + skipped..).unwrap_or_default().to_vec();
    match longer.len() - shorter.len() {
        0 if same == shorter.len() => same > 0,
        _ if longer.len() < LETTERS_MIN => false,
        0 => behind(shorter, 1) == behind(longer, 1),
        1 => behind(shorter, 0) == behind(longer, 1),
        _ => false,
    }
}

fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_close_to_one_that_differs_in_a_letter_at_most() {
        for (one, other) in [
            ("brand", "Brand"),
            ("list-price", "List price"),
            ("bran", "brand"),
            ("brands", "brand"),
            ("brend", "brand"),
            ("colour", "color"),
            ("grösse", "größse"),
        ] {
            assert!(is_close(one, other) && is_close(other, one), "{one} {other}");
        }
    }

    #[test]
    fn other_names_are_other_names() {
        for (one, other) in
            [("brand", "price"), ("brand", "branch"), ("sku", "sk"), ("a", "b"), ("#", "")]
        {
            assert!(!is_close(one, other) && !is_close(other, one), "{one} {other}");
        }
    }
}
