//! The signature of a callback, as Standard Webhooks has it.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. The key is the bytes of the whole
/// secret, `whsec_` included: that is how the official SDKs verify `ImageKit`'s webhooks.
pub(crate) fn signature(secret: &str, id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{id}.{timestamp_s}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_openssl_makes() {
        // printf 'msg_1_0.1700000000.{}' | openssl dgst -sha256 -hmac whsec_abc -binary | base64
        let made = signature("whsec_abc", "msg_1_0", 1_700_000_000, b"{}");
        assert_eq!(made, "v1,9DsYPbcTfOW91SPZrc8r39fn5higwMptnri3gEOrUms=");
    }
}
