//! Forged callbacks, which a receiver must refuse.

use serde_json::{Value, json};

/// How long ago a replayed message was signed, in seconds.
const REPLAYED_AFTER_S: i64 = 3600;

/// What is wrong with a forged message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forgery {
    /// Its URL is a guess.
    Url,
    /// It is signed with a secret that is a guess.
    Secret,
    /// It was signed an hour ago.
    Time,
}

impl Forgery {
    /// The forgeries that a receiver can recognize: without a secret, only the URL is one.
    pub(crate) fn all(is_signed: bool) -> &'static [Self] {
        if is_signed { &[Self::Url, Self::Secret, Self::Time] } else { &[Self::Url] }
    }

    /// The URL to which the message goes: for a guess, the one with another letter before its last
    /// part.
    pub(crate) fn url(self, url: &str) -> String {
        let before_last = url.rfind('/').and_then(|end| url[..end].char_indices().next_back());
        match before_last {
            Some((at, letter)) if self == Self::Url => {
                let other = if letter == '0' { '1' } else { '0' };
                format!("{}{other}{}", &url[..at], &url[at + letter.len_utf8()..])
            }
            _ => url.to_owned(),
        }
    }

    /// The secret that signs the message.
    pub(crate) fn secret(self, secret: Option<&str>) -> Option<String> {
        let end = if self == Self::Secret { "x" } else { "" };
        secret.map(|secret| format!("{secret}{end}"))
    }

    /// How long ago the message was signed, in seconds.
    pub(crate) fn signed_before_s(self) -> i64 {
        if self == Self::Time { REPLAYED_AFTER_S } else { 0 }
    }
}

/// The body that claims the other result.
pub(crate) fn contrary(result: &Value) -> Value {
    let service = &result["service"];
    if result["status"] == "SUCCESS" {
        let file = &result["fileObject"]["fileId"];
        json!({"service": service, "status": "FAILURE", "fileId": file, "error": "forged"})
    } else {
        let file = json!({"fileId": result["fileId"]});
        json!({"service": service, "status": "SUCCESS", "fileObject": file})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_guessed_url_differs_from_the_original() {
        let url = "http://127.0.0.1:1/abc/7";
        assert_eq!(Forgery::Url.url(url), "http://127.0.0.1:1/ab0/7");
        assert_eq!(Forgery::Url.url("http://127.0.0.1:1/ab0/7"), "http://127.0.0.1:1/ab1/7");
        for other in [Forgery::Secret, Forgery::Time] {
            assert_eq!(other.url(url), url);
        }
    }

    #[test]
    fn contrary_of_the_contrary_has_the_same_result() {
        let success =
            json!({"service": "remove-bg", "status": "SUCCESS", "fileObject": {"fileId": "a"}});
        let failure = contrary(&success);
        assert_eq!((&failure["status"], &failure["fileId"]), (&json!("FAILURE"), &json!("a")));
        assert_eq!(contrary(&failure), success);
    }
}
