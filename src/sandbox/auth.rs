//! HTTP Basic, from the server's side.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What the `Authorization` header of a request amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presented {
    /// The account's key.
    Right,
    /// A key, but not this account's.
    Wrong,
    /// No key at all, or a header that is not Basic.
    None,
}

/// The key, and the header value that nearly every client opens the account with.
#[derive(Debug)]
pub(crate) struct Lock {
    key: String,
    /// `base64("key:")`, computed once.
    encoded: String,
}

impl Lock {
    pub(crate) fn new(key: &str) -> Self {
        Self { key: key.to_owned(), encoded: STANDARD.encode(format!("{key}:")) }
    }

    /// The description allows `Basic <key>` as well as `Basic <base64 of "key:">`. A password is
    /// ignored: the official SDKs always send one, and call its setting
    /// `OPTIONAL_IMAGEKIT_IGNORES_THIS`.
    pub(crate) fn presented(&self, header: Option<&[u8]>) -> Presented {
        let Some((scheme, given)) = header.and_then(|header| header.split_at_checked(6)) else {
            return Presented::None;
        };
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return Presented::None;
        }
        if given == self.encoded.as_bytes() {
            return Presented::Right;
        }
        match user(given).as_deref().unwrap_or(given) {
            [] => Presented::None,
            key if key == self.key.as_bytes() => Presented::Right,
            _ => Presented::Wrong,
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
        let lock = Lock::new("private_sandbox");
        let presented = |header: &str| lock.presented(Some(header.as_bytes()));
        assert_eq!(presented("Basic cHJpdmF0ZV9zYW5kYm94Og=="), Presented::Right);
        assert_eq!(presented("basic private_sandbox"), Presented::Right);
        // private_sandbox:do_not_set, as the official SDKs send it.
        let with_password = "Basic cHJpdmF0ZV9zYW5kYm94OmRvX25vdF9zZXQ=";
        assert_eq!(presented(with_password), Presented::Right);
        assert_eq!(presented("Basic cHJpdmF0ZV9vdGhlcjo="), Presented::Wrong);
        assert_eq!(presented("Basic private_other"), Presented::Wrong);
        // ":" alone: a client whose key is empty.
        assert_eq!(presented("Basic Og=="), Presented::None);
        assert_eq!(presented("Bearer private_sandbox"), Presented::None);
        assert_eq!(presented("Basic "), Presented::None);
        assert_eq!(lock.presented(None), Presented::None);
    }
}
