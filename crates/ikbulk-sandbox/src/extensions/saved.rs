//! The saved extensions of the account.

use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::clock::Iso;
use crate::extensions::extension::{Extension, Reason};
use crate::extensions::parse::parse;
use crate::library::fields::Fields;

/// Maximum number of saved extensions of an account, according to the API's documentation.
const SAVED_MAX: usize = 100;

/// A saved extension.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    id: String,
    /// The API's object.
    pub(crate) object: Value,
    pub(crate) extension: Extension,
}

/// The saved extensions of the account, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct SavedExtensions {
    list: Vec<Saved>,
    /// Number of saved extensions ever created, for unique ids.
    created: u64,
}

impl SavedExtensions {
    /// Saved extensions in the API's format.
    ///
    /// # Errors
    /// An entry is not a valid saved extension.
    pub(crate) fn new(listed: &[Value], fields: &Fields) -> Result<Self, Reason> {
        let saved = |entry: &Value| {
            let id = entry["id"].as_str().ok_or("it has no id")?.to_owned();
            let extension = parse(&entry["config"], fields)?;
            Ok(Saved { id, object: entry.clone(), extension })
        };
        let invalid =
            |entry: &Value, reason: Reason| format!("not a saved extension: {entry}: {reason}");
        let checked = |entry| saved(entry).map_err(|reason| invalid(entry, reason));
        let list = listed.iter().map(checked).collect::<Result<_, _>>()?;
        Ok(Self { list, created: 0 })
    }

    pub(crate) fn objects(&self) -> impl Iterator<Item = &Value> {
        self.list.iter().map(|saved| &saved.object)
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Saved> {
        self.list.iter().find(|saved| saved.id == id)
    }

    /// Creates a saved extension, and returns its object.
    ///
    /// # Errors
    /// The reason why the body is invalid, or that there are too many.
    pub(crate) fn create(
        &mut self,
        body: &Value,
        fields: &Fields,
        wall_ms: i64,
    ) -> Result<&Value, Reason> {
        let body = members(body)?;
        for required in ["name", "description", "config"] {
            if !body.contains_key(required) {
                return Err(format!("{required} parameter is missing."));
            }
        }
        if self.list.len() >= SAVED_MAX {
            return Err(format!("An account has at most {SAVED_MAX} saved extensions."));
        }
        let extension = parse(&body["config"], fields)?;
        self.created += 1;
        let id = format!("ext_{:016x}", xxh3_64(&self.created.to_le_bytes()));
        let now = Iso(wall_ms);
        let mut object = json!({"id": id, "createdAt": now, "updatedAt": now});
        merge(&mut object, body);
        self.list.push(Saved { id, object, extension });
        Ok(&self.list[self.list.len() - 1].object)
    }

    /// Changes the given members of a saved extension, and returns its object; `None` if it does not
    /// exist.
    ///
    /// # Errors
    /// The reason why the body is invalid.
    pub(crate) fn update(
        &mut self,
        id: &str,
        body: &Value,
        fields: &Fields,
        wall_ms: i64,
    ) -> Result<Option<&Value>, Reason> {
        let Some(saved) = self.list.iter_mut().find(|saved| saved.id == id) else {
            return Ok(None);
        };
        let body = members(body)?;
        if let Some(config) = body.get("config") {
            saved.extension = parse(config, fields)?;
        }
        merge(&mut saved.object, body);
        saved.object["updatedAt"] = json!(Iso(wall_ms));
        Ok(Some(&saved.object))
    }

    /// Deletes a saved extension. Returns whether it existed.
    pub(crate) fn delete(&mut self, id: &str) -> bool {
        let before = self.list.len();
        self.list.retain(|saved| saved.id != id);
        self.list.len() < before
    }
}

/// The members of a body, of which the types are checked.
fn members(body: &Value) -> Result<&Map<String, Value>, Reason> {
    let body = body.as_object().ok_or("The request body should be a JSON object.")?;
    for (key, value) in body {
        match key.as_str() {
            "name" if value.as_str().is_none_or(str::is_empty) => {
                return Err("name should be a string that is not empty.".to_owned());
            }
            "description" if !value.is_string() => {
                return Err("description should be a string.".to_owned());
            }
            "name" | "description" | "config" => {}
            other => return Err(format!("Your request contains unknown parameter {other}.")),
        }
    }
    Ok(body)
}

fn merge(object: &mut Value, members: &Map<String, Value>) {
    for (key, value) in members {
        object[key] = value.clone();
    }
}
