//! Outcomes of steps, and the status of rows.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use crate::extension_results::ExtensionResults;

/// The status of a row or step, best first: a row has the worst (greatest) status of its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Up to date, no change requested, or superseded; nothing was sent on behalf of the row alone.
    Unchanged,
    /// ImageKit accepted the change.
    Updated,
    /// The run ended before the step was sent.
    NotAttempted,
    /// Transient error, retries exhausted.
    Failed,
    /// Invalid by our rules, or a permanent API error for this row.
    Rejected,
    /// An at-most-once step was sent and its response was lost.
    Unknown,
}

impl Status {
    /// Every status, best first.
    pub const ALL: [Self; 6] = [
        Self::Unchanged,
        Self::Updated,
        Self::NotAttempted,
        Self::Failed,
        Self::Rejected,
        Self::Unknown,
    ];

    /// The name in reports.
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

    /// Whether a row's later steps may be sent after a step with this status.
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

/// The reason for a status, machine-readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// Unchanged: all cells of the row are empty.
    Blank,
    /// Unchanged: the row names a file but no change.
    NoChange,
    /// Unchanged: the file already has the requested values.
    UpToDate,
    /// Unchanged: an earlier run ran the extension on this file, or its AI tags show that one did.
    AlreadyRan,
    /// Unchanged: already done in the run whose failed rows this input contains.
    AlreadyDone,
    /// Updated: inferred from the state of the file after the response.
    Inferred,
    /// Updated: the file in the response differs from the request.
    Mismatch,
    /// Updated, but the response to an earlier request on the file was lost, and the file could not
    /// be read back to rule out that the earlier request took effect later.
    Unverified,
    /// Updated, but one of its extensions failed.
    ExtensionFailed,
    /// Updated, but ImageKit reported an unrecognized extension status.
    ExtensionUnclear,
    /// An earlier step of the row was done, this one was not.
    Partial,
    /// Not attempted: the extensions of the row, or of an earlier row of the file, exceed a limit of
    /// spending.
    Budget,
    /// A later row set the same field of the file, to another value or because this one failed. So
    /// the row is not sent again, or its value was never sent.
    Superseded,
    /// Rejected: invalid by ikbulk's own rules.
    Invalid,
    /// Rejected: held back because of a finding in the whole column.
    Suspect,
    /// Rejected: the file changed after planning.
    Conflict,
    /// Rejected: ImageKit has no such file.
    NotFound,
    /// Rejected by ImageKit for another reason.
    RejectedByApi,
    /// Failed or unknown: the connection was lost.
    Connection,
    /// Failed or unknown: no response in time.
    Timeout,
    /// Failed or unknown: 408, 409 or 5xx.
    Server,
    /// Failed or unknown: the response was not readable as ImageKit's.
    Unreadable,
    /// Unknown: the process was stopped or killed while the request was in flight.
    Interrupted,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 23] = [
        Self::Blank,
        Self::NoChange,
        Self::UpToDate,
        Self::AlreadyRan,
        Self::AlreadyDone,
        Self::Inferred,
        Self::Mismatch,
        Self::Unverified,
        Self::ExtensionFailed,
        Self::ExtensionUnclear,
        Self::Partial,
        Self::Budget,
        Self::Superseded,
        Self::Invalid,
        Self::Suspect,
        Self::Conflict,
        Self::NotFound,
        Self::RejectedByApi,
        Self::Connection,
        Self::Timeout,
        Self::Server,
        Self::Unreadable,
        Self::Interrupted,
    ];

    /// The name in reports and in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::NoChange => "no_change",
            Self::UpToDate => "up_to_date",
            Self::AlreadyRan => "already_ran",
            Self::AlreadyDone => "already_done",
            Self::Inferred => "inferred",
            Self::Mismatch => "mismatch",
            Self::Unverified => "unverified",
            Self::ExtensionFailed => "extension_failed",
            Self::ExtensionUnclear => "extension_unclear",
            Self::Partial => "partial",
            Self::Budget => "budget",
            Self::Superseded => "superseded",
            Self::Invalid => "invalid",
            Self::Suspect => "suspect",
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

    /// Whether a person must check the row although it was updated.
    #[must_use]
    pub fn needs_attention(self) -> bool {
        let extension = matches!(self, Self::ExtensionFailed | Self::ExtensionUnclear);
        extension || matches!(self, Self::Mismatch | Self::Unverified)
    }

    /// The inverse of [`Self::as_str`]; `None` for an unknown name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }
}

