//! A file as someone gave it: a partial file object laid over a made-up file.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::clock::parse_iso;
use super::file::{Base, File};
use super::synthetic::SyntheticFile;

/// The file that `object` describes; what it leaves out is made up from the id. Members of a wrong
/// type count as left out: this is a library somebody prepared, not a request.
pub(crate) fn file(id: &str, mut object: Map<String, Value>) -> File {
    let mut file = SyntheticFile::of_id(id).file();
    let url = object.remove("url");
    for (key, value) in object {
        lay_over(&mut file, key, value);
    }
    if let Some(url) = url.as_ref().and_then(Value::as_str) {
        put_endpoint(&mut file.base, url);
    }
    file
}

fn lay_over(file: &mut File, key: String, value: Value) {
    let File { base, details } = file;
    match key.as_str() {
        // Made of the others, or always the same.
        "fileId" | "type" | "thumbnail" | "extensionStatus" => {}
        "name" => put(&mut base.name, text(value)),
        "filePath" => put_path(file, value.as_str()),
        "isPrivateFile" => put(&mut base.is_private, value.as_bool()),
        "fileType" => put(&mut base.file_type, text(value).map(Cow::Owned)),
        "mime" => put(&mut base.mime, text(value).map(Cow::Owned)),
        "width" => put(&mut base.width, value.as_u64()),
        "height" => put(&mut base.height, value.as_u64()),
        "size" => put(&mut base.size, value.as_u64()),
        "hasAlpha" => put(&mut base.has_alpha, value.as_bool()),
        "createdAt" => put(&mut base.created_ms, value.as_str().and_then(parse_iso)),
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
        "isPublished" => put(&mut details.is_published, value.as_bool()),
        "versionInfo" => put(&mut details.version, version(&value)),
        "updatedAt" => put(&mut details.updated_ms, value.as_str().and_then(parse_iso)),
        _ => {
            base.extra.insert(key, value);
        }
    }
}

fn put<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn put_path(file: &mut File, path: Option<&str>) {
    if let Some((folder, name)) = path.and_then(|path| path.rsplit_once('/')) {
        file.base.folder = Cow::Owned(format!("{folder}/"));
        name.clone_into(&mut file.base.name);
    }
}

/// The part of a URL before the path of its file, written as it is or as part of a URL.
fn put_endpoint(base: &mut Base, url: &str) {
    let url = url.split('?').next().unwrap_or_default();
    let written = format!("{}{}", base.folder, base.name);
    let encoded: String = base.url_path().collect();
    if let Some(endpoint) = url.strip_suffix(&written).or_else(|| url.strip_suffix(&encoded)) {
        base.endpoint = Cow::Owned(endpoint.to_owned());
    }
}

/// The number at the end of "Version 3".
fn version(info: &Value) -> Option<u32> {
    info["name"].as_str()?.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sandbox::file::FileObject;

    fn shown(object: &Value) -> Value {
        let File { base, details } = file("f1", object.as_object().unwrap().clone());
        let object = FileObject { base: &base, details: &details, extension_status: &[] };
        object.to_value()
    }

    #[test]
    fn what_is_given_is_shown_and_the_rest_is_made_up() {
        let given = json!({
            "fileId": "f1", "filePath": "/a/b/c.png", "tags": ["x"], "customMetadata": {"brand": "Acme"},
            "description": "old", "isPublished": false, "customCoordinates": "1,2,3,4",
            "AITags": [{"name": "Shoe", "confidence": 90.5, "source": "aws-auto-tagging"}],
            "createdAt": "2020-01-01T00:00:00.000Z", "updatedAt": "2020-01-02T00:00:00.000Z",
            "versionInfo": {"id": "f1v3", "name": "Version 3"}, "bitRate": 12,
        });
        let shown = shown(&given);
        for (key, value) in given.as_object().unwrap() {
            assert_eq!(&shown[key], value, "{key}");
        }
        assert_eq!(shown["name"], "c.png");
        assert_eq!(shown["mime"], "image/jpeg");
    }

    #[test]
    fn a_url_says_where_files_are_delivered() {
        let url = |url: &str| {
            let given = json!({"filePath": "/a b/größe.jpg", "url": url});
            let url = shown(&given)["url"].as_str().unwrap().to_owned();
            url.split_once("?updatedAt=").unwrap().0.to_owned()
        };
        let path = "/a%20b/gr%C3%B6%C3%9Fe.jpg";
        let here = format!("https://images.example.com{path}");
        assert_eq!(url(&format!("{here}?updatedAt=1")), here);
        assert_eq!(url("https://images.example.com/a b/größe.jpg"), here);
        let usual = format!("https://ik.imagekit.io/sandbox{path}");
        assert_eq!(url("https://images.example.com/other.jpg"), usual);
    }

    #[test]
    fn null_clears_what_would_be_made_up() {
        let shown = shown(&json!({"tags": null, "description": null, "customMetadata": {}}));
        assert_eq!(shown["tags"], Value::Null);
        assert_eq!(shown.get("description"), None);
        assert_eq!(shown["customMetadata"], json!({}));
    }
}
