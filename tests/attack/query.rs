//! As much of ImageKit's language of searches as a bulk editor needs.

use serde_json::Value;

/// A search: conditions that must all hold.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, Vec<String>)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let conditions = text.split(" AND ").filter(|condition| !condition.trim().is_empty());
        conditions.map(condition).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a file object is one of those that are searched for.
    pub(crate) fn finds(&self, file: &Value) -> bool {
        self.0.iter().all(|(field, values)| {
            let value = match field.as_str() {
                "id" => &file["fileId"],
                other => &file[other],
            };
            values.iter().any(|wanted| value == wanted.as_str())
        })
    }
}

/// `field = "value"` or `field IN ["value", …]`.
fn condition(text: &str) -> Result<(String, Vec<String>), String> {
    let wrong = || format!("Invalid search query: {text}");
    let (field, values) = if let Some((field, list)) = text.split_once(" IN ") {
        (field, serde_json::from_str(list))
    } else {
        let (field, value) = text.split_once('=').ok_or_else(wrong)?;
        (field, serde_json::from_str(value).map(|value| vec![value]))
    };
    let field = field.trim();
    if matches!(field, "id" | "type" | "name") {
        Ok((field.to_owned(), values.map_err(|_| wrong())?))
    } else {
        Err(wrong())
    }
}

#[test]
fn a_query_finds_files_by_id_and_nothing_else() {
    let file = serde_json::json!({"fileId": "a", "type": "file"});
    let finds = |text: &str| Query::parse(text).unwrap().finds(&file);
    assert!(finds("") && finds(r#"type = "file" AND id IN ["b","a"]"#));
    assert!(!finds(r#"id IN ["b"]"#) && !finds(r#"type = "folder""#));
    assert!(Query::parse("size > 1").is_err());
}
