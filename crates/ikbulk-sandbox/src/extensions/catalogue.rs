//! Checks the extensions of a request, and resolves saved ones.

use serde_json::Value;

use crate::extensions::extension::{Extension, Reason};
use crate::extensions::parse::{name, parse};
use crate::extensions::saved::SavedExtensions;
use crate::library::fields::Fields;

/// A valid extension of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Requested {
    pub(crate) extension: Extension,
    /// The configuration; that of the saved extension if the request names one.
    pub(crate) configuration: Value,
}

/// The account's custom metadata fields and saved extensions, by which requests are checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalogue {
    fields: Fields,
    pub(crate) saved: SavedExtensions,
}

impl Catalogue {
    /// # Errors
    /// A saved extension is invalid.
    pub(crate) fn new(fields: Fields, saved: &[Value]) -> Result<Self, Reason> {
        let saved = SavedExtensions::new(saved, &fields)?;
        Ok(Self { fields, saved })
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The fields, and the saved extensions to change.
    pub(crate) fn saved_mut(&mut self) -> (&Fields, &mut SavedExtensions) {
        (&self.fields, &mut self.saved)
    }

    /// Checks the `extensions` of a request.
    ///
    /// # Errors
    /// The reason why the first invalid one is invalid.
    pub(crate) fn check(&self, config: &Value) -> Result<Vec<Requested>, Reason> {
        let list = config.as_array().ok_or("It should be an array of extensions.")?;
        for (place, entry) in list.iter().enumerate() {
            let is_repeated = entry["name"] == "saved-extension"
                && list[..place].iter().any(|before| before["id"] == entry["id"]);
            if is_repeated {
                return Err(format!("The saved extension {} is given twice.", entry["id"]));
            }
        }
        list.iter().map(|entry| self.extension(entry)).collect()
    }

    fn extension(&self, config: &Value) -> Result<Requested, Reason> {
        if name(config)? != "saved-extension" {
            let extension = parse(config, &self.fields)?;
            return Ok(Requested { extension, configuration: config.clone() });
        }
        let id = config["id"].as_str().ok_or("saved-extension needs an id.")?;
        let saved = self.saved.get(id).map(|saved| Requested {
            extension: saved.extension.clone(),
            configuration: saved.object["config"].clone(),
        });
        saved.ok_or_else(|| format!("The saved extension {id} does not exist."))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::defaults;

    fn check(extension: &Value) -> Result<Requested, Reason> {
        let fields = Fields::new(&defaults::fields()).unwrap();
        let catalogue = Catalogue::new(fields, &defaults::saved()).unwrap();
        catalogue.check(&json!([extension])).map(|mut list| list.remove(0))
    }

    #[test]
    fn saved_extension_is_resolved() {
        for saved in defaults::saved() {
            let reference = json!({"name": "saved-extension", "id": saved["id"]});
            let resolved = check(&reference).unwrap();
            assert_eq!(resolved, check(&saved["config"]).unwrap());
            assert_eq!(resolved.configuration, saved["config"]);
        }
    }

    #[test]
    fn unknown_saved_extension_is_rejected() {
        assert!(check(&json!({"name": "saved-extension"})).is_err());
        assert!(check(&json!({"name": "saved-extension", "id": "ext_unknown"})).is_err());
    }
}
