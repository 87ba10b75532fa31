//! HTTP Basic authentication.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Credentials in the `Authorization` header of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// The account's key.
    Valid,
    /// Another key.
    Invalid,
    /// No key, or a header that is not Basic.
    Missing,
}

/// Checks the `Authorization` headers of requests.
#[derive(Debug)]
pub(crate) struct Authenticator {
    key: String,
    /// `base64("<key>:")`, which nearly all clients send; computed once.
    encoded: String,
}

impl Authenticator {
    pub(crate) fn new(key: &str) -> Self {
        Self { key: key.to_owned(), encoded: STANDARD.encode(format!("{key}:")) }
    }

    /// The API's description allows both `Basic <key>` and `Basic <base64 of "key:">`. Passwords are
    /// ignored: the official SDKs always send one, from a setting named
    /// `OPTIONAL_IMAGEKIT_IGNORES_THIS`.
    pub(crate) fn credentials(&self, header: Option<&[u8]>) -> Credentials {
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

/// The user in `base64("user:password")`; `None` if `given` has another form.
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
    fn only_the_key_of_the_account_is_valid() {
        let authenticator = Authenticator::new("private_sandbox");
        let credentials = |header: &str| authenticator.credentials(Some(header.as_bytes()));
        assert_eq!(credentials("Basic cHJpdmF0ZV9zYW5kYm94Og=="), Credentials::Valid);
        assert_eq!(credentials("basic private_sandbox"), Credentials::Valid);
        // private_sandbox:do_not_set, as the official SDKs send it.
        let with_password = "Basic cHJpdmF0ZV9zYW5kYm94OmRvX25vdF9zZXQ=";
        assert_eq!(credentials(with_password), Credentials::Valid);
        assert_eq!(credentials("Basic cHJpdmF0ZV9vdGhlcjo="), Credentials::Invalid);
        assert_eq!(credentials("Basic private_other"), Credentials::Invalid);
        // ":" alone: a client whose key is empty.
        assert_eq!(credentials("Basic Og=="), Credentials::Missing);
        assert_eq!(credentials("Bearer private_sandbox"), Credentials::Missing);
        assert_eq!(credentials("Basic "), Credentials::Missing);
        assert_eq!(authenticator.credentials(None), Credentials::Missing);
    }
}
