//! What the extensions of a request wrote on its file, by the file object in the response.

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

/// Maximum combined length of the AI tags that are kept, in bytes: 30 (`maxTags`) of 500 characters.
const AI_TAGS_BYTES_MAX: usize = 16 << 10;
/// Maximum length of a description or id that is kept, in bytes.
const TEXT_BYTES_MAX: usize = 8 << 10;

/// Values that extensions wrote. Bounded, because each row keeps its own: the first AI tags, and the
/// beginning of a long text, with an ellipsis.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtensionResults {
    /// The AI tags of the file whose source is one of the extensions, in ImageKit's order; also those
    /// that the file had before, until [`Self::since`] removes them.
    #[serde(rename = "AITags", skip_serializing_if = "Vec::is_empty")]
    pub ai_tags: Vec<FoundTag>,
    /// The description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Box<str>>,
    /// The id of the version that is now the current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Box<str>>,
}

/// An AI tag, as ImageKit found it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FoundTag {
    /// The tag.
    pub name: Box<str>,
    /// How sure the extension is, in percent, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Number>,
    /// The name of the extension that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<str>>,
}

impl ExtensionResults {
    /// What the extensions with these names wrote, according to a file object; `None` if nothing.
    /// Lenient: a value of another type than documented counts as absent.
    pub fn in_file(file: &Value, wrote: impl Fn(&str) -> bool) -> Option<Self> {
        let text =
            |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let is_of_extension = |tag: &FoundTag| tag.source.as_deref().is_some_and(&wrote);
        let mut left = AI_TAGS_BYTES_MAX;
        let fits = |tag: &FoundTag| {
            let rest = left.checked_sub(tag.name.len());
            left = rest.unwrap_or(left);
            rest.is_some()
        };
        let ai_tags = FoundTag::all_in(&file["AITags"]).filter(is_of_extension).take_while(fits);
        let description = text(&file["description"]).filter(|_| wrote(AUTO_DESCRIPTION));
        let version = text(&file["versionInfo"]["id"]).filter(|_| wrote(REMOVE_BG));
        let results = Self {
            ai_tags: ai_tags.collect(),
            description: description.map(|text| shortened(&text)),
            version: version.map(|text| shortened(&text)),
        };
        (results != Self::default()).then_some(results)
    }

    /// What the extensions found: without the AI tags that the file had before, with the same
    /// confidence. `None` if nothing is left.
    #[must_use]
    pub fn since(mut self, before: &[FoundTag]) -> Option<Self> {
        self.ai_tags.retain(|tag| !before.contains(tag));
        (self != Self::default()).then_some(self)
    }

    /// Adds what became known later.
    pub fn add(&mut self, later: Self) {
        for tag in later.ai_tags {
            let is_it = |known: &FoundTag| known.name == tag.name && known.source == tag.source;
            if !self.ai_tags.iter().any(is_it) {
                self.ai_tags.push(tag);
            }
        }
        self.description = later.description.or(self.description.take());
        self.version = later.version.or(self.version.take());
    }
}

/// The extension that writes descriptions.
const AUTO_DESCRIPTION: &str = "ai-auto-description";
/// The extension that makes a new version.
const REMOVE_BG: &str = "remove-bg";

impl FoundTag {
    /// The tags in the value of `AITags`. Skips elements without a name.
    pub fn all_in(ai_tags: &Value) -> impl Iterator<Item = Self> {
        ai_tags.as_array().into_iter().flatten().filter_map(Self::from_json)
    }

    fn from_json(tag: &Value) -> Option<Self> {
        let text = |key: &str| tag[key].as_str().map(Into::into);
        let confidence = tag["confidence"].as_number().cloned();
        Some(Self { name: text("name")?, confidence, source: text("source") })
    }

    /// The tag with its confidence for people, to a tenth of a percent: `Shirt (90.1 %)`. Less than
    /// 100 is never shown as 100.
    #[must_use]
    pub fn with_confidence(&self) -> String {
        let percent = self.confidence.as_ref().and_then(Number::as_f64);
        let Some(percent) = percent else {
            return self.name.to_string();
        };
        let rounded = (percent * 10.0).round() / 10.0;
        let shown = if percent < 100.0 { rounded.min(99.9) } else { rounded };
        format!("{} ({shown} %)", self.name)
    }
}

/// The text, or its beginning with an ellipsis.
fn shortened(text: &str) -> Box<str> {
    if text.len() <= TEXT_BYTES_MAX {
        return text.into();
    }
    format!("{}…", &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_an_extension_of_the_request_wrote_counts() {
        let file = json!({
            "AITags": [
                {"name": "Shirt", "confidence": 90.12, "source": "google-auto-tagging"},
                {"name": "T-shirt", "confidence": 80.12, "source": "aws-auto-tagging"},
                {"confidence": 80.12, "source": "google-auto-tagging"},
                "Sleeve",
            ],
            "description": "A shirt", "versionInfo": {"id": "v2", "name": "Version 2"},
        });
        let of = |names: &[&str]| ExtensionResults::in_file(&file, |name| names.contains(&name));
        let tagged = of(&["google-auto-tagging"]).expect("it wrote a tag");
        assert_eq!(tagged.ai_tags[0].with_confidence(), "Shirt (90.1 %)");
        assert_eq!((tagged.ai_tags.len(), tagged.description, tagged.version), (1, None, None));
        let others = of(&["ai-auto-description", "remove-bg"]).expect("they wrote both");
        assert_eq!(others.description.as_deref(), Some("A shirt"));
        assert_eq!(others.version.as_deref(), Some("v2"));
        assert!(others.ai_tags.is_empty());
        assert_eq!(of(&["ai-tasks"]), None);
        let json = serde_json::to_string(&others).expect("JSON");
        assert_eq!(serde_json::from_str::<ExtensionResults>(&json).expect("JSON"), others);
        for odd in [json!(null), json!([]), json!({"AITags": {}, "versionInfo": "v2"})] {
            assert_eq!(ExtensionResults::in_file(&odd, |_| true), None, "{odd}");
        }
    }

    #[test]
    fn results_of_a_row_are_bounded() {
        let tag =
            json!({"name": "ä".repeat(500), "confidence": 1, "source": "google-auto-tagging"});
        let file = json!({
            "AITags": vec![tag; 1000], "description": "ä".repeat(1 << 20),
            "versionInfo": {"id": "v".repeat(1 << 20)},
        });
        let results = ExtensionResults::in_file(&file, |_| true).expect("it wrote all");
        assert_eq!(results.ai_tags.len(), 16);
        let bytes = serde_json::to_string(&results).expect("JSON").len();
        assert!(bytes < 40_000, "{bytes}");
        assert!(results.description.is_some_and(|text| text.ends_with("ä…")));
    }

    #[test]
    fn confidence_is_rounded_but_never_up_to_100() {
        let shown = |confidence: Value| {
            let tag = json!({"name": "x", "confidence": confidence});
            FoundTag::from_json(&tag).expect("it has a name").with_confidence()
        };
        let cases = [
            (json!(96.283_732_8), "x (96.3 %)"),
            (json!(99.992_882_8), "x (99.9 %)"),
            (json!(100), "x (100 %)"),
            (json!(95), "x (95 %)"),
            (json!("high"), "x"),
            (json!(null), "x"),
        ];
        for (confidence, expected) in cases {
            assert_eq!(shown(confidence), expected);
        }
    }
}
