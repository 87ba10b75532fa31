//! Decides what the current state of a file proves about a request, given the state before it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::claims::Trace;
use crate::extension_results::{ExtensionResults, FoundTag};
use crate::imagekit::FileState;

/// AI tags that are named in the evidence.
const TAGS_NAMED_MAX: usize = 5;

/// Proof that a request took effect, or that its extension succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// What the file has now, for people.
    pub text: String,
    /// What the extension wrote; `None` for a publication.
    pub found: Option<ExtensionResults>,
}

/// What the state of a file proves about a trace. `None` means that nothing is known: the absence of
/// a result never proves that a request had no effect.
#[must_use]
pub(crate) fn evidence(trace: &Trace, before: &FileState, now: &FileState) -> Option<Evidence> {
    match trace {
        Trace::AiTags(source) => ai_tags(source, before, now),
        Trace::Description => description(before, now),
        Trace::Version => version(before, now),
        Trace::Publication(is_published) => publication(*is_published, before, now),
        Trace::Any => None,
    }
}

/// AI tags of the extension that the file did not have.
fn ai_tags(source: &str, before: &FileState, now: &FileState) -> Option<Evidence> {
    let of_source = |tag: &&FoundTag| tag.source.as_deref() == Some(source);
    let had: BTreeSet<&str> =
        before.ai_tags.iter().filter(of_source).map(|tag| &*tag.name).collect();
    let found: Vec<&FoundTag> = now.ai_tags.iter().filter(of_source).collect();
    let names = found.iter().map(|tag| &*tag.name).filter(|name| !had.contains(name));
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        return None;
    }
    let found = ExtensionResults::in_file(&json!({ "AITags": found }), |name| name == source);
    let more = if names.len() > TAGS_NAMED_MAX { ", …" } else { "" };
    let first: Vec<&str> = names.into_iter().take(TAGS_NAMED_MAX).collect();
    Some(Evidence {
        text: format!("the file has its AI tags {}{more}", first.join(", ")),
        found: found.and_then(|found| found.since(&before.ai_tags)),
    })
}

fn description(before: &FileState, now: &FileState) -> Option<Evidence> {
    let text = |state: &FileState| state.description.clone().unwrap_or_default();
    let description = text(now);
    (!description.is_empty() && description != text(before)).then(|| Evidence {
        text: "the file has a new description".to_owned(),
        found: results(&json!({ "description": description })),
    })
}

fn version(before: &FileState, now: &FileState) -> Option<Evidence> {
    let id = |state: &FileState| state.version_info.as_ref()?.id.clone();
    let (before, now) = (id(before)?, id(now)?);
    (before != now).then(|| Evidence {
        text: format!("the file has the new version {now}"),
        found: results(&json!({ "versionInfo": { "id": now } })),
    })
}

fn publication(requested: bool, before: &FileState, now: &FileState) -> Option<Evidence> {
    let is_changed = before.is_published == Some(!requested) && now.is_published == Some(requested);
    let state = if requested { "published" } else { "not published" };
    let text = format!("the file is now {state}");
    is_changed.then_some(Evidence { text, found: None })
}

/// What an extension wrote, from those keys of the file object that it writes.
fn results(written: &Value) -> Option<ExtensionResults> {
    ExtensionResults::in_file(written, |_| true)
}

