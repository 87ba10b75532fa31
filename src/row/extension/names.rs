//! What the names in a cell of extensions stand for: presets of the settings, and extensions that the
//! account has saved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Extension, ExtensionName, SavedRef, config};
use crate::row::problem::Invalid;
use crate::row::suggest::closest_name;

/// Maximum names in a message.
const NAMES_SHOWN_MAX: usize = 20;

/// The names that stand for extensions. Recorded with a run, so that every later reading of its
/// input gives the same extensions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExtensionNames {
    /// Configurations by name, from the settings.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    presets: BTreeMap<String, Vec<Value>>,
    /// The names of the extensions of rows that have none of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_all: Option<String>,
    /// The saved extensions of the account; `None` before they are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved: Option<Vec<SavedExtension>>,
}

/// An extension that the account has saved: an entry of `GET /v1/saved-extensions`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedExtension {
    /// Its id, with which a request names it.
    pub id: String,
    /// Its name, for people; not unique.
    pub name: String,
    /// The configuration that it stands for.
    pub config: Value,
}

impl ExtensionNames {
    /// Adds a preset: an extension, or a list of them.
    ///
    /// # Errors
    /// The name or a configuration cannot be used; the reason completes "the preset …".
    pub fn add_preset(&mut self, name: &str, extensions: Value) -> Result<(), String> {
        let is_name = !name.is_empty()
            && name == name.trim()
            && !name.contains(',')
            && !name.starts_with(['[', '{', '"']);
        if !is_name {
            return Err("has a name that no cell can contain; use letters, digits and -".to_owned());
        }
        let extensions = match extensions {
            Value::Array(extensions) => extensions,
            one => vec![one],
        };
        let parsed = extensions.iter().map(|extension| self.configured(extension));
        let parsed = parsed.collect::<Result<Vec<_>, _>>().and_then(|parsed| {
            super::check_status_keys(&parsed)?;
            Ok(parsed)
        });
        match parsed {
            Ok(parsed) if parsed.is_empty() => Err("has no extensions; add one".to_owned()),
            Ok(_) => {
                self.presets.insert(name.to_owned(), extensions);
                Ok(())
            }
            Err(Invalid { problem, suggestion, .. }) => Err(format!("{problem}; {suggestion}")),
        }
    }

    /// Checks the extensions of rows that have none of their own.
    ///
    /// # Errors
    /// They cannot be used; the reason is for people.
    pub fn check_for_all(&self) -> Result<(), String> {
        let reason = |Invalid { problem, suggestion, .. }| {
            let names = self.for_all.as_deref().unwrap_or_default();
            format!(
                "the extensions {names:?} of all rows cannot be run: the list {problem}; {suggestion}"
            )
        };
        super::Extensions::for_all(self).map(drop).map_err(reason)
    }

    /// The presets of both; these take precedence.
    #[must_use]
    pub fn or(mut self, others: Self) -> Self {
        for (name, preset) in others.presets {
            self.presets.entry(name).or_insert(preset);
        }
        self
    }

    /// The extension of an object in a cell.
    pub(super) fn configured(&self, config: &Value) -> Result<Extension, Invalid> {
        let extension = config::parse(config)?;
        match extension.unresolved_id() {
            Some(id) => self.saved(id),
            None => Ok(extension),
        }
    }

    /// The extensions with this name: a preset, or else a saved extension. `fix` is what to do about the
    /// bare name of an extension.
    pub(super) fn named(
        &self,
        name: &str,
        fix: fn(&str) -> String,
    ) -> Result<Vec<Extension>, Invalid> {
        if let Some(preset) = self.presets.get(name) {
            return preset.iter().map(|extension| self.configured(extension)).collect();
        }
        let is_of_account = |saved: &[SavedExtension]| saved.iter().any(|it| it.is_called(name));
        let is_saved = self.saved.as_deref().is_some_and(is_of_account);
        if !is_saved && ExtensionName::parse(name).is_some() {
            let problem = format!("names {name:?} without its configuration");
            return Err(Invalid::new(problem, fix(name)));
        }
        self.saved(name).map(|extension| vec![extension])
    }

    /// The saved extension with this id or name. Before the saved extensions are read, it stands for
    /// itself, with unknown units.
    fn saved(&self, wanted: &str) -> Result<Extension, Invalid> {
        let Some(saved) = &self.saved else {
            return Ok(Extension::unresolved(wanted));
        };
        if let Some(by_id) = saved.iter().find(|saved| saved.id == wanted) {
            return by_id.extension();
        }
        let mut by_name = saved.iter().filter(|saved| saved.name.trim() == wanted.trim());
        match (by_name.next(), by_name.next()) {
            (Some(only), None) => only.extension(),
            (Some(first), Some(second)) => Err(Invalid::new(
                format!("names {wanted:?}, which several saved extensions are called"),
                format!("use the id of one, such as {} or {}", first.id, second.id),
            )),
            (None, _) => Err(self.unknown(wanted, saved)),
        }
    }

    fn unknown(&self, wanted: &str, saved: &[SavedExtension]) -> Invalid {
        let names = || {
            let saved = saved.iter().flat_map(|saved| [saved.name.as_str(), saved.id.as_str()]);
            self.presets.keys().map(String::as_str).chain(saved)
        };
        let close = closest_name(wanted, names());
        let close = close.map(|close| format!("did you mean {close:?}? ")).unwrap_or_default();
        let known = if names().next().is_none() {
            "the account has none, and the settings have no presets".to_owned()
        } else {
            format!("known: {}", self.known(saved))
        };
        Invalid::new(
            format!("names {wanted:?}, which is no preset and no saved extension"),
            format!("{close}{known}"),
        )
    }

