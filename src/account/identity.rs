//! Identifies accounts by key and name.

use std::fmt;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::Service;

/// Host of file URLs. Their first path segment is the account's ImageKit id.
const IMAGEKIT_FILES: &str = "ik.imagekit.io";

/// A one-way fingerprint of a key and its service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFingerprint(Box<str>);

impl KeyFingerprint {
    /// Hashes a key of a service.
    #[must_use]
    pub fn new(service: &Service, key: &SecretString) -> Self {
        let mut hash = blake3::Hasher::new_derive_key("ikbulk 2026-11 key fingerprint");
        hash.update(service.as_str().as_bytes());
        hash.update(&[0]);
        hash.update(key.expose_secret().as_bytes());
        let hex = hash.finalize().to_hex();
        Self(hex.chars().take(16).collect())
    }

    /// The fingerprint as 16 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name of an account, taken from its files' URLs: its ImageKit id, or its custom domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountName(Box<str>);

impl AccountName {
    /// The account of a file with this URL; `None` if the URL is invalid or has no ImageKit id.
    #[must_use]
    pub fn of_file_url(url: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let host = url.host_str()?.trim_end_matches('.');
        if host != IMAGEKIT_FILES {
            return Some(Self(host.into()));
        }
        let id = url.path_segments()?.next().filter(|id| !id.is_empty())?;
        Some(Self(id.into()))
    }

    /// A name read from a ledger or the state database.
    #[must_use]
    pub fn recorded(name: &str) -> Self {
        Self(name.into())
    }

    /// The ImageKit id or the custom domain.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What identifies an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The service that the account belongs to.
    pub service: Service,
    /// Fingerprint of the key in use.
    pub key: KeyFingerprint,
    /// Name of the account; `None` if the library is empty or cannot be listed.
    pub name: Option<AccountName>,
}

impl Identity {
    /// Whether both certainly identify the same account, by key or by name.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let has_same_name = self.name.is_some() && self.name == other.name;
        self.service == other.service && (self.key == other.key || has_same_name)
    }

    /// The aliases of the account in the state database, the most stable one first. All keys of an
    /// account share its name.
    pub(super) fn aliases(&self) -> impl Iterator<Item = String> {
        let name = self.name.as_ref().map(|name| format!("name {name}"));
        name.into_iter().chain([format!("key {}", self.key)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_name_is_imagekit_id_or_own_domain() {
        let name = |url| AccountName::of_file_url(url).map(|name| name.to_string());
        assert_eq!(name("https://ik.imagekit.io/demo/a/b.jpg").as_deref(), Some("demo"));
        assert_eq!(name("https://cdn.example.com/a/b.jpg").as_deref(), Some("cdn.example.com"));
        assert_eq!(name("https://ik.imagekit.io/"), None);
        assert_eq!(name("not a url"), None);
    }
}
