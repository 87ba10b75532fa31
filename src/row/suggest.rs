//! Suggestions for misspelled names.

/// Minimum length, in letters, at which one typo is tolerated, and at which two are.
const TYPO_LENGTHS_MIN: [usize; 2] = [4, 8];

/// A name without case, blanks and punctuation: `File ID` and `file_id` are the same.
pub(crate) fn fold(name: &str) -> String {
    normalized(name).collect()
}

/// Whether [`fold`] makes this folded name of a cell; a fast check for nearly all cells.
pub(crate) fn folds_to(cell: &[u8], folded: &str) -> bool {
    let first = cell.iter().find(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii());
    let can_begin = match (first, folded.as_bytes().first()) {
        (Some(first), Some(other)) if first.is_ascii() => first.eq_ignore_ascii_case(other),
        _ => true,
    };
    can_begin && normalized(&String::from_utf8_lossy(cell)).eq(folded.chars())
}

/// Whether two names are equal, ignoring case, spaces and punctuation.
pub(crate) fn equals_loosely(one: &str, other: &str) -> bool {
    starts_loosely_with(one, other) && starts_loosely_with(other, one)
}

/// Whether `name` starts with `prefix`, ignoring case, spaces and punctuation; `false` for an empty
/// prefix.
pub(crate) fn starts_loosely_with(name: &str, prefix: &str) -> bool {
    let mut name = normalized(name);
    normalized(prefix).next().is_some()
        && normalized(prefix).all(|letter| name.next() == Some(letter))
}

/// The name that `written` most likely is a misspelling of, if any. A typo is a wrong, missing or
/// extra letter, or two letters swapped; with two typos, the first letter must be right. An
/// additional number or word makes a different name: `url2`, `description_de`.
pub(crate) fn closest_name<'n>(
    written: &str,
    names: impl Iterator<Item = &'n str>,
) -> Option<&'n str> {
    let close = names.filter_map(|name| {
        let typos = typos(written, name)?;
        Some((typos, strsim::osa_distance(written, name), name))
    });
    close.min().map(|(.., name)| name)
}

/// The number of typos in `written`; `None` if there are too many.
fn typos(written: &str, name: &str) -> Option<usize> {
    let (written, name): (String, String) =
        (normalized(written).collect(), normalized(name).collect());
    let (written_length, name_length) = (written.chars().count(), name.chars().count());
    let same_first_letter = !name.is_empty() && written.chars().next() == name.chars().next();
    // Also skips the costly distance for text that is no name at all.
    if name.is_empty() || written_length > name_length + 1 || !digits(&written).eq(digits(&name)) {
        return None;
    }
    let length = written_length.max(name_length);
    let allowed = TYPO_LENGTHS_MIN.iter().filter(|min| length >= **min).count();
    let allowed = if same_first_letter { allowed } else { allowed.min(1) };
    Some(strsim::osa_distance(&written, &name)).filter(|typos| *typos <= allowed)
}

fn normalized(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase)
}

fn digits(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|c| c.is_numeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_close(written: &str, name: &str) -> bool {
        closest_name(written, [name].into_iter()).is_some()
    }

    #[test]
    fn long_names_tolerate_two_typos() {
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
            assert!(is_close(written, name), "{written} {name}");
        }
    }

    #[test]
    fn different_names_are_not_close() {
        for (written, name) in [
            ("brand", "price"),
            ("branch", "brand"),
            ("sk", "sku"),
            ("a", "b"),
            ("#", ""),
            ("", "a"),
            ("bogs", "tags"),
            ("url2", "url"),
            ("size 1", "size 2"),
            ("AITags", "addTags"),
            ("description_de", "description"),
            ("prescription", "description"),
        ] {
            assert!(!is_close(written, name), "{written} {name}");
        }
    }

    #[test]
    fn cells_fold_to_names() {
        for cell in [
            "File ID",
            "file_id",
            " 'fileId'",
            "fileid",
            "größe",
            "GRÖSSE",
            "",
            "-",
            "url",
            "ﬁleid",
        ] {
            for name in ["fileid", "größe", "", "url"] {
                assert_eq!(folds_to(cell.as_bytes(), name), fold(cell) == name, "{cell} {name}");
            }
        }
    }

    #[test]
    fn closest_of_several_names_wins() {
        let closest =
            |written| closest_name(written, ["SKU", "sku", "Brand", "brand", "bread"].into_iter());
        assert_eq!(closest("skus"), Some("sku"));
        assert_eq!(closest("Brands"), Some("Brand"));
        assert_eq!(closest("brnad"), Some("brand"));
        assert_eq!(closest("nope"), None);
    }
}
