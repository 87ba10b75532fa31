//! The private key: where it comes from, and what is taken for one.
//!
//! Nothing of what was found is ever in a message, since any part of it may be secret.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use secrecy::SecretString;

use super::CliError;
use crate::system;

/// The variable that ImageKit's own SDKs read the key from.
const VARIABLE: &str = "IMAGEKIT_PRIVATE_KEY";
/// What private keys begin with, and what the account's other keys do.
const PRIVATE: &str = "private_";
const PUBLIC: &str = "public_";
/// What editors and settings files put around values.
const QUOTES: [char; 7] = ['"', '\'', '`', '“', '”', '‘', '’'];

fn in_environment() -> Option<OsString> {
    std::env::var_os(VARIABLE)
}

/// Whether the environment has a key, which goes before the key files of profiles.
pub(super) fn is_in_environment() -> bool {
    in_environment().is_some_and(|key| !key.is_empty())
}

/// Whether a key was given at all, be it a good one or not.
pub(super) fn is_given(file: Option<&Path>) -> bool {
    file.is_some() || in_environment().is_some()
}

/// The key of a file, or else of the environment.
pub(super) fn read(file: Option<&Path>) -> Result<SecretString, CliError> {
    match (file, in_environment()) {
        (Some(path), _) => key_in(read_file(path)?, &format!("the key file {}", path.display())),
        (None, Some(key)) => key_in(key.into_vec(), &format!("the private key in {VARIABLE}")),
        (None, None) => Err(CliError::new(format!(
            "there is no private key: set {VARIABLE} or use --key-file (or --sandbox, to try \
             things without an account)"
        ))),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, CliError> {
    let failed =
        |error| CliError::new(format!("cannot read the key file {}: {error}", path.display()));
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    warn_if_exposed(path, &metadata);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn warn_if_exposed(path: &Path, metadata: &Metadata) {
    let path = path.display();
    // What comes through a pipe, as from a password manager, lies nowhere.
    if !metadata.is_file() {
        return;
    }
    if !system::is_ours_or_roots(metadata) {
        tracing::warn!("the key file {path} belongs to another user, who can read the key");
    } else if metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!("other users can read the key file {path}; `chmod 600 {path}`");
    }
}

/// The key that stands at `place`, without the byte order mark and the line end that editors and
/// shells put there.
fn key_in(bytes: Vec<u8>, place: &str) -> Result<SecretString, CliError> {
    let text = decode(bytes).ok_or_else(|| CliError::new(format!("{place} is no text")))?;
    let key = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    if key.is_empty() {
        return Err(CliError::new(format!("{place} is empty")));
    }
    match problem(key) {
        Some(problem) => Err(CliError::new(format!("{place}: {problem}"))),
        None => Ok(key.to_owned().into()),
    }
}

/// UTF-8, or the UTF-16 that Windows PowerShell writes.
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

/// Why a text is no key, and what to do about it.
fn problem(text: &str) -> Option<&'static str> {
    if text.starts_with(QUOTES) || text.ends_with(QUOTES) {
        return Some("there are quotes around the key; leave only the key itself");
    }
    if let Some(name) = name_before(text) {
        return Some(if name == VARIABLE {
            "IMAGEKIT_PRIVATE_KEY= stands before the key; leave only the key itself"
        } else {
            "a name and = stand before the key; leave only the key itself"
        });
    }
    if text.starts_with(PUBLIC) {
        return Some(
            "this is a public key (public_…), with which nothing can be changed; take the private \
             key (private_…), which the dashboard shows beside it",
        );
    }
    // HTTP Basic ends the user name there, so that only a part of the key would be sent.
    text.contains(':')
        .then_some("there is a `:` in it, which no private key has; copy it once more")
}

/// What stands before an `=`, as in the files that shells and `.env` loaders read: `NAME=key`,
/// `export NAME=key`, `$env:NAME = key`. A key itself can end in `=`.
fn name_before(text: &str) -> Option<&str> {
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
        let key = key_in(bytes.to_vec(), "the key file key");
        key.map(|key| key.expose_secret().to_owned()).map_err(|refusal| refusal.message)
    }

    #[test]
    fn what_editors_and_shells_add_around_a_key_is_taken_off() {
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
        // What is no key of ImageKit's may be another service's.
        for other in ["sandbox", "abc==", "_-/+"] {
            assert_eq!(key(other.as_bytes()).as_deref(), Ok(other));
        }
    }

    #[test]
    fn what_is_no_key_is_named_without_being_shown() {
        for (text, why) in [
            ("", "is empty"),
            ("\u{feff}\n", "is empty"),
            ("\"private_secret\"", "quotes"),
            ("“private_secret”", "quotes"),
            ("private_secret'", "quotes"),
            ("IMAGEKIT_PRIVATE_KEY=private_secret", "IMAGEKIT_PRIVATE_KEY= stands before"),
            ("IMAGEKIT_PRIVATE_KEY=", "IMAGEKIT_PRIVATE_KEY= stands before"),
            ("export IMAGEKIT_PRIVATE_KEY=private_secret", "IMAGEKIT_PRIVATE_KEY= stands before"),
            ("$env:IMAGEKIT_PRIVATE_KEY = private_secret", "IMAGEKIT_PRIVATE_KEY= stands before"),
            ("KEY=private_secret=", "a name and = stand before"),
            ("public_secret=", "public key"),
            ("private_secret:", "a `:` in it"),
            ("private:secret", "a `:` in it"),
        ] {
            let refused = key(text.as_bytes()).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
            assert!(!refused.contains("secret"), "{text}: {refused}");
        }
        assert_eq!(key(b"private_\xff").unwrap_err(), "the key file key is no text");
    }
}
