//! Decides which extensions of a row run, and why the others are skipped.

use std::error::Error;
use std::ops::AddAssign;

use super::DiffPlanner;
use super::simulated_file::SimulatedFile;
use crate::plan::{PlanError, Returned};
use crate::row::{AiTagRemoval, Extension, Extensions, FileField, FileId};
use crate::settings::SkipTagged;

/// What earlier runs show about an extension on a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PriorRun {
    /// One ran it in the same configuration, described for messages.
    Same(String),
    /// One may have run it in the same configuration: its response was lost.
    Lost(String),
    /// One ran it in the same configuration, or may have, after this run had read the files: what they
    /// are like now is not known.
    Since(String),
    /// An earlier session of this run ran it, or may have.
    ThisRun(String),
    /// One ran it in the same configuration, and it failed.
    Failed {
        /// The run, described for messages.
        run: String,
        /// Whether it ran what this sheet returns, so that the sheet has no more to ask for.
        was_asked_for: bool,
    },
    /// They ran it in other configurations only.
    Other,
    /// None is known to have run it.
    None,
}

/// Looks up what earlier runs show about an extension on a file. Fails if their charges cannot be read.
pub(crate) type PriorRunLookup =
    Box<dyn Fn(&FileId, &Extension) -> Result<PriorRun, PriorRunsError> + Send>;

/// Why the charges of earlier runs cannot be read. Nothing may be planned then: an extension may have been
/// charged before.
pub(crate) type PriorRunsError = Box<dyn Error + Send + Sync>;

/// Numbers of extension runs that are skipped, by the evidence that they were charged before.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct SkippedExtensions {
    /// An earlier run on this machine was charged for them.
    pub remembered: u64,
    /// The file has AI tags of the extension.
    pub tagged: u64,
}

impl AddAssign for SkippedExtensions {
    fn add_assign(&mut self, other: Self) {
        self.remembered += other.remembered;
        self.tagged += other.tagged;
    }
}

/// Whether an extension runs, or why it is skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    Run,
    /// This earlier row of the sheet runs it on the same file.
    EarlierRow(u64),
    /// An earlier run ran it, described for messages.
    Remembered(String),
    /// Another run ran it after this run had read the file, described for messages.
    RememberedSince(String),
    /// An earlier session of this run ran it, described for messages.
    RanInThisRun(String),
    /// An earlier run ran it, and it failed; described for messages.
    Failed(String),
    /// The file has AI tags of it.
    Tagged,
}

impl Decision {
    /// The reason for a skipped extension, for the message of its row.
    pub(super) fn reason(&self, extension: &Extension) -> Option<String> {
        let name = extension.name().as_str();
        match self {
            Self::Run => None,
            Self::EarlierRow(row) => {
                Some(format!("{name}: already requested by row {row} for the same file"))
            }
            Self::Remembered(run) | Self::RememberedSince(run) | Self::RanInThisRun(run) => {
                Some(format!("{name}: {run}; --rerun-extensions runs it again, charged again"))
            }
            Self::Failed(run) => {
                Some(format!("{name}: {run}; ikbulk retry runs it again, charged again"))
            }
            Self::Tagged => Some(format!(
                "{name}: the file has AI tags of it; --skip-tagged=never runs it, charged again"
            )),
        }
    }
}

/// The rows before an extension on its file, and its own.
#[derive(Clone, Copy)]
pub(super) struct Situation<'s> {
    pub(super) file: &'s FileId,
    /// The file before the row.
    pub(super) before: &'s SimulatedFile,
    /// The AI tags that the row removes before its extensions run.
    pub(super) removal: Option<&'s AiTagRemoval>,
    /// What an earlier run, which returned the row, says about it.
    pub(super) returned: Returned,
    /// The extensions of the rows before, with the row numbers.
    pub(super) extensions_run: &'s [(u64, Extension)],
}

/// An extension of a row, and whether it runs.
#[derive(Debug, Clone)]
pub(super) struct DecidedExtension {
    pub(super) extension: Extension,
    pub(super) decision: Decision,
}

impl DecidedExtension {
    /// The reason for skipping it, for the message of its row.
    pub(super) fn reason(&self) -> Option<String> {
        self.decision.reason(&self.extension)
    }
}