/// The final outcome of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Never [`Status::NotAttempted`], which is the absence of an outcome.
    pub status: Status,
    /// The reason; `None` for a plain success.
    pub code: Option<Code>,
    /// The reason for people, including ImageKit's message.
    pub message: Option<Box<str>>,
    /// HTTP status of the last response.
    pub http_status: Option<u16>,
    /// `x-ik-requestid` of the last response, for ImageKit's support.
    pub request_id: Option<Box<str>>,
    /// `updatedAt` of the file in the response.
    pub updated_at: Option<Box<str>>,
    /// `extensionStatus` of the file in the response, as JSON, verbatim.
    pub extension_status: Option<Box<str>>,
    /// What its extensions wrote, according to the response; `None` if nothing, or not yet.
    pub results: Option<Box<ExtensionResults>>,
}

impl Outcome {
    /// An outcome without a response.
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
            results: None,
        }
    }

    /// The statuses in `extensionStatus`, by name. None where they cannot be read, so that an extension that
    /// was sent counts as one that may have run.
    #[must_use]
    pub(crate) fn statuses_by_name(&self) -> Map<String, Value> {
        let json = self.extension_status.as_deref().unwrap_or_default();
        serde_json::from_str(json).unwrap_or_default()
    }

    /// The outcome of a step whose request was in flight when the program ended.
    #[must_use]
    pub(crate) fn interrupted() -> Self {
        let message = "the program ended while the request was in flight; whether it took effect is \
                       unknown; check the file";
        Self::local(Status::Unknown, Code::Interrupted, Some(message.into()))
    }
}

/// The status that ImageKit reports for one requested extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExtensionStatus {
    /// The extension ran.
    Success,
    /// The extension is still running.
    Pending,
    /// The extension failed.
    Failed,
    /// Any other status: the extension may have run; a person must check.
    Unclear,
}

impl ExtensionStatus {
    /// Parses one value of `extensionStatus`, ignoring case.
    #[must_use]
    pub(crate) fn of(status: &Value) -> Self {
        let names =
            [("success", Self::Success), ("pending", Self::Pending), ("failed", Self::Failed)];
        let text = status.as_str().unwrap_or_default();
        let known = names.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
        known.map_or(Self::Unclear, |(_, status)| status)
    }

    /// Parses an `extensionStatus` object: statuses by extension name. Empty for `{}` and `null`;
    /// anything else is one [`Self::Unclear`].
    #[must_use]
    pub(crate) fn read(json: &str) -> BTreeMap<String, Self> {
        match serde_json::from_str(json) {
            Ok(Value::Object(statuses)) => {
                statuses.into_iter().map(|(name, status)| (name, Self::of(&status))).collect()
            }
            Ok(Value::Null) => BTreeMap::new(),
            _ => BTreeMap::from([("extensionStatus".to_owned(), Self::Unclear)]),
        }
    }
}

impl Status {
    /// What the status means, for the reference.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Unchanged => {
                "Nothing was to be sent: the file is up to date, the row changes nothing, or later \
                 rows set all that it sets."
            }
            Self::Updated => "ImageKit accepted every step of the row.",
            Self::NotAttempted => "The run ended before the row, or the rest of it, was sent.",
            Self::Failed => "Transient error, retries exhausted.",
            Self::Rejected => "Invalid row, conflict, or permanent API error.",
            Self::Unknown => "An at-most-once request was sent and its response was lost.",
        }
    }

    /// What a person does next about rows of the status; empty where nothing is to be done.
    #[must_use]
    pub fn next_step(self) -> &'static str {
        match self {
            Self::Unchanged | Self::Updated => "",
            Self::NotAttempted => "`ikbulk resume RUN`",
            Self::Failed => "`ikbulk retry RUN`",
            Self::Rejected => "fix the cell in `failed.csv`, then `ikbulk apply RUN/failed.csv`",
            Self::Unknown => {
                "`ikbulk settle RUN`; what stays unknown: check the file, then see `unknown.csv`"
            }
        }
    }
}

