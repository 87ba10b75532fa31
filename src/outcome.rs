//! What became of a step, and so of a row.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// What became of a row or step, from the best to the worst: the status of a row is the greatest
/// of its steps'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It was already so, or nothing was asked; nothing was sent.
    Unchanged,
    /// ImageKit accepted it.
    Updated,
    /// The run stopped first.
    NotAttempted,
    /// The attempts are used up, for a reason that may pass.
    Failed,
    /// The row is wrong, by our rules or by ImageKit's.
    Rejected,
    /// A step that must not be repeated went out, and its answer was lost.
    Unknown,
}

impl Status {
    /// Every status, in order.
    pub const ALL: [Self; 6] = [
        Self::Unchanged,
        Self::Updated,
        Self::NotAttempted,
        Self::Failed,
        Self::Rejected,
        Self::Unknown,
    ];

    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Updated => "updated",
            Self::NotAttempted => "not_attempted",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a row's later steps may follow a step of this status.
    #[must_use]
    pub fn is_success(self) -> bool {
        matches!(self, Self::Unchanged | Self::Updated)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The reason behind a status, as one word for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// Unchanged: all cells of the row are empty.
    Blank,
    /// Unchanged: the row names a file and asks for nothing.
    NoChange,
    /// Unchanged: the file is so already.
    UpToDate,
    /// Unchanged: an earlier run paid for the extension on this file.
    AlreadyRan,
    /// Unchanged: done in the run whose failed rows this input repeats.
    AlreadyDone,
    /// Updated: the object that came back is not what was asked for.
    Mismatch,
    /// Updated, but the answer to an earlier request on the file was lost, and the file could not
    /// be read back to see that it did not take effect later.
    Unverified,
    /// Updated, but an extension of it failed.
    ExtensionFailed,
    /// Updated, but what ImageKit states of an extension of it is no known status.
    ExtensionUnclear,
    /// An earlier step of the row was done, this one was not.
    Partial,
    /// A later row on the same file and field succeeded, so this one must not be sent again; or it
    /// was never sent, because later rows of the file ask for something else.
    Superseded,
    /// Rejected by ikbulk's own rules.
    Invalid,
    /// Rejected: the file was changed after it was planned.
    Conflict,
    /// Rejected: ImageKit has no such file.
    NotFound,
    /// Rejected by ImageKit for another reason.
    RejectedByApi,
    /// Failed or unknown: the connection was lost.
    Connection,
    /// Failed or unknown: no answer came in time.
    Timeout,
    /// Failed or unknown: ImageKit answered that it had a problem of its own.
    Server,
    /// Failed or unknown: the answer could not be read.
    Unreadable,
    /// Unknown: the program was stopped or killed while the request was under way.
    Interrupted,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 20] = [
        Self::Blank,
        Self::NoChange,
        Self::UpToDate,
        Self::AlreadyRan,
        Self::AlreadyDone,
        Self::Mismatch,
        Self::Unverified,
        Self::ExtensionFailed,
        Self::ExtensionUnclear,
        Self::Partial,
        Self::Superseded,
        Self::Invalid,
        Self::Conflict,
        Self::NotFound,
        Self::RejectedByApi,
        Self::Connection,
        Self::Timeout,
        Self::Server,
        Self::Unreadable,
        Self::Interrupted,
    ];

    /// The word in reports and in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::NoChange => "no_change",
            Self::UpToDate => "up_to_date",
            Self::AlreadyRan => "already_ran",
            Self::AlreadyDone => "already_done",
            Self::Mismatch => "mismatch",
            Self::Unverified => "unverified",
            Self::ExtensionFailed => "extension_failed",
            Self::ExtensionUnclear => "extension_unclear",
            Self::Partial => "partial",
            Self::Superseded => "superseded",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::RejectedByApi => "rejected_by_api",
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::Server => "server",
            Self::Unreadable => "unreadable",
            Self::Interrupted => "interrupted",
        }
    }

    /// Whether a person must look at the row although it was updated.
    #[must_use]
    pub fn needs_attention(self) -> bool {
        let extension = matches!(self, Self::ExtensionFailed | Self::ExtensionUnclear);
        extension || matches!(self, Self::Mismatch | Self::Unverified)
    }

    /// The code of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }
}

/// The final word on one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What became of it; never [`Status::NotAttempted`], which is the absence of an outcome.
    pub status: Status,
    /// The reason; none where it was simply done.
    pub code: Option<Code>,
    /// The same for people, with what ImageKit said.
    pub message: Option<Box<str>>,
    /// The HTTP status of the last answer.
    pub http_status: Option<u16>,
    /// `x-ik-requestid` of the last answer, which ImageKit's support asks for.
    pub request_id: Option<Box<str>>,
    /// `updatedAt` of the object that came back.
    pub updated_at: Option<Box<str>>,
    /// `extensionStatus` of the object that came back, as JSON, untouched.
    pub extension_status: Option<Box<str>>,
}

impl Outcome {
    /// An outcome that no answer stands behind.
    #[must_use]
    pub fn local(status: Status, code: Code, message: Option<Box<str>>) -> Self {
        Self {
            status,
            code: Some(code),
            message,
            http_status: None,
            request_id: None,
            updated_at: None,
            extension_status: None,
        }
    }
}

/// What ImageKit states of one extension that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtensionStatus {
    /// It ran.
    Success,
    /// It is still running.
    Pending,
    /// It did not work out.
    Failed,
    /// Something else: it may have run, and a person must look.
    Unclear,
}

impl ExtensionStatus {
    /// The status that stands in an `extensionStatus`, in whatever case it is written.
    #[must_use]
    pub fn of(status: &Value) -> Self {
        let words =
            [("success", Self::Success), ("pending", Self::Pending), ("failed", Self::Failed)];
        let said = status.as_str().unwrap_or_default();
        let known = words.into_iter().find(|(word, _)| said.eq_ignore_ascii_case(word));
        known.map_or(Self::Unclear, |(_, status)| status)
    }

    /// The statuses of a whole `extensionStatus`, by the name of the extension. One that is no
    /// object is unclear as a whole; null and nothing state nothing.
    #[must_use]
    pub fn read(json: &str) -> BTreeMap<String, Self> {
        match serde_json::from_str(json) {
            Ok(Value::Object(statuses)) => {
                statuses.into_iter().map(|(name, status)| (name, Self::of(&status))).collect()
            }
            Ok(Value::Null) => BTreeMap::new(),
            _ => BTreeMap::from([("extensionStatus".to_owned(), Self::Unclear)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_an_extension_status_are_known_in_any_case_and_nothing_else_is() {
        use ExtensionStatus::{Failed, Pending, Success, Unclear};
        let json = r#"{"a":"success","b":"Pending","c":"FAILED","d":["failed"],"e":{"s":"failed"},
            "f":"done","g":null,"h":true,"i":""}"#;
        let read: Vec<_> = ExtensionStatus::read(json).into_values().collect();
        assert_eq!(read[..3], [Success, Pending, Failed]);
        assert_eq!(read[3..], [Unclear; 6]);
        for nothing in ["{}", "null"] {
            assert!(ExtensionStatus::read(nothing).is_empty(), "{nothing}");
        }
        for other in [r#""failed""#, r#"["failed"]"#, "0"] {
            let read: Vec<_> = ExtensionStatus::read(other).into_values().collect();
            assert_eq!(read, [Unclear], "{other}");
        }
    }
}
