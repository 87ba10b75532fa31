//! Names that somebody may have meant who wrote another one.

/// Letters from which on a name with one slip still is the same name rather than another, and those from
/// which on it may have two.
const LETTERS_MIN: [usize; 2] = [4, 9];

/// Whether the two differ in nothing but case, spaces and punctuation.
pub(crate) fn is_spelt_like(one: &str, other: &str) -> bool {
    begins_like(one, other) && begins_like(other, one)
}

/// Whether a name is one, or begins with one, that differs from `beginning` in nothing but that.
pub(crate) fn begins_like(name: &str, beginning: &str) -> bool {
    let mut name = letters(name);
    letters(beginning).next().is_some()
        && letters(beginning).all(|letter| name.next() == Some(letter))
}

/// The one of the names that was most likely meant by what was written, if one of them was. A slip is a
/// letter that is wrong, missing or too many, or two that are swapped; nobody slips at the first letter.
/// A number or a word more makes another name: `url2`, `description_de`.
pub(crate) fn meant<'n>(written: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let close = names.filter_map(|name| {
        let slips = slips(written, name)?;
        Some((slips, strsim::osa_distance(written, name), name))
    });
    close.min().map(|(.., name)| name)
}

/// How many slips lie between what was written and a name, if it is nearly that name.
fn slips(written: &str, name: &str) -> Option<usize> {
    let (written, name): (String, String) = (letters(written).collect(), letters(name).collect());
    let (letters, of_name) = (written.chars().count(), name.chars().count());
    let begin_alike = !name.is_empty() && written.chars().next() == name.chars().next();
    // Also spares the work of comparing a cell that is no name at all.
    if !begin_alike || letters > of_name + 1 || !digits(&written).eq(digits(&name)) {
        return None;
    }
    let allowed = LETTERS_MIN.iter().filter(|min| letters.max(of_name) >= **min).count();
    Some(strsim::osa_distance(&written, &name)).filter(|slips| *slips <= allowed)
}

fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase)
}

fn digits(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|c| c.is_numeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_meant(written: &str, name: &str) -> bool {
        meant(written, [name].into_iter()).is_some()
    }

    #[test]
    fn a_name_is_meant_by_one_that_differs_in_a_slip_or_in_two_if_it_is_long() {
        for (written, name) in [
            ("brand", "Brand"),
            ("list-price", "List price"),
            ("bran", "brand"),
            ("brands", "brand"),
            ("brend", "brand"),
            ("brnad", "brand"),
            ("tgas", "tags"),
            ("colour", "color"),
            ("größse", "grösse"),
            ("discripton", "description"),
            ("size2", "Size 2"),
        ] {
            assert!(is_meant(written, name), "{written} {name}");
        }
    }

    #[test]
    fn other_names_are_other_names() {
        for (written, name) in [
            ("brand", "price"),
            ("branch", "brand"),
            ("sk", "sku"),
            ("a", "b"),
            ("#", ""),
            ("", "a"),
            ("bags", "tags"),
            ("url2", "url"),
            ("size 1", "size 2"),
            ("AITags", "addTags"),
            ("description_de", "description"),
            ("prescription", "description"),
        ] {
            assert!(!is_meant(written, name), "{written} {name}");
        }
    }

    #[test]
    fn of_several_names_the_nearest_is_meant() {
        let of = |written| meant(written, ["SKU", "sku", "Brand", "brand", "bread"].into_iter());
        assert_eq!(of("skus"), Some("sku"));
        assert_eq!(of("Brands"), Some("Brand"));
        assert_eq!(of("brnad"), Some("brand"));
        assert_eq!(of("nope"), None);
    }
}