/// Whether a listed state is at least as new as a state with the time `since`. Both times are
/// ImageKit's. A stale list can show what a file had before the request, so a state that may be older
/// proves nothing.
pub(super) fn is_since(listed: &FileState, since: Option<Timestamp>) -> bool {
    let updated_at = listed.updated_at.as_deref().and_then(|text| text.parse().ok());
    updated_at.zip(since).is_some_and(|(listed, since): (Timestamp, Timestamp)| listed >= since)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(json: &str) -> FileState {
        serde_json::from_str(json).expect("a file object")
    }

    fn text(trace: &Trace, before: &str, now: &str) -> Option<String> {
        evidence(trace, &state(before), &state(now)).map(|evidence| evidence.text)
    }

    #[test]
    fn only_new_tags_of_the_extension_are_evidence() {
        let google = Trace::AiTags("google-auto-tagging".into());
        let tag = |name: &str, source: &str| {
            format!(r#"{{"name":"{name}","source":"{source}","confidence":90.5}}"#)
        };
        let google_tag = |name| tag(name, "google-auto-tagging");
        let file = |tags: &[String]| format!(r#"{{"AITags":[{}]}}"#, tags.join(","));
        let shoe = file(&[google_tag("Shoe")]);
        let both = file(&[google_tag("Shoe"), google_tag("Bag"), tag("Cat", "aws-auto-tagging")]);
        let expected = |names| Some(format!("the file has its AI tags {names}"));
        assert_eq!(text(&google, r#"{"AITags":null}"#, &shoe), expected("Shoe"));
        assert_eq!(text(&google, &shoe, &both), expected("Bag"));
        for (before, now) in [(&both, &shoe), (&shoe, &shoe)] {
            assert_eq!(text(&google, before, now), None);
        }
        assert_eq!(text(&google, "{}", &file(&[tag("Cat", "aws-auto-tagging")])), None);
        assert_eq!(text(&google, &shoe, "{}"), None, "absence proves nothing");
        let found = evidence(&google, &state("{}"), &state(&shoe)).and_then(|it| it.found);
        let tags: Vec<String> =
            found.unwrap_or_default().ai_tags.iter().map(FoundTag::with_confidence).collect();
        assert_eq!(tags, ["Shoe (90.5 %)"]);
        let found = evidence(&google, &state(&shoe), &state(&both)).and_then(|it| it.found);
        let names: Vec<Box<str>> =
            found.unwrap_or_default().ai_tags.into_iter().map(|tag| tag.name).collect();
        assert_eq!(names, ["Bag".into()], "what was there before was not found");
    }

    #[test]
    fn new_description_and_version_are_evidence() {
        let described = r#"{"description":"A shoe"}"#;
        let new = Some("the file has a new description".to_owned());
        assert_eq!(text(&Trace::Description, r#"{"description":""}"#, described), new);
        assert_eq!(text(&Trace::Description, r#"{"description":"Old"}"#, described), new);
        assert_eq!(text(&Trace::Description, described, described), None);
        assert_eq!(text(&Trace::Description, described, r#"{"description":null}"#), None);
        let version = |id: &str| format!(r#"{{"versionInfo":{{"id":"{id}","name":"x"}}}}"#);
        let new = Some("the file has the new version v2".to_owned());
        assert_eq!(text(&Trace::Version, &version("v1"), &version("v2")), new);
        assert_eq!(text(&Trace::Version, &version("v1"), &version("v1")), None);
        assert_eq!(text(&Trace::Version, "{}", &version("v2")), None);
        assert_eq!(text(&Trace::Version, &version("v1"), "{}"), None);
    }

    #[test]
    fn publication_is_evidence_if_it_was_different_before() {
        let [yes, no] = [true, false].map(|it| format!(r#"{{"isPublished":{it}}}"#));
        let unpublish = Trace::Publication(false);
        let now = Some("the file is now not published".to_owned());
        assert_eq!(text(&unpublish, &yes, &no), now);
        for (before, now) in [(&no, &no), (&yes, &yes), (&no, &yes)] {
            assert_eq!(text(&unpublish, before, now), None);
        }
        assert_eq!(text(&unpublish, "{}", &no), None);
    }

    #[test]
    fn listed_state_counts_if_it_is_not_older() {
        let at = |text: &str| state(&format!(r#"{{"updatedAt":"{text}"}}"#));
        let since = Some("2026-11-29T10:00:00.500Z".parse().expect("a time"));
        assert!(is_since(&at("2026-11-29T10:00:00.500Z"), since));
        assert!(is_since(&at("2026-11-29T10:00:01Z"), since));
        assert!(!is_since(&at("2026-11-29T10:00:00.499Z"), since));
        assert!(!is_since(&at("yesterday"), since) && !is_since(&state("{}"), since));
        assert!(!is_since(&at("2026-11-29T10:00:01Z"), None));
    }
}
