//! The secret part of a run's callback URL.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

/// Random bytes of a token: as many as of a key, so that it cannot be guessed.
const RANDOM_BYTES: usize = 32;
/// Its length as text: two hexadecimal digits a byte.
const LENGTH: usize = 2 * RANDOM_BYTES;

/// The unguessable part of a run's callback URL. ImageKit alone learns it, so that a message that
/// has it is from ImageKit.
///
/// Printing it with `{:?}` hides it.
#[derive(Clone)]
pub struct Token(SecretString);

impl Token {
    /// A new token.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; RANDOM_BYTES];
        getrandom::fill(&mut bytes)?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self(text.into()))
    }

    /// The inverse of [`Self::expose`]; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == LENGTH && text.bytes().all(is_digit)).then(|| Self(text.to_owned().into()))
    }

    /// The token as text, for a URL and for the ledger; nothing else may contain it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether a text is the token. Takes the same time however much of it is right.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        // Hashes compare in constant time.
        blake3::hash(text.as_bytes()) == blake3::hash(self.expose().as_bytes())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_random_and_survives_storage() {
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert_eq!(one.expose().len(), 64);
        assert!(one.is(one.expose()) && !one.is(other.expose()));
        let stored = Token::parse(one.expose()).unwrap();
        assert!(stored.is(one.expose()));
    }

    #[test]
    fn only_the_whole_token_matches() {
        let token = Token::random().unwrap();
        let text = token.expose();
        for wrong in ["", &text[..63], &format!("{text}0"), &text.to_uppercase(), &"0".repeat(64)] {
            assert!(!token.is(wrong), "{wrong}");
        }
        for damaged in ["", &text[..62], &format!("{text}00"), &"g".repeat(64), &"é".repeat(32)] {
            assert!(Token::parse(damaged).is_none(), "{damaged}");
        }
    }

    #[test]
    fn token_is_not_printed() {
        let token = Token::random().unwrap();
        assert_eq!(format!("{token:?}"), "Token(hidden)");
    }
}
