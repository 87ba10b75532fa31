//! HTTP Basic, from the server's side.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What the `Authorization` header of a request amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// The account's key.
    Valid,
    /// A key, but not this account's.
    Invalid,
    /// No key at all, or a header that is not Basic.
    Missing,
}

/// The key, and the header value that nearly every client opens the account with.
#[derive(Debug)]
pub(crate) struct Authenticator {
    key: String,
    /// `base64("key:")`, computed once.
    encoded: String,
}

impl Authenticator {
    pub(crate) fn new(key: &str) -> Self {
        Self { key: key.to_owned(), encoded: STANDARD.encode(format!("{key}:")) }
    }

    /// The description allows `Basic <key>` as well as `Basic <base64 of "key:">`. A password is
    /// ignored: the official SDKs always send one, and call its setting
    /// `OPTIONAL_IMAGEKIT_IGNORES_THIS`.
    pub(crate) fn presented(&self, header: Option<&[u8]>) -> Credentials {
        let Some((scheme, given)) = header.and_then(|header| header.split_at_checked(6)) else {
            return Credentials::Missing;
        };
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return Credentials::Missing;
        }
        if given == self.encoded.as_bytes() {
            return Credentials::Valid;
        }
        match user(given).as_deref().unwrap_or(given) {
            [] => Credentials::Missing,
            key if key == self.key.as_bytes() => Credentials::Valid,
            _ => Credentials::Invalid,
        }
    }
}

/// The user name in `base64("user:password")`; `None` where it is not that.
fn user(given: &[u8]) -> Option<Vec<u8>> {
    let mut credentials = STANDARD.decode(given).ok()?;
    let colon = credentials.iter().position(|&byte| byte == b':')?;
    credentials.truncate(colon);
    Some(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_accounts_key_opens() {
        let lock = Authenticator::new("private_sandbox");
        let presented = |header: &str| lock.presented(Some(header.as_bytes()));
        assert_eq!(presented("Basic cHJpdmF0ZV9zYW5kYm94Og=="), Credentials::Valid);
        assert_eq!(presented("basic private_sandbox"), Credentials::Valid);
        // private_sandbox:do_not_set, as the official SDKs send it.
        let with_password = "Basic cHJpdmF0ZV9zYW5kYm94OmRvX25vdF9zZXQ=";
        assert_eq!(presented(with_password), Credentials::Valid);
        assert_eq!(presented("Basic cHJpdmF0ZV9vdGhlcjo="), Credentials::Invalid);
        assert_eq!(presented("Basic private_other"), Credentials::Invalid);
        // ":" alone: a client whose key is empty.
        assert_eq!(presented("Basic Og=="), Credentials::Missing);
        assert_eq!(presented("Bearer private_sandbox"), Credentials::Missing);
        assert_eq!(presented("Basic "), Credentials::Missing);
        assert_eq!(lock.presented(None), Credentials::Missing);
    }
}
