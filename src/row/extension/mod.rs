//! Extensions: billed operations on a file. Validated strictly, because every run is billed, also
//! one with a wrong option.
//!
//! Limits and units are from ImageKit's API description and its 2024 pricing.

mod config;
mod fields;
mod names;
mod parse;
mod written_tags;

pub use names::ExtensionNames;
pub(crate) use names::SavedExtension;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::problem::Invalid;
use super::{FieldSet, FileField};

/// The extensions of one row in input order; never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Extensions(Arc<[Extension]>);

/// One extension with its configuration. A saved extension is the one that it stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Extension {
    name: ExtensionName,
    config: Value,
    saved: Option<SavedRef>,
}

/// The saved extension by which a request names an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedRef {
    /// Its id.
    pub id: Box<str>,
    /// Its name, for people.
    pub name: Box<str>,
}

/// A hash of an extension's name and configuration, independent of key order and of options with
/// their documented default. Stable across versions of this program, because the charges database
/// stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExtensionFingerprint(pub i64);

/// The name of an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExtensionName {
    /// `remove-bg`: removes the background; always asynchronous; creates a new file version.
    RemoveBg,
    /// `google-auto-tagging`: writes AI tags.
    GoogleAutoTagging,
    /// `aws-auto-tagging`: writes AI tags.
    AwsAutoTagging,
    /// `ai-auto-description`: writes the description.
    AiAutoDescription,
    /// `ai-tasks`: writes tags and custom metadata, depending on its tasks.
    AiTasks,
    /// `saved-extension`: an extension that the account saved under an id, before its saved
    /// extensions are read. It can be any of the others.
    SavedExtension,
}

/// The charge of one extension run, in ImageKit's extension units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// Units per run, as published.
    Known(u64),
    /// ImageKit publishes no number.
    Unknown,
}

impl ExtensionName {
    /// Every name.
    pub const ALL: [Self; 6] = [
        Self::RemoveBg,
        Self::GoogleAutoTagging,
        Self::AwsAutoTagging,
        Self::AiAutoDescription,
        Self::AiTasks,
        Self::SavedExtension,
    ];

    /// The name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RemoveBg => "remove-bg",
            Self::GoogleAutoTagging => "google-auto-tagging",
            Self::AwsAutoTagging => "aws-auto-tagging",
            Self::AiAutoDescription => "ai-auto-description",
            Self::AiTasks => "ai-tasks",
            Self::SavedExtension => "saved-extension",
        }
    }

    /// Units per run, from ImageKit's 2024 pricing.
    #[must_use]
    pub fn units(self) -> Units {
        match self {
            Self::AwsAutoTagging => Units::Known(1),
            Self::GoogleAutoTagging => Units::Known(2),
            Self::RemoveBg => Units::Known(130),
            Self::AiAutoDescription | Self::AiTasks | Self::SavedExtension => Units::Unknown,
        }
    }

    /// The inverse of [`Self::as_str`]; `None` for an unknown name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }
}

impl Extension {
    /// The name of the extension.
    #[must_use]
    pub fn name(&self) -> ExtensionName {
        self.name
    }

    /// The whole configuration; of a saved extension, the one that it stands for.
    #[must_use]
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// The saved extension by which a request names it; `None` if it has its own configuration.
    #[must_use]
    pub fn saved(&self) -> Option<&SavedRef> {
        self.saved.as_ref()
    }

    /// The extension as a request contains it.
    #[must_use]
    pub fn sent(&self) -> Value {
        match &self.saved {
            Some(SavedRef { id, .. }) => saved_config(id),
            None => self.config.clone(),
        }
    }

    /// A stable hash of the name and configuration. A saved extension has that of the configuration
    /// that it stands for, so that the two are charged once.
    #[must_use]
    pub fn fingerprint(&self) -> ExtensionFingerprint {
        ExtensionFingerprint::of(self.config.clone())
    }

    /// The hashes under which charges may be recorded: [`Self::fingerprint`]; that of the verbatim
    /// configuration, which was recorded before options with their default were left out; and the one
    /// of the id, which was recorded for saved extensions before their configuration was read.
    pub(crate) fn fingerprints(&self) -> impl Iterator<Item = ExtensionFingerprint> {
        let verbatim = ExtensionFingerprint::verbatim(self.config.clone());
        let by_id =
            self.saved.as_ref().map(|saved| ExtensionFingerprint::of(saved_config(&saved.id)));
        let current = self.fingerprint();
        let verbatim = (verbatim != current).then_some(verbatim);
        std::iter::once(current).chain(verbatim).chain(by_id)
    }

    /// A saved extension, named by id or name, whose configuration is not known.
    fn unresolved(wanted: &str) -> Self {
        Self { name: ExtensionName::SavedExtension, config: saved_config(wanted), saved: None }
    }

