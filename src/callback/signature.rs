//! Verifies the signature of a callback (<https://www.standardwebhooks.com>).
//!
//! Whether ImageKit signs these callbacks is not documented. It signs the webhooks of the dashboard,
//! and its SDKs use all bytes of the secret as the key, including `whsec_`.

use std::fmt;

use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use standardwebhooks::{HEADER_WEBHOOK_TIMESTAMP, Webhook, WebhookError};

/// The last second that fits into four digits of years. The library subtracts timestamps and would
/// overflow on the largest numbers.
const TIMESTAMP_S_MAX: i64 = 253_402_300_799;

/// Verifies the signatures of callbacks with a secret.
pub(crate) struct Verifier(Webhook);

/// Why the signature of a message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// It has no signature.
    #[error("not signed")]
    Unsigned,
    /// It was signed more than five minutes ago, or for the future: it may be a replay.
    #[error("signed at another time")]
    Time,
    /// The signature is of another secret or another message.
    #[error("not signed with this secret")]
    Signature,
}

impl Verifier {
    /// A verifier for a secret of the dashboard, `whsec_…`.
    ///
    /// # Panics
    /// Never: any bytes are a key.
    #[must_use]
    pub(crate) fn new(secret: &SecretString) -> Self {
        let key = secret.expose_secret().as_bytes().to_vec();
        Self(Webhook::from_bytes(key).expect("any bytes are a key"))
    }

    /// Verifies the signature of a message, now.
    ///
    /// # Errors
    /// The message is not signed with the secret, or not signed now.
    pub(crate) fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refused> {
        let timestamp = headers.get(HEADER_WEBHOOK_TIMESTAMP).ok_or(Refused::Unsigned)?;
        let timestamp = timestamp.to_str().ok().and_then(|text| text.parse::<i64>().ok());
        if !timestamp.is_some_and(|seconds| (0..=TIMESTAMP_S_MAX).contains(&seconds)) {
            return Err(Refused::Time);
        }
        self.0.verify(body, headers).map_err(|error| match error {
            WebhookError::MissingHeader(_) => Refused::Unsigned,
            WebhookError::TimestampTooOldError
            | WebhookError::FutureTimestampError
            | WebhookError::InvalidTimestamp => Refused::Time,
            WebhookError::InvalidSecret(_)
            | WebhookError::InvalidHeader(_)
            | WebhookError::InvalidSignature
            | WebhookError::InvalidPayload => Refused::Signature,
        })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use reqwest::header::{HeaderName, HeaderValue};

    const SECRET: &str = "whsec_dGhlIHdob2xlIHN0cmluZyBpcyB0aGUga2V5";
    const BODY: &[u8] = b"{}";

    fn verifier(secret: &str) -> Verifier {
        Verifier::new(&secret.to_owned().into())
    }

    fn headers(id: &str, timestamp: &str, signature: &str) -> HeaderMap {
        let header = |name, value: &str| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        HeaderMap::from_iter([
            header("webhook-id", id),
            header("webhook-timestamp", timestamp),
            header("webhook-signature", signature),
        ])
    }

    /// The headers of a message signed that many seconds from now.
    fn signed(from_now_s: i64, body: &[u8]) -> HeaderMap {
        let seconds = Timestamp::now().as_second() + from_now_s;
        let signature = verifier(SECRET).0.sign("msg_1", seconds, body).unwrap();
        headers("msg_1", &seconds.to_string(), &signature)
    }

    #[test]
    fn whole_secret_is_the_key() {
        // printf 'msg_1_0.1700000000.{}' | openssl dgst -sha256 -hmac whsec_abc -binary | base64
        let signature = verifier("whsec_abc").0.sign("msg_1_0", 1_700_000_000, BODY).unwrap();
        assert_eq!(signature, "v1,9DsYPbcTfOW91SPZrc8r39fn5higwMptnri3gEOrUms=");
    }

    #[test]
    fn only_the_same_message_and_secret_verify() {
        assert_eq!(verifier(SECRET).verify(&signed(0, BODY), BODY), Ok(()));
        let refused = Err(Refused::Signature);
        assert_eq!(verifier(SECRET).verify(&signed(0, BODY), b"{} "), refused);
        assert_eq!(verifier("whsec_other").verify(&signed(0, BODY), BODY), refused);
        let mut other_id = signed(0, BODY);
        other_id.insert("webhook-id", HeaderValue::from_static("msg_2"));
        assert_eq!(verifier(SECRET).verify(&other_id, BODY), refused);
        for part in ["", "v1,", "v1", "v2,AAAA", "v1,AAAA v1,BBBB"] {
            let mut headers = signed(0, BODY);
            headers.insert("webhook-signature", HeaderValue::from_static(part));
            assert_eq!(verifier(SECRET).verify(&headers, BODY), refused, "{part}");
        }
    }

    #[test]
    fn one_of_several_signatures_suffices() {
        let mut headers = signed(0, BODY);
        let valid = headers["webhook-signature"].to_str().unwrap().to_owned();
        let several = HeaderValue::from_str(&format!("v1,AAAA {valid}")).unwrap();
        headers.insert("webhook-signature", several);
        assert_eq!(verifier(SECRET).verify(&headers, BODY), Ok(()));
    }

    #[test]
    fn unsigned_message_is_refused() {
        for missing in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            let mut headers = signed(0, BODY);
            headers.remove(missing);
            assert_eq!(verifier(SECRET).verify(&headers, BODY), Err(Refused::Unsigned));
        }
        assert_eq!(verifier(SECRET).verify(&HeaderMap::new(), BODY), Err(Refused::Unsigned));
    }

    #[test]
    fn message_signed_at_another_time_is_refused() {
        for from_now_s in [-86_400, -310, 310, 86_400] {
            let headers = signed(from_now_s, BODY);
            assert_eq!(verifier(SECRET).verify(&headers, BODY), Err(Refused::Time));
        }
        for tolerated_s in [-280, 280] {
            assert_eq!(verifier(SECRET).verify(&signed(tolerated_s, BODY), BODY), Ok(()));
        }
    }

    #[test]
    fn timestamp_that_is_no_time_is_refused() {
        let least = i64::MIN.to_string();
        let largest = i64::MAX.to_string();
        for timestamp in
            [least.as_str(), largest.as_str(), "-1", "", "now", "1e9", "99999999999999999999"]
        {
            let headers = headers("msg_1", timestamp, "v1,AAAA");
            let verified = verifier(SECRET).verify(&headers, BODY);
            assert_eq!(verified, Err(Refused::Time), "{timestamp}");
        }
    }
}
