//! A file in the account's library.

use serde_json::{Map, Value, json};

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct File {
    pub(crate) id: String,
    pub(crate) tags: Vec<String>,
    /// Name and source of each AI tag.
    pub(crate) ai_tags: Vec<(String, String)>,
    pub(crate) description: String,
    pub(crate) coordinates: Option<String>,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) is_published: bool,
    pub(crate) version: u32,
    /// Number of the last change to this file, counted over the account.
    pub(crate) updated: u64,
}

impl File {
    /// A file with values in most fields.
    pub(crate) fn new(id: &str) -> Self {
        let mut metadata = Map::new();
        metadata.insert("brand".to_owned(), "Before".into());
        metadata.insert("price".to_owned(), 1.into());
        Self {
            id: id.to_owned(),
            tags: vec!["old".to_owned(), "kept".to_owned()],
            ai_tags: Vec::new(),
            description: "before".to_owned(),
            coordinates: None,
            metadata,
            is_published: true,
            version: 1,
            updated: 0,
        }
    }

    /// The API's file object.
    pub(crate) fn json(&self) -> Value {
        let Self { id, tags, ai_tags, version, .. } = self;
        let ai_tag = |(name, source): &(String, String)| json!({"name": name, "confidence": 99.5, "source": source});
        let ai_tags: Vec<Value> = ai_tags.iter().map(ai_tag).collect();
        json!({
            "type": "file", "fileId": id, "name": format!("{id}.jpg"),
            "filePath": format!("/{id}.jpg"),
            "url": format!("https://ik.imagekit.io/attacked/{id}.jpg"),
            "thumbnail": format!("https://ik.imagekit.io/attacked/tr:n-thumb/{id}.jpg"),
            "tags": null_if_empty(tags), "AITags": null_if_empty(&ai_tags),
            "versionInfo": {"id": format!("{id}-{version}"), "name": format!("Version {version}")},
            "description": self.description, "customCoordinates": self.coordinates,
            "customMetadata": self.metadata, "isPublished": self.is_published,
            "isPrivateFile": false, "fileType": "image", "mime": "image/jpeg",
            "width": 100, "height": 100, "size": 1000, "hasAlpha": false,
            "createdAt": "2026-01-01T00:00:00.000Z",
            "updatedAt": format!("2026-01-02T00:{:02}:{:02}.000Z", self.updated / 60 % 60, self.updated % 60),
        })
    }

    pub(crate) fn add_tags(&mut self, tags: &[String]) {
        for tag in tags {
            if !self.tags.contains(tag) {
                self.tags.push(tag.clone());
            }
        }
    }

    pub(crate) fn remove_tags(&mut self, tags: &[String]) {
        self.tags.retain(|tag| !tags.contains(tag));
    }

    pub(crate) fn remove_ai_tags(&mut self, tags: &[String]) {
        self.ai_tags.retain(|(name, _)| !tags.contains(name));
    }
}

fn null_if_empty<T: serde::Serialize>(list: &[T]) -> Value {
    if list.is_empty() { Value::Null } else { json!(list) }
}