    /// Whether it is known what it does.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        self.name != ExtensionName::SavedExtension
    }

    /// The id or name of a saved extension whose configuration is not known.
    fn unresolved_id(&self) -> Option<&str> {
        let id = self.config.get("id").and_then(Value::as_str);
        id.filter(|_| !self.is_resolved())
    }

    /// The fields that it may write.
    #[must_use]
    pub fn writes(&self) -> FieldSet {
        match self.name {
            ExtensionName::RemoveBg => FieldSet::default(),
            ExtensionName::GoogleAutoTagging | ExtensionName::AwsAutoTagging => {
                FileField::AiTags.into()
            }
            ExtensionName::AiAutoDescription => FileField::Description.into(),
            ExtensionName::AiTasks => {
                // Tasks that select tags write no metadata.
                let selects_tags = |task: &Map<String, Value>| {
                    task.get("type").and_then(Value::as_str) == Some("select_tags")
                };
                let writes_metadata = self.any_task(|task| !selects_tags(task));
                [(FileField::Tags, true), (FileField::Metadata, writes_metadata)].into()
            }
            // It can be any of the others.
            ExtensionName::SavedExtension => [
                (FileField::Tags, true),
                (FileField::AiTags, true),
                (FileField::Description, true),
                (FileField::Metadata, true),
            ]
            .into(),
        }
    }

    fn any_task(&self, predicate: impl Fn(&Map<String, Value>) -> bool) -> bool {
        let tasks = self.config.get("tasks").and_then(Value::as_array);
        tasks.into_iter().flatten().filter_map(Value::as_object).any(predicate)
    }
}

impl Extensions {
    /// The extensions in input order.
    #[must_use]
    pub fn as_slice(&self) -> &[Extension] {
        &self.0
    }

    /// The selected extensions; `None` if none is selected.
    #[must_use]
    pub fn only(&self, is_selected: impl Fn(&Extension) -> bool) -> Option<Self> {
        let selected: Vec<Extension> = self.0.iter().filter(|e| is_selected(e)).cloned().collect();
        (!selected.is_empty()).then(|| Self(selected.into()))
    }

    /// The fields that the extensions may write.
    #[must_use]
    pub fn writes(&self) -> FieldSet {
        self.0
            .iter()
            .fold(FieldSet::default(), |fields, extension| fields.union(extension.writes()))
    }
}

impl fmt::Display for ExtensionFingerprint {
    /// As 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0.cast_unsigned())
    }
}

impl ExtensionFingerprint {
    fn of(config: Value) -> Self {
        Self::verbatim(config::without_defaults(config))
    }

    fn verbatim(mut config: Value) -> Self {
        config.sort_all_objects();
        Self(xxh3_64(config.to_string().as_bytes()).cast_signed())
    }
}

fn saved_config(id: &str) -> Value {
    json!({"name": ExtensionName::SavedExtension.as_str(), "id": id})
}

