//! Reads and validates the private key.
//!
//! Messages never contain any part of what was read, since all of it may be secret.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use ikbulk::engine::Key;
use ikbulk::internals::system;
use secrecy::SecretString;

/// The environment variable of the key, as in ImageKit's SDKs.
const VARIABLE: &str = "IMAGEKIT_PRIVATE_KEY";
/// Prefixes of ImageKit's private and public keys.
const PRIVATE: &str = "private_";
const PUBLIC: &str = "public_";
/// Quotes that editors and settings files put around values.
const QUOTES: [char; 7] = ['"', '\'', '`', '“', '”', '‘', '’'];

fn env_key() -> Option<OsString> {
    std::env::var_os(VARIABLE)
}

/// Whether the environment has a key. It takes precedence over the key files of profiles.
pub(super) fn is_in_env() -> bool {
    env_key().is_some_and(|key| !key.is_empty())
}

/// Reads the key from `file`, or else from the environment.
pub(super) fn read(file: Option<&Path>) -> Key {
    let read = match (file, env_key()) {
        (Some(path), _) => read_file(path)
            .and_then(|bytes| parse_key(bytes, &format!("the key file {}", path.display()))),
        (None, Some(key)) => parse_key(key.into_vec(), &format!("the private key in {VARIABLE}")),
        (None, None) => return Key::Missing,
    };
    read.map_or_else(Key::Unusable, Key::Given)
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error| format!("cannot read the key file {}: {error}", path.display());
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    warn_if_exposed(path, &metadata);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn warn_if_exposed(path: &Path, metadata: &Metadata) {
    let path = path.display();
    // A pipe, as from a password manager, leaves nothing on disk.
    if !metadata.is_file() {
        return;
    }
    if !system::is_ours_or_roots(metadata) {
        tracing::warn!("the key file {path} belongs to another user, who can read the key");
    } else if metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!("other users can read the key file {path}; run: chmod 600 {path}");
    }
}

/// Parses a key, without the byte order mark and line end that editors and shells add. `origin`
/// names its source in messages.
fn parse_key(bytes: Vec<u8>, origin: &str) -> Result<SecretString, String> {
    let text = decode(bytes).ok_or_else(|| format!("{origin} is not text"))?;
    let key = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    if key.is_empty() {
        return Err(format!("{origin} is empty"));
    }
    match problem(key) {
        Some(problem) => Err(format!("{origin}: {problem}")),
        None => Ok(key.to_owned().into()),
    }
}

/// Decodes UTF-8, or the UTF-16 that Windows PowerShell writes.
fn decode(bytes: Vec<u8>) -> Option<String> {
    let units = |unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.as_chunks().0.iter().copied().map(unit).collect();
        String::from_utf16(&units).ok()
    };
    match bytes.as_slice() {
        [0xff, 0xfe, ..] => units(u16::from_le_bytes),
        [0xfe, 0xff, ..] => units(u16::from_be_bytes),
        _ => String::from_utf8(bytes).ok(),
    }
}

/// Why a text is not a private key, and how to fix that; `None` if it may be one.
fn problem(text: &str) -> Option<&'static str> {
    if text.starts_with(QUOTES) || text.ends_with(QUOTES) {
        return Some("the key is in quotes; remove them");
    }
    if let Some(name) = assigned_name(text) {
        return Some(if name == VARIABLE {
            "IMAGEKIT_PRIVATE_KEY= precedes the key; remove it"
        } else {
            "a name and = precede the key; remove them"
        });
    }
    if text.starts_with(PUBLIC) {
        return Some(
            "this is a public key (public_…), which cannot change files; use the private key \
             (private_…) that the dashboard shows beside it",
        );
    }
    // In HTTP Basic authentication the user name ends at `:`, so only a part of the key would be
    // sent.
    text.contains(':').then_some("the key contains `:`, which no private key does; copy it again")
}

/// The variable name before an `=`, as in shell and `.env` files: `NAME=key`, `export NAME=key`,
/// `$env:NAME = key`. `None` without a name: a key itself can end in `=`.
fn assigned_name(text: &str) -> Option<&str> {
    let (before, value) = text.split_once('=')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_$: \t".contains(c);
    let name = before.trim_end().rsplit([' ', '\t', ':']).next()?;
    let has_value = !value.trim_matches('=').is_empty() || name == VARIABLE;
    let is_named = before.chars().all(is_name) && !before.starts_with(PRIVATE) && has_value;
    is_named.then_some(name)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn key(bytes: &[u8]) -> Result<String, String> {
        let key = parse_key(bytes.to_vec(), "the key file key");
        key.map(|key| key.expose_secret().to_owned())
    }

    #[test]
    fn byte_order_marks_and_line_ends_are_trimmed() {
        let utf16 = |order: fn(u16) -> [u8; 2]| {
            let text = "\u{feff}private_a=\r\n".encode_utf16().flat_map(order);
            text.collect::<Vec<u8>>()
        };
        let (little, big) = (utf16(u16::to_le_bytes), utf16(u16::to_be_bytes));
        for bytes in
            ["private_a=", "\u{feff}private_a=", " private_a=\r\n\n", "\u{feff}\u{a0}private_a=\t"]
                .map(str::as_bytes)
                .into_iter()
                .chain([little.as_slice(), &big])
        {
            assert_eq!(key(bytes).as_deref(), Ok("private_a="), "{bytes:?}");
        }
        // Servers other than ImageKit may have keys in other forms.
        for other in ["sandbox", "abc==", "_-/+"] {
            assert_eq!(key(other.as_bytes()).as_deref(), Ok(other));
        }
    }

    #[test]
    fn invalid_keys_are_explained_without_being_shown() {
        for (text, why) in [
            ("", "is empty"),
            ("\u{feff}\n", "is empty"),
            ("\"private_secret\"", "quotes"),
            ("“private_secret”", "quotes"),
            ("private_secret'", "quotes"),
            ("IMAGEKIT_PRIVATE_KEY=private_secret", "IMAGEKIT_PRIVATE_KEY= precedes"),
            ("IMAGEKIT_PRIVATE_KEY=", "IMAGEKIT_PRIVATE_KEY= precedes"),
            ("export IMAGEKIT_PRIVATE_KEY=private_secret", "IMAGEKIT_PRIVATE_KEY= precedes"),
            ("$env:IMAGEKIT_PRIVATE_KEY = private_secret", "IMAGEKIT_PRIVATE_KEY= precedes"),
            ("KEY=private_secret=", "a name and = precede"),
            ("public_secret=", "public key"),
            ("private_secret:", "contains `:`"),
            ("private:secret", "contains `:`"),
        ] {
            let message = key(text.as_bytes()).unwrap_err();
            assert!(message.contains(why), "{text}: {message}");
            assert!(!message.contains("secret"), "{text}: {message}");
        }
        assert_eq!(key(b"private_\xff").unwrap_err(), "the key file key is not text");
    }
}
