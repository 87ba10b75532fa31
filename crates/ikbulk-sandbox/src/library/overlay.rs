//! Inserted files: a partial file object laid over a generated file.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::clock::parse_iso;
use crate::library::file::{Base, File};
use crate::library::policy::{PathPolicy, Policy};
use crate::library::synthetic::SyntheticFile;

/// The file described by `object`. Omitted members, and members of the wrong type, are generated from
/// the id.
pub(crate) fn file(id: &str, mut object: Map<String, Value>) -> File {
    let mut file = SyntheticFile::of_id(id).file();
    let url = object.remove("url");
    for (key, value) in object {
        set_member(&mut file, key, value);
    }
    if let Some(url) = url.as_ref().and_then(Value::as_str) {
        set_endpoint(&mut file.base, url);
    }
    file
}

fn set_member(file: &mut File, key: String, value: Value) {
    let File { base, details } = file;
    match key.as_str() {
        // Derived from other members, or constant.
        "fileId" | "type" | "thumbnail" | "extensionStatus" => {}
        "name" => set_if_some(&mut base.name, text(value)),
        "filePath" => set_path(file, value.as_str()),
        "isPrivateFile" => set_if_some(&mut base.is_private, value.as_bool()),
        "fileType" => set_if_some(&mut base.file_type, text(value).map(Cow::Owned)),
        "mime" => set_if_some(&mut base.mime, text(value).map(Cow::Owned)),
        "width" => set_if_some(&mut base.width, value.as_u64()),
        "height" => set_if_some(&mut base.height, value.as_u64()),
        "size" => set_if_some(&mut base.size, value.as_u64()),
        "hasAlpha" => set_if_some(&mut base.has_alpha, value.as_bool()),
        "createdAt" => set_if_some(&mut base.created_ms, value.as_str().and_then(parse_iso)),
        "tags" => {
            let tags: Option<Vec<String>> = serde_json::from_value(value).ok();
            details.tags = tags.filter(|tags| !tags.is_empty());
        }
        "AITags" => details.ai_tags = serde_json::from_value(value).unwrap_or_default(),
        "customCoordinates" => details.custom_coordinates = text(value),
        "customMetadata" => {
            if let Value::Object(map) = value {
                details.custom_metadata = map.into();
            }
        }
        "description" => details.description = text(value),
        "isPublished" => set_if_some(&mut details.is_published, value.as_bool()),
        "versionInfo" => set_if_some(&mut details.version, version(&value)),
        "updatedAt" => set_if_some(&mut details.updated_ms, value.as_str().and_then(parse_iso)),
        "selectedFieldsSchema" => base.policy = policy(value),
        _ => {
            base.extra.insert(key, value);
        }
    }
}

fn set_if_some<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn set_path(file: &mut File, path: Option<&str>) {
    if let Some((folder, name)) = path.and_then(|path| path.rsplit_once('/')) {
        file.base.folder = Cow::Owned(format!("{folder}/"));
        name.clone_into(&mut file.base.name);
    }
}

/// Sets the part of a URL before the file's path, which may be percent-encoded in the URL.
fn set_endpoint(base: &mut Base, url: &str) {
    let url = url.split('?').next().unwrap_or_default();
    let path = format!("{}{}", base.folder, base.name);
    let encoded: String = base.url_path().collect();
    if let Some(endpoint) = url.strip_suffix(&path).or_else(|| url.strip_suffix(&encoded)) {
        base.endpoint = Cow::Owned(endpoint.to_owned());
    }
}

/// The path policy that a file object shows; `None` if it is invalid.
fn policy(schema: Value) -> Option<Arc<Policy>> {
    let Value::Object(fields) = schema else { return None };
    let (name, folder) = ("selectedFieldsSchema".to_owned(), String::new());
    Policy::new(&PathPolicy { name, folder, fields }).ok().map(Arc::new)
}

/// The number at the end of "Version 3".
fn version(info: &Value) -> Option<u32> {
    info["name"].as_str()?.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::library::file::FileObject;

    fn overlaid(object: &Value) -> Value {
        let File { base, details } = file("f1", object.as_object().unwrap().clone());
        let object = FileObject { base: &base, details: &details, extension_status: &[] };
        object.to_value()
    }

    #[test]
    fn omitted_members_are_generated() {
        let given = json!({
            "fileId": "f1", "filePath": "/a/b/c.png", "tags": ["x"], "customMetadata": {"brand": "Acme"},
            "description": "old", "isPublished": false, "customCoordinates": "1,2,3,4",
            "AITags": [{"name": "Shoe", "confidence": 90.5, "source": "aws-auto-tagging"}],
            "createdAt": "2020-01-01T00:00:00.000Z", "updatedAt": "2020-01-02T00:00:00.000Z",
            "versionInfo": {"id": "f1v3", "name": "Version 3"}, "bitRate": 12,
        });
        let overlaid = overlaid(&given);
        for (key, value) in given.as_object().unwrap() {
            assert_eq!(&overlaid[key], value, "{key}");
        }
        assert_eq!(overlaid["name"], "c.png");
        assert_eq!(overlaid["mime"], "image/jpeg");
    }

    #[test]
    fn url_determines_url_endpoint() {
        let url = |url: &str| {
            let given = json!({"filePath": "/a b/größe.jpg", "url": url});
            let url = overlaid(&given)["url"].as_str().unwrap().to_owned();
            url.split_once("?updatedAt=").unwrap().0.to_owned()
        };
        let path = "/a%20b/gr%C3%B6%C3%9Fe.jpg";
        let custom = format!("https://images.example.com{path}");
        assert_eq!(url(&format!("{custom}?updatedAt=1")), custom);
        assert_eq!(url("https://images.example.com/a b/größe.jpg"), custom);
        let default = format!("https://ik.imagekit.io/sandbox{path}");
        assert_eq!(url("https://images.example.com/other.jpg"), default);
    }

    #[test]
    fn null_prevents_generated_values() {
        let overlaid = overlaid(&json!({"tags": null, "description": null, "customMetadata": {}}));
        assert_eq!(overlaid["tags"], Value::Null);
        assert_eq!(overlaid.get("description"), None);
        assert_eq!(overlaid["customMetadata"], json!({}));
    }
}