    /// The presets and the saved extensions, for messages.
    fn known(&self, saved: &[SavedExtension]) -> String {
        let presets = self.presets.keys().map(|name| format!("{name} (preset)"));
        let saved = saved.iter().map(|SavedExtension { id, name, .. }| format!("{name} ({id})"));
        let mut known: Vec<String> = presets.chain(saved).collect();
        if known.len() > NAMES_SHOWN_MAX {
            known.truncate(NAMES_SHOWN_MAX);
            known.push("…".to_owned());
        }
        known.join(", ")
    }
}

impl SavedExtension {
    /// Whether this is its id or name.
    fn is_called(&self, wanted: &str) -> bool {
        self.id == wanted || self.name.trim() == wanted.trim()
    }

    /// The extension that it stands for. `ImageKit` has checked its configuration, so that only its
    /// name matters here: it decides about price, status and written fields.
    fn extension(&self) -> Result<Extension, Invalid> {
        let name = self.config.get("name").and_then(Value::as_str).unwrap_or_default();
        match ExtensionName::parse(name) {
            Some(name) if name != ExtensionName::SavedExtension => Ok(Extension {
                name,
                config: self.config.clone(),
                saved: Some(SavedRef {
                    id: self.id.as_str().into(),
                    name: self.name.as_str().into(),
                }),
            }),
            _ => Err(Invalid::new(
                format!(
                    "names the saved extension {:?} ({}), which stands for {name:?}",
                    self.name, self.id
                ),
                "its price and effect are not known here, so that it is not run: install a newer \
                 version, or use another extension",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn saved(id: &str, name: &str, config: Value) -> SavedExtension {
        SavedExtension { id: id.to_owned(), name: name.to_owned(), config }
    }

    fn names() -> ExtensionNames {
        let mut names = ExtensionNames::default();
        let tagging = json!({"name": "google-auto-tagging", "minConfidence": 95, "maxTags": 5});
        names.add_preset("shoes", tagging.clone()).expect("it is valid");
        let background = json!([{"name": "remove-bg"}, {"name": "saved-extension", "id": "ext_1"}]);
        names.add_preset("shop", background).expect("it is valid");
        names.saved = Some(vec![
            saved("ext_1", "Product tags", tagging),
            saved("ext_2", "Twice", json!({"name": "remove-bg"})),
            saved("ext_3", "Twice", json!({"name": "remove-bg"})),
            saved("ext_4", "New", json!({"name": "ai-video-tagging"})),
        ]);
        names
    }

    fn reason(result: Result<Vec<Extension>, Invalid>) -> String {
        let Invalid { problem, suggestion, .. } = result.expect_err("it is invalid");
        format!("{problem}; {suggestion}")
    }

    #[test]
    fn a_saved_extension_is_what_it_stands_for_by_id_and_by_name() {
        let names = names();
        for wanted in ["ext_1", "Product tags"] {
            let [extension] = &names.named(wanted, str::to_owned).expect("it exists")[..] else {
                panic!("one")
            };
            assert_eq!(extension.name(), ExtensionName::GoogleAutoTagging);
            assert_eq!(extension.sent(), json!({"name": "saved-extension", "id": "ext_1"}));
            // The same configuration, however it is named, is charged once.
            let preset = names.named("shoes", str::to_owned).expect("it exists");
            assert_eq!(extension.fingerprint(), preset[0].fingerprint());
        }
        assert_eq!(names.named("shop", str::to_owned).expect("it exists").len(), 2);
    }

    #[test]
    fn a_name_that_could_mean_another_extension_is_refused_with_what_exists() {
        let names = names();
        let twice = reason(names.named("Twice", str::to_owned));
        assert!(twice.contains("use the id of one, such as ext_2 or ext_3"), "{twice}");
        let new = reason(names.named("ext_4", str::to_owned));
        assert!(new.contains(r#"stands for "ai-video-tagging""#), "{new}");
        let unknown = reason(names.named("Produkt tags", str::to_owned));
        assert!(unknown.contains(r#"did you mean "Product tags"?"#), "{unknown}");
        assert!(unknown.contains("shoes (preset)") && unknown.contains("Product tags (ext_1)"));
        let bare = reason(names.named("remove-bg", |name| format!("configure {name}")));
        assert!(bare.contains("; configure remove-bg"), "{bare}");
    }

    #[test]
    fn before_the_saved_extensions_are_read_a_name_stands_for_itself() {
        let names = ExtensionNames { saved: None, ..names() };
        let [extension] = &names.named("Product tags", str::to_owned).expect("perhaps")[..] else {
            panic!("one")
        };
        assert_eq!(extension.name(), ExtensionName::SavedExtension);
        assert_eq!(extension.unresolved_id(), Some("Product tags"));
    }

    #[test]
    fn presets_follow_the_rules_of_cells() {
        let mut names = ExtensionNames::default();
        let mut reason =
            |name: &str, config: Value| names.add_preset(name, config).expect_err("it is invalid");
        assert!(reason("a,b", json!({"name": "remove-bg"})).contains("no cell can contain"));
        assert!(reason("none", json!([])).contains("no extensions"));
        assert!(reason("typo", json!({"name": "remove-background"})).contains("unknown extension"));
        let tagging = json!({"name": "google-auto-tagging", "minConfidence": 101, "maxTags": 5});
        assert!(reason("tags", tagging).contains("integer from 0 to 100"));
        let twice = json!([{"name": "remove-bg"}, {"name": "remove-bg"}]);
        assert!(reason("twice", twice).contains("remove-bg twice"));
    }
}