/// Checks that each extension has a status of its own: ImageKit reports them by name.
fn check_status_keys(extensions: &[Extension]) -> Result<(), Invalid> {
    let mut status_keys = BTreeSet::new();
    for extension in extensions {
        if !status_keys.insert((extension.name, extension.unresolved_id())) {
            let (name, saved) = (extension.name.as_str(), extension.saved.as_ref());
            let named =
                saved.map(|saved| format!(", once as the saved extension {:?}", saved.name));
            return Err(Invalid::new(
                format!("contains {name} twice{}", named.unwrap_or_default()),
                "list it once: every run is billed, and both would share one status",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Cell;

    fn parse(text: &str) -> Result<Option<Extensions>, Invalid> {
        Extensions::parse(Cell::Text(text), &ExtensionNames::default())
    }

    #[test]
    fn every_documented_extension_is_accepted() {
        let all = r#"[
            {"name":"remove-bg","options":{"add_shadow":true,"bg_color":"green"}},
            {"name":"google-auto-tagging","minConfidence":80,"maxTags":10},
            {"name":"aws-auto-tagging","minConfidence":0,"maxTags":30},
            {"name":"ai-auto-description"},
            {"name":"ai-tasks","tasks":[
                {"type":"select_tags","instruction":"What?","vocabulary":["shirt"]},
                {"type":"select_metadata","instruction":"Colour?","field":"color"},
                {"type":"yes_no","instruction":"Luxury?","on_yes":{"add_tags":["luxury"]}}]},
            {"name":"saved-extension","id":"ext_abc123"}]"#;
        let extensions = parse(all).expect("all are allowed").expect("there are some");
        assert_eq!(extensions.as_slice().len(), 6);
        let writes = extensions.writes();
        assert!(writes.contains(FileField::Tags) && writes.contains(FileField::Metadata));
    }

    #[test]
    fn invalid_extensions_are_rejected_before_being_billed() {
        for problem in [
            "remove-bg",
            r#"{"name":"remove-bg"}"#,
            r#"["remove-bg"]"#,
            r#"[{"name":"remove-background"}]"#,
            r#"[{"name":"remove-bg","options":{"bg_colour":"green"}}]"#,
            r#"[{"name":"remove-bg","options":{"bg_color":"a","bg_image_url":"b"}}]"#,
            r#"[{"name":"google-auto-tagging","minConfidence":80}]"#,
            r#"[{"name":"google-auto-tagging","minConfidence":101,"maxTags":3}]"#,
            r#"[{"name":"ai-tasks","tasks":[]}]"#,
            r#"[{"name":"ai-tasks","tasks":[{"type":"guess","instruction":"x"}]}]"#,
            r#"[{"name":"ai-tasks","tasks":[{"type":"select_tags","instruction":"x","vocabulary":["5%"]}]}]"#,
            r#"[{"name":"saved-extension"}]"#,
            r#"[{"name":"remove-bg"},{"name":"remove-bg"}]"#,
            r#"[{"name":"ai-tasks","tasks":[{"type":"select_tags","instruction":"a"}]},
                {"name":"ai-tasks","tasks":[{"type":"select_tags","instruction":"b"}]}]"#,
            r#"[{"name":"saved-extension","id":"ext_1"},{"name":"saved-extension","id":"ext_1"}]"#,
        ] {
            assert!(parse(problem).is_err(), "{problem}");
        }
    }

    #[test]
    fn written_fields_depend_on_the_extension() {
        let tagging = r#"[{"name":"google-auto-tagging","minConfidence":80,"maxTags":10}]"#;
        let tagging = parse(tagging).expect("allowed").expect("one");
        assert_eq!(tagging.writes(), FileField::AiTags.into());
        let saved = parse(r#"[{"name":"saved-extension","id":"ext_1"}]"#);
        let saved = saved.expect("allowed").expect("one");
        let never = [(FileField::Coordinates, true), (FileField::Publication, true)];
        assert_eq!(saved.writes(), FieldSet::ALL.difference(FieldSet::from(never)));
    }

    fn fingerprint(config: &str) -> i64 {
        let extensions = parse(&format!("[{config}]")).expect("allowed").expect("one");
        extensions.as_slice()[0].fingerprint().0
    }

    const TAGGING: &str = r#"{"name":"google-auto-tagging","minConfidence":80,"maxTags":3}"#;

    #[test]
    fn fingerprint_depends_on_configuration_not_key_order() {
        let reordered = r#"{ "maxTags": 3, "minConfidence": 80, "name": "google-auto-tagging" }"#;
        assert_eq!(fingerprint(TAGGING), fingerprint(reordered));
        let others = [
            r#"{"name":"google-auto-tagging","minConfidence":80,"maxTags":4}"#,
            r#"{"name":"aws-auto-tagging","minConfidence":80,"maxTags":3}"#,
            r#"{"name":"saved-extension","id":"ext_1"}"#,
            r#"{"name":"saved-extension","id":"ext_2"}"#,
        ];
        let numbers: BTreeSet<i64> = others.into_iter().map(fingerprint).collect();
        assert_eq!(numbers.len(), others.len());
        assert!(!numbers.contains(&fingerprint(TAGGING)));
    }

    #[test]
    fn fingerprint_ignores_what_means_the_same_as_its_absence() {
        let remove_bg = |options: &str| {
            fingerprint(&format!(r#"{{"name":"remove-bg","options":{{{options}}}}}"#))
        };
        let plain = fingerprint(r#"{"name":"remove-bg"}"#);
        for options in
            ["", r#""add_shadow":false"#, r#""semitransparency":true,"add_shadow":false"#]
        {
            assert_eq!(remove_bg(options), plain, "{options}");
        }
        for options in [r#""add_shadow":true"#, r#""semitransparency":false"#, r#""bg_color":"a""#]
        {
            assert_ne!(remove_bg(options), plain, "{options}");
        }
        let yes_no = |answers: &str| {
            let task = format!(r#"{{"type":"yes_no","instruction":"?",{answers}}}"#);
            fingerprint(&format!(r#"{{"name":"ai-tasks","tasks":[{task}]}}"#))
        };
        let plain = yes_no(r#""on_yes":{"add_tags":["a"]}"#);
        assert_eq!(yes_no(r#""on_yes":{"add_tags":["a"],"remove_tags":[]},"on_no":{}"#), plain);
        assert_ne!(yes_no(r#""on_yes":{"remove_tags":["a"]}"#), plain);
        assert_ne!(yes_no(r#""on_no":{"add_tags":["a"]}"#), plain);
    }

    #[test]
    fn fingerprint_is_stable_across_versions() {
        assert_eq!(fingerprint(TAGGING), 547_782_109_838_290_722);
        let verbatim = |config: Value| ExtensionFingerprint::verbatim(config).0;
        assert_eq!(fingerprint(r#"{"name":"remove-bg"}"#), verbatim(json!({"name": "remove-bg"})));
    }
}
