//! Numbers in text for people.

/// A count with its noun, singular or plural: `1 row`, `2,000 rows`.
#[must_use]
pub fn plural(count: u64, one: &str, several: &str) -> String {
    format!("{} {}", thousands(count), if count == 1 { one } else { several })
}

/// A number with thousands separators: `1,300,000`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let separated = digits.char_indices().map(|(index, digit)| {
        let starts_group = index > 0 && (digits.len() - index).is_multiple_of(3);
        format!("{}{digit}", if starts_group { "," } else { "" })
    });
    separated.collect()
}

#[cfg(test)]
mod tests {
    use super::{plural, thousands};

    #[test]
    fn thousands_are_separated() {
        let numbers = [0, 999, 1000, 12_345, 1_300_000].map(thousands);
        assert_eq!(numbers, ["0", "999", "1,000", "12,345", "1,300,000"]);
    }

    #[test]
    fn only_one_is_singular() {
        let rows = [0, 1, 2, 2000].map(|count| plural(count, "row", "rows"));
        assert_eq!(rows, ["0 rows", "1 row", "2 rows", "2,000 rows"]);
    }
}
