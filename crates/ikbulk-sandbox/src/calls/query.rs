//! Parses the supported part of the API's search language: conditions joined by `AND`.

use serde_json::Value;

/// The conditions of a search; `None` matches every file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Search {
    pub(crate) ids: Option<Vec<String>>,
    pub(crate) names: Option<Vec<String>>,
    /// Path of the folder.
    pub(crate) path: Option<String>,
    /// Value of `type`: file, folder, all, …
    pub(crate) kind: Option<String>,
}

/// Parses a query: `id IN ["a", "b"]`, `id = "a"`, `name = "c.jpg"`, `name IN ["c.jpg"]`,
/// `path = "/a/b/"`, `type = "file"`, joined by `AND`.
///
/// # Errors
/// A part of the query is invalid or not supported.
pub(crate) fn parse(text: &str) -> Result<Search, String> {
    let mut search = Search::default();
    let mut rest = text.trim_start();
    loop {
        rest = search.condition(rest)?;
        if rest.is_empty() {
            return Ok(search);
        }
        let Some(after) = keyword(rest, "AND") else {
            return Err(unsupported(rest));
        };
        rest = after;
    }
}

impl Search {
    /// Parses one condition. Returns the rest of the text.
    fn condition<'a>(&mut self, text: &'a str) -> Result<&'a str, String> {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
        let (field, rest) = text.split_at(end);
        let rest = rest.trim_start();
        let value_at = rest.strip_prefix('=').or_else(|| keyword(rest, "IN"));
        let (value, after) = first_json(value_at.ok_or_else(|| unsupported(text))?)?;
        match (field, value) {
            ("id", Value::Array(ids)) => self.ids = Some(strings(&ids, text)?),
            ("name", Value::Array(names)) => self.names = Some(strings(&names, text)?),
            ("id", Value::String(id)) => self.ids = Some(vec![id]),
            ("name", Value::String(name)) => self.names = Some(vec![name]),
            ("path", Value::String(path)) => self.path = Some(path),
            ("type", Value::String(kind)) => self.kind = Some(kind),
            _ => return Err(unsupported(text)),
        }
        Ok(after)
    }
}

fn strings(array: &[Value], text: &str) -> Result<Vec<String>, String> {
    let strings = array.iter().map(|value| value.as_str().map(str::to_owned));
    strings.collect::<Option<_>>().ok_or_else(|| unsupported(text))
}

/// The text after a keyword, if it starts with the keyword in any letter case.
fn keyword<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(word.len())?;
    let is_whole_word = !rest.starts_with(|c: char| c.is_ascii_alphanumeric());
    (is_whole_word && start.eq_ignore_ascii_case(word)).then(|| rest.trim_start())
}

/// Parses a literal, which is JSON in the search language. Returns the rest of the text.
fn first_json(text: &str) -> Result<(Value, &str), String> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    match values.next() {
        Some(Ok(value)) => Ok((value, text[values.byte_offset()..].trim_start())),
        _ => Err(unsupported(text)),
    }
}

fn unsupported(text: &str) -> String {
    format!("The sandbox does not support this part of a searchQuery: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supported_conditions_are_parsed() {
        let ids = |ids: &[&str]| Some(ids.iter().map(|&id| id.to_owned()).collect());
        let search = parse(r#"id IN ["a","b"]"#).unwrap();
        assert_eq!(search, Search { ids: ids(&["a", "b"]), ..Search::default() });
        let search = parse(r#"type = "file" and id in [ "a\"b" ]"#).unwrap();
        assert_eq!((search.ids, search.kind.as_deref()), (ids(&["a\"b"]), Some("file")));
        let search = parse(r#"name="c AND d.jpg" AND path = "/a/b/""#).unwrap();
        assert_eq!(search.names, ids(&["c AND d.jpg"]));
        assert_eq!(search.path.as_deref(), Some("/a/b/"));
        let search = parse(r#"path = "/" AND name IN ["a.jpg", "b.jpg"]"#).unwrap();
        assert_eq!(search.names, ids(&["a.jpg", "b.jpg"]));
    }

    #[test]
    fn unsupported_conditions_are_rejected() {
        for text in [
            "",
            "id",
            "id IN",
            r#"id IN ["a"#,
            r#"tags IN ["a"]"#,
            r#"createdAt > "7d""#,
            r#"id = "a" OR id = "b""#,
            r#"NOT id = "a""#,
            "id IN [1]",
            "name IN [1]",
            r#"id = "a" AND"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
