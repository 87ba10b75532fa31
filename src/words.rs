//! Numbers in sentences.

/// A number and what stands behind it, in the form for one or for several (and none): `1 row`,
/// `2 rows`.
pub(crate) fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_one_and_everything_else_several() {
        let rows = [0, 1, 2].map(|count| counted(count, "row", "rows"));
        assert_eq!(rows, ["0 rows", "1 row", "2 rows"]);
    }
}
