//! The part of ImageKit's search language that a bulk editor needs.

use serde_json::Value;

/// A search: field and allowed values of each condition; all conditions must hold.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, Vec<String>)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let conditions = text.split(" AND ").filter(|condition| !condition.trim().is_empty());
        conditions.map(condition).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn matches(&self, file: &Value) -> bool {
        self.0.iter().all(|(field, values)| {
            let value = match field.as_str() {
                "id" => &file["fileId"],
                other => &file[other],
            };
            values.iter().any(|allowed| value == allowed.as_str())
        })
    }
}

/// `field = "value"` or `field IN ["value", …]`.
fn condition(text: &str) -> Result<(String, Vec<String>), String> {
    let invalid = || format!("Invalid search query: {text}");
    let (field, values) = if let Some((field, list)) = text.split_once(" IN ") {
        (field, serde_json::from_str(list))
    } else {
        let (field, value) = text.split_once('=').ok_or_else(invalid)?;
        (field, serde_json::from_str(value).map(|value| vec![value]))
    };
    let field = field.trim();
    if matches!(field, "id" | "type" | "name") {
        Ok((field.to_owned(), values.map_err(|_| invalid())?))
    } else {
        Err(invalid())
    }
}

#[test]
fn query_matches_by_id_and_type() {
    let file = serde_json::json!({"fileId": "a", "type": "file"});
    let matches = |text: &str| Query::parse(text).unwrap().matches(&file);
    assert!(matches("") && matches(r#"type = "file" AND id IN ["b","a"]"#));
    assert!(!matches(r#"id IN ["b"]"#) && !matches(r#"type = "folder""#));
    assert!(Query::parse("size > 1").is_err());
}
