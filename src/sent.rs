//! What a request carried. The ledger records it for each step, so that nothing has to be inferred
//! from the input and the plan.

use crate::row::{Extension, ExtensionFingerprint, ExtensionName, Extensions, FieldSet};

/// What the request of a step carried; empty if none was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sent {
    /// The fields that the request set.
    pub fields: FieldSet,
    /// The extensions that it ran.
    pub extensions: Box<[SentExtension]>,
}

/// An extension that a request ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentExtension {
    /// Its name.
    pub name: ExtensionName,
    /// Hash of its name and configuration.
    pub fingerprint: ExtensionFingerprint,
    /// The fields that it may write.
    pub writes: FieldSet,
}

impl Sent {
    /// Fields and extensions of a request.
    #[must_use]
    pub fn new(fields: FieldSet, extensions: Option<&Extensions>) -> Self {
        let extensions = extensions.map(Extensions::as_slice).unwrap_or_default();
        Self { fields, extensions: extensions.iter().map(SentExtension::of).collect() }
    }

    /// Whether nothing was sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.extensions.is_empty()
    }

    /// The fields that its extensions may write.
    #[must_use]
    pub fn extension_fields(&self) -> FieldSet {
        let all = self.extensions.iter();
        all.fold(FieldSet::default(), |fields, extension| fields.union(extension.writes))
    }

    /// The extensions as text: `<name>:<fingerprint>:<fields>`, separated by spaces. `None` if there
    /// are none.
    #[must_use]
    pub fn extensions_as_text(&self) -> Option<String> {
        let texts = self.extensions.iter().map(|SentExtension { name, fingerprint, writes }| {
            format!("{}:{}:{}", name.as_str(), fingerprint.0, writes.bits())
        });
        let texts: Vec<String> = texts.collect();
        (!texts.is_empty()).then(|| texts.join(" "))
    }

    /// Reads [`Self::extensions_as_text`]; `None` if the text is damaged.
    #[must_use]
    pub fn extensions_from_text(text: &str) -> Option<Box<[SentExtension]>> {
        let extension = |text: &str| {
            let mut parts = text.split(':');
            let name = ExtensionName::parse(parts.next()?)?;
            let fingerprint = ExtensionFingerprint(parts.next()?.parse().ok()?);
            let writes = FieldSet::from_bits(parts.next()?.parse().ok()?);
            Some(SentExtension { name, fingerprint, writes })
        };
        text.split_ascii_whitespace().map(extension).collect()
    }
}

impl SentExtension {
    pub(crate) fn of(extension: &Extension) -> Self {
        let (name, fingerprint) = (extension.name(), extension.fingerprint());
        Self { name, fingerprint, writes: extension.writes() }
    }
}