impl SkippedExtensions {
    /// Counts the extensions that are skipped by evidence.
    pub(super) fn of(extensions: &[DecidedExtension]) -> Self {
        let mut skipped = Self::default();
        for DecidedExtension { decision, .. } in extensions {
            match decision {
                Decision::Remembered(_)
                | Decision::RememberedSince(_)
                | Decision::RanInThisRun(_)
                | Decision::Failed(_) => skipped.remembered += 1,
                Decision::Tagged => skipped.tagged += 1,
                Decision::Run | Decision::EarlierRow(_) => {}
            }
        }
        skipped
    }
}

impl DiffPlanner {
    /// Decides for each extension whether it runs.
    ///
    /// # Errors
    /// The charges of earlier runs cannot be read.
    pub(super) fn decide_all(
        &self,
        extensions: &Extensions,
        situation: Situation<'_>,
    ) -> Result<Vec<DecidedExtension>, PlanError> {
        let decided = extensions.as_slice().iter().map(|extension| {
            let decision = self.decide(extension, situation)?;
            Ok(DecidedExtension { extension: extension.clone(), decision })
        });
        decided.collect()
    }

    /// Decides by the rows before, then by what earlier runs were charged for, then by the AI tags of
    /// the file.
    ///
    /// # Errors
    /// The charges of earlier runs cannot be read.
    pub(super) fn decide(
        &self,
        extension: &Extension,
        situation: Situation<'_>,
    ) -> Result<Decision, PlanError> {
        let Situation { file, extensions_run, .. } = situation;
        if let Some(row) = earlier_row(extensions_run, extension) {
            return Ok(Decision::EarlierRow(row));
        }
        if self.options.rerun_extensions {
            return Ok(Decision::Run);
        }
        let prior = (self.prior_runs.extensions)(file, extension).map_err(PlanError::PriorRuns)?;
        let counts_tags = match (self.options.skip_tagged, prior) {
            (_, PriorRun::Failed { was_asked_for: false, .. }) if situation.returned.is_any() => {
                return Ok(Decision::Run);
            }
            (_, PriorRun::Lost(_)) if situation.returned == Returned::AsUnknown => {
                return Ok(Decision::Run);
            }
            (_, PriorRun::Failed { run, .. }) => return Ok(Decision::Failed(run)),
            (_, PriorRun::Same(run) | PriorRun::Lost(run)) => return Ok(Decision::Remembered(run)),
            (_, PriorRun::Since(run)) => return Ok(Decision::RememberedSince(run)),
            (_, PriorRun::ThisRun(run)) => return Ok(Decision::RanInThisRun(run)),
            (SkipTagged::Always, _) | (SkipTagged::Unremembered, PriorRun::None) => true,
            (SkipTagged::Unremembered, PriorRun::Other) | (SkipTagged::Never, _) => false,
        };
        let is_tagged = counts_tags && situation.shows_tags_of(extension);
        Ok(if is_tagged { Decision::Tagged } else { Decision::Run })
    }
}

impl Situation<'_> {
    /// Whether the file has AI tags of the extension, and the row removes none of them.
    fn shows_tags_of(&self, extension: &Extension) -> bool {
        let mut tags = self.before.ai_tags_of(extension.name().as_str());
        tags.next().is_some() && !self.removes_tags_of(extension)
    }

    /// Whether the row removes AI tags of the extension that the file has, or may have.
    pub(super) fn removes_tags_of(&self, extension: &Extension) -> bool {
        let Some(removal) = self.removal else { return false };
        let may_have_more =
            self.before.ai_tags().is_none() && extension.writes().contains(FileField::AiTags);
        let mut tags = self.before.ai_tags_of(extension.name().as_str());
        may_have_more || tags.any(|tag| removal.removes(&tag.name))
    }
}

/// The earlier row that requests the same extension on the same file.
fn earlier_row(extensions_run: &[(u64, Extension)], extension: &Extension) -> Option<u64> {
    // By configuration: a preset and a saved extension may be the same.
    let fingerprint = extension.fingerprint();
    extensions_run.iter().find(|(_, other)| other.fingerprint() == fingerprint).map(|(row, _)| *row)
}
