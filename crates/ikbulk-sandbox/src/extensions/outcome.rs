//! How extensions end, deterministic for each file and extension.

use std::time::Duration;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::library::file::Status;

/// Determines the status of extensions in the response to their request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExtensionOutcome {
    /// By a hash of file and extension: 1 in 16 fails, remove-bg is pending, all others succeed.
    #[default]
    Realistic,
    /// The same status for all extensions.
    Always(Status),
    /// The first runs of each extension on each file fail, later ones succeed.
    FailFirst {
        /// Number of runs that fail.
        runs: u64,
    },
}

/// How pending extensions settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// Delay after the request was processed.
    pub after: Duration,
    /// The final status.
    pub status: FinalStatus,
}

/// Final status of pending extensions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum FinalStatus {
    /// By a hash of file and extension: 1 in 16 fails
    #[default]
    Realistic,
    /// All succeed and write their results
    Success,
    /// All fail and write nothing
    Failed,
}

/// One in this many extensions fails.
const FAILED_ONE_IN: u64 = 16;

impl ExtensionOutcome {
    /// The status of `extension` on the file with this id, where it ran `before` times already.
    pub(crate) fn status(self, id: &str, extension: &'static str, before: u64) -> Status {
        match self {
            Self::Always(status) => status,
            Self::FailFirst { runs } if before < runs => Status::Failed,
            Self::Realistic if hash_of(id, extension).is_multiple_of(FAILED_ONE_IN) => {
                Status::Failed
            }
            Self::Realistic if extension == "remove-bg" => Status::Pending,
            Self::FailFirst { .. } | Self::Realistic => Status::Success,
        }
    }
}

impl FinalStatus {
    /// Whether the pending `extension` on the file with this id succeeds.
    pub(crate) fn is_success(self, id: &str, extension: &str) -> bool {
        match self {
            // Independent of the bits that the first status depends on.
            Self::Realistic => !(hash_of(id, extension) >> 32).is_multiple_of(FAILED_ONE_IN),
            Self::Success => true,
            Self::Failed => false,
        }
    }
}

/// The hash that simulated results depend on.
pub(crate) fn hash_of(id: &str, extension: &str) -> u64 {
    xxh3_64_with_seed(id.as_bytes(), xxh3_64(extension.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_one_extension_in_sixteen_fails_deterministically() {
        let failed = |id: &u32| {
            ExtensionOutcome::Realistic.status(&id.to_string(), "google-auto-tagging", 0)
                == Status::Failed
        };
        let count = (0..16_000).filter(failed).count();
        assert!((850..1150).contains(&count), "{count}");
        assert!((0..100).all(|id| failed(&id) == failed(&id)));
    }

    #[test]
    fn about_one_pending_extension_in_sixteen_fails() {
        let ids = (0..16_000_u32).map(|id| id.to_string());
        let failed = |id: &String| !FinalStatus::Realistic.is_success(id, "remove-bg");
        let pending =
            |id: &String| ExtensionOutcome::Realistic.status(id, "remove-bg", 0) == Status::Pending;
        let count = ids.filter(pending).filter(failed).count();
        assert!((800..1100).contains(&count), "{count}");
    }

    #[test]
    fn remove_bg_is_pending_unless_configured_otherwise() {
        let status = |outcome: ExtensionOutcome| {
            (0..50)
                .map(|id: u32| outcome.status(&id.to_string(), "remove-bg", 0))
                .collect::<Vec<_>>()
        };
        assert!(!status(ExtensionOutcome::Realistic).contains(&Status::Success));
        let always = ExtensionOutcome::Always(Status::Success);
        assert_eq!(status(always), vec![Status::Success; 50]);
    }
}
