//! HTTP Basic, from the server's side.

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

/// The header values that open the account, computed once.
#[derive(Debug)]
pub(crate) struct Lock {
    key: String,
    /// `base64("key:")`, what nearly every client sends.
    encoded: String,
}

impl Lock {
    pub(crate) fn new(key: &str) -> Self {
        Self { key: key.to_owned(), encoded: base64(format!("{key}:").as_bytes()) }
    }

    /// The description allows `Basic <key>` as well as `Basic <base64 of "key:">`.
    pub(crate) fn presented(&self, header: Option<&[u8]>) -> Presented {
        let Some((scheme, given)) = header.and_then(|header| header.split_at_checked(6)) else {
            return Presented::None;
        };
        if !scheme.eq_ignore_ascii_case(b"basic ") || given.is_empty() {
            return Presented::None;
        }
        if given == self.encoded.as_bytes() || given == self.key.as_bytes() {
            Presented::Right
        } else if given == b"Og==" {
            // ":" alone: a client whose key is empty.
            Presented::None
        } else {
            Presented::Wrong
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0_usize, |group, at| {
            group << 8 | usize::from(chunk.get(at).copied().unwrap_or(0))
        });
        for place in 0..4 {
            let sextet = group >> (18 - 6 * place) & 63;
            text.push(if place <= chunk.len() { char::from(ALPHABET[sextet]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads_as_the_standard_says() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, encoded) in cases {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64("private_sandbox:".as_bytes()), "cHJpdmF0ZV9zYW5kYm94Og==");
    }

    #[test]
    fn only_the_accounts_key_opens() {
        let lock = Lock::new("private_sandbox");
        let presented = |header: &str| lock.presented(Some(header.as_bytes()));
        assert_eq!(presented("Basic cHJpdmF0ZV9zYW5kYm94Og=="), Presented::Right);
        assert_eq!(presented("basic private_sandbox"), Presented::Right);
        assert_eq!(presented("Basic cHJpdmF0ZV9vdGhlcjo="), Presented::Wrong);
        assert_eq!(presented("Basic Og=="), Presented::None);
        assert_eq!(presented("Bearer private_sandbox"), Presented::None);
        assert_eq!(presented("Basic "), Presented::None);
        assert_eq!(lock.presented(None), Presented::None);
    }
}
