//! Which account a key belongs to.

use std::fmt;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::Service;

/// The host that ImageKit serves files from, with the account's ImageKit id as the first folder.
const IMAGEKIT_FILES: &str = "ik.imagekit.io";

/// A key, as a fingerprint of itself and its service: enough to tell keys apart, useless to get at
/// the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFingerprint(Box<str>);

impl KeyFingerprint {
    /// The fingerprint of a key of that service.
    #[must_use]
    pub fn new(service: &Service, key: &SecretString) -> Self {
        let mut hash = blake3::Hasher::new_derive_key("ikbulk 2026-11 key fingerprint");
        hash.update(service.as_str().as_bytes());
        hash.update(&[0]);
        hash.update(key.expose_secret().as_bytes());
        let hex = hash.finalize().to_hex();
        Self(hex.chars().take(16).collect())
    }

    /// Sixteen hexadecimal digits.
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

/// What the URLs of an account's files have in common: its ImageKit id, or the host of its own
/// domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountName(Box<str>);

impl AccountName {
    /// The account that a file with this URL belongs to; `None` where the URL does not say.
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

    /// The name that a run's ledger holds.
    #[must_use]
    pub fn recorded(name: &str) -> Self {
        Self(name.into())
    }

    /// The ImageKit id or the host.
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

/// An account, by all that is known of it: a service, a key, and a name once a file has been seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The service.
    pub service: Service,
    /// The key in use.
    pub key: KeyFingerprint,
    /// The name; `None` where the library is empty or may not be listed.
    pub name: Option<AccountName>,
}

impl Identity {
    /// Whether both are certainly the same account: by their key or by their name.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let is_named_alike = self.name.is_some() && self.name == other.name;
        self.service == other.service && (self.key == other.key || is_named_alike)
    }

    /// The names under which an account is looked up, the most stable one first. Two keys of one
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