impl Code {
    /// What the code means, for the reference.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Blank => "All cells of the row are empty; nothing was sent.",
            Self::NoChange => "The row names a file and sets nothing; nothing was sent.",
            Self::UpToDate => "The file already has the values of the row; nothing was sent.",
            Self::AlreadyRan => {
                "An earlier run was charged, or may have been, for the extension on this file in \
                 this configuration, or the file has AI tags of the extension; nothing was sent."
            }
            Self::AlreadyDone => "Done in the run that returned the row; nothing was sent.",
            Self::Inferred => {
                "`ikbulk settle` inferred it from the state of the file: a pending extension has \
                 written its result, or a request whose response was lost took effect. `message` \
                 has the evidence."
            }
            Self::Mismatch => "ImageKit accepted the request, but the file shows other values.",
            Self::Unverified => {
                "The response to an earlier request on the file was lost, and the file could not \
                 be read back to rule out that this request took effect later. Or a first read of \
                 a sample did not show the change, and the run ended before the second."
            }
            Self::ExtensionFailed => {
                "The request was accepted and an extension failed. ImageKit gives no reason and \
                 does not retry. `ikbulk retry RUN` runs it again, and is charged again."
            }
            Self::ExtensionUnclear => {
                "ImageKit reports a status of an extension that is none of success, pending and \
                 failed. The extension counts as run and is not run again; check the file."
            }
            Self::Partial => "Some steps of the row are done and a later step is not.",
            Self::Budget => {
                "The extensions of the row, or of an earlier row of its file, exceed a limit \
                 (`--max-units`, `--max-extension-runs`, or one per day). `ikbulk resume RUN` with \
                 a higher limit sends the row."
            }
            Self::Superseded => {
                "Later rows of the sheet, which `message` names, set the same fields of the file. \
                 Where they set all fields of the row, it is `unchanged` (`updated` if a request of \
                 its own was accepted); where they set some, it keeps its status."
            }
            Self::Invalid => "ikbulk's own validation rejected the row; nothing was sent.",
            Self::Suspect => {
                "Held back because of a [finding](findings.md), such as zeros that were lost or \
                 accents that were read in the wrong encoding; nothing was sent."
            }
            Self::Conflict => {
                "The file changed between `plan` and `apply --plan`; nothing was sent (`partial` \
                 where an earlier step of the row was sent)."
            }
            Self::NotFound => "ImageKit has no such file.",
            Self::RejectedByApi => "ImageKit rejected the request; `message` has the reason.",
            Self::Connection => "The connection failed or was lost.",
            Self::Timeout => "No response arrived in time.",
            Self::Server => "ImageKit reported an error of its own (5xx, 408, 409).",
            Self::Unreadable => "The response could not be read as ImageKit's JSON.",
            Self::Interrupted => "The program was killed while the request was in flight.",
        }
    }

    /// The statuses that a row of the code has, for the reference.
    #[must_use]
    pub fn statuses(self) -> &'static [Status] {
        match self {
            Self::Blank
            | Self::NoChange
            | Self::UpToDate
            | Self::AlreadyRan
            | Self::AlreadyDone => &[Status::Unchanged],
            Self::Inferred
            | Self::Mismatch
            | Self::Unverified
            | Self::ExtensionFailed
            | Self::ExtensionUnclear => &[Status::Updated],
            Self::Partial => {
                &[Status::NotAttempted, Status::Failed, Status::Rejected, Status::Unknown]
            }
            Self::Budget => &[Status::NotAttempted],
            Self::Superseded => {
                &[Status::Unchanged, Status::Updated, Status::Failed, Status::Rejected]
            }
            Self::Invalid
            | Self::Suspect
            | Self::Conflict
            | Self::NotFound
            | Self::RejectedByApi => &[Status::Rejected],
            Self::Connection | Self::Timeout | Self::Server | Self::Unreadable => {
                &[Status::Failed, Status::Unknown]
            }
            Self::Interrupted => &[Status::Unknown],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extension_status_ignores_case_and_rejects_other_values() {
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
