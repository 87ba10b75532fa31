//! Custom metadata: the values of files, and the changes of requests.

use serde::ser::{Serialize, Serializer};
use serde_json::{Map, Value};

/// The custom metadata of a file. A list, because a map would need much more memory for two entries.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Metadata(Vec<(String, Value)>);

impl Metadata {
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Number of values. Each of a list counts.
    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|(_, value)| count(value)).sum()
    }

    /// Merges a change; other fields keep their values.
    pub(crate) fn apply(&mut self, change: MetadataChange) {
        for (name, value) in change.0 {
            match value {
                Some(value) => self.set(&name, value),
                None => self.0.retain(|(key, _)| *key != name),
            }
        }
    }
}

impl From<Map<String, Value>> for Metadata {
    fn from(map: Map<String, Value>) -> Self {
        Self(map.into_iter().collect())
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// A valid change: fields with the value to set, or `None` to unset.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct MetadataChange(pub(crate) Vec<(String, Option<Value>)>);

impl MetadataChange {
    /// Number of values that it sets. Each of a list counts.
    pub(crate) fn count(&self) -> usize {
        self.0.iter().filter_map(|(_, value)| value.as_ref()).map(count).sum()
    }
}

fn count(value: &Value) -> usize {
    value.as_array().map_or(1, Vec::len)
}
