//! What a person can do about a failed read.

use ikbulk::imagekit::{Concern, Failure};

/// A failed read, followed by what a person can do about it.
pub(super) fn with_hint(failure: &Failure) -> String {
    let text = failure.to_string();
    format!("{}{}", text.trim_end_matches('.'), hint(failure))
}

/// What a person can do about a failed read, to append to its message.
pub(super) fn hint(failure: &Failure) -> &'static str {
    match failure.concerns() {
        Concern::Environment if matches!(failure, Failure::Throttled(_)) => {
            "; stop other clients of the account, or try again later (--down-max sets how long to \
             retry)"
        }
        Concern::Account => "; check the key in IMAGEKIT_PRIVATE_KEY or --key-file",
        Concern::Environment => {
            "; check the network and --endpoint, then try again (--down-max sets how long to retry)"
        }
        Concern::Request => "",
    }
}
