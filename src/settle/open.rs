//! The steps of a run that have no final status yet, and what settles them.

use std::collections::HashMap;

use jiff::Timestamp;

use super::before::state_before;
use super::claims::{Claim, Trace};
use super::evidence::{Evidence, evidence, is_since};
use crate::account::AccountError;
use crate::history::RunRecord;
use crate::imagekit::{Failure, FileState};
use crate::input::InputError;
use crate::ledger::{LedgerError, LedgerFile, Settlement, StepRecord};
use crate::outcome::{ExtensionStatus, Status};
use crate::request::{StepKind, StepRef};
use crate::row::{Change, ExtensionName, Field, FileField, FileId, RowPos};
use crate::settled::{FinalStatus, KnownBy, PUBLICATION, Settled};

/// Why a run cannot be settled.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The copy of the input cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The state of the account on this machine cannot be read.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A read request failed permanently.
    #[error("cannot read the current state of the files: {0}")]
    Api(Failure),
}

impl From<Failure> for SettleError {
    fn from(failure: Failure) -> Self {
        Self::Api(failure)
    }
}

/// The steps of a run with pending extensions or a lost response, by file. In memory: a few hundred
/// bytes per step.
#[derive(Debug, Default)]
pub(crate) struct OpenSteps {
    pub(super) files: HashMap<FileId, OpenFile>,
}

#[derive(Debug, Default)]
pub(super) struct OpenFile {
    pub(super) steps: Vec<OpenStep>,
    /// What requests of the run may have changed on the file, those of the steps included.
    claims: Vec<Claim>,
    /// What requests of other runs may have changed on it.
    other_claims: Vec<Claim>,
    /// The extensions of other runs on it that have no final status, or got it after the response.
    pub(super) other_parts: Vec<Part>,
    /// Whether reading it again is useless, because ImageKit does not have it or refuses to show it.
    is_unreadable: bool,
}

#[derive(Debug)]
pub(super) struct OpenStep {
    pub(super) pos: RowPos,
    pub(super) kind: StepKind,
    /// The state before its request.
    before: Option<FileState>,
    /// The description that its request may have set; `None` if that is in `before`.
    own_description: Option<Box<str>>,
    /// A time of ImageKit before anything that it may have changed: a listed state from before it
    /// can be older than `before`.
    since: Option<Timestamp>,
    pub(super) parts: Vec<Part>,
}

/// An extension of a step, or its publication.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: Box<str>,
    /// `None` if reading the file cannot settle it.
    trace: Option<Trace>,
    /// Its final status; `None` while it is open.
    pub(super) settled: Option<Box<Settled>>,
}

impl OpenSteps {
    /// Collects the open steps of a run.
    ///
    /// # Errors
    /// The input or the ledger cannot be read.
    pub(crate) fn of(run: RunRecord<'_>) -> Result<Self, SettleError> {
        let mut open = Self::default();
        run.each_update(|pos, update, records| {
            for record in records {
                if let Some(step) = OpenStep::of(pos, &update.change, record, run.ledger)? {
                    open.files.entry(update.file.clone()).or_default().steps.push(step);
                }
            }
            Ok::<_, SettleError>(())
        })?;
        if open.left() > 0 {
            let (planning, completeness) = (run.meta.planning, run.ledger.completeness()?);
            open.each_update(run, |file, change, records| {
                file.claims.extend(Claim::of_row(change, records, planning, completeness));
            })?;
        }
        Ok(open)
    }

    /// Takes into account that another run of the account may have changed the same files: what it may have
    /// caused proves nothing about this run. `is_earlier`: it had ended when this run began.
    ///
    /// # Errors
    /// The input or the ledger of that run cannot be read.
    pub(crate) fn beside(
        &mut self,
        other: RunRecord<'_>,
        is_earlier: bool,
    ) -> Result<(), SettleError> {
        let (planning, completeness) = (other.meta.planning, other.ledger.completeness()?);
        self.each_update(other, |file, change, records| {
            let claims = Claim::of_row(change, records, planning, completeness).into_iter();
            file.other_claims.extend(claims.filter_map(|claim| claim.of_other_run(is_earlier)));
            file.other_parts.extend(records.iter().flat_map(|record| parts(change, record)));
        })
    }

    /// Takes into account that another run cannot be read: it may have changed every file in every
    /// way.
    pub(crate) fn beside_unreadable(&mut self) {
        for file in self.files.values_mut() {
            file.other_claims.extend(Claim::of_unknown_run());
            file.other_parts.push(Part::open(ExtensionName::SavedExtension.as_str()));
        }
    }

    /// Forgets the other runs, to take them into account anew.
    pub(crate) fn forget_others(&mut self) {
        for file in self.files.values_mut() {
            file.other_claims.clear();
            file.other_parts.clear();
        }
    }

    /// Passes the rows of a run on these files to `visit`.
    fn each_update(
        &mut self,
        run: RunRecord<'_>,
        mut visit: impl FnMut(&mut OpenFile, &Change, &[StepRecord]),
    ) -> Result<(), SettleError> {
        run.each_update(|_, update, records| {
            if let Some(file) = self.files.get_mut(&update.file) {
                visit(file, &update.change, records);
            }
            Ok::<_, SettleError>(())
        })
    }

    /// The number of extensions and publications without a final status.
    #[must_use]
    pub(crate) fn left(&self) -> u64 {
        let steps = self.files.values().flat_map(|file| &file.steps);
        steps.flat_map(|step| &step.parts).filter(|part| part.is_open()).count() as u64
    }

    /// The files of which a new state can settle something, sorted.
    #[must_use]
    pub(crate) fn to_read(&self) -> Vec<FileId> {
        let files = self.files.iter().filter(|(_, file)| file.can_be_read());
        let mut files: Vec<FileId> = files.map(|(id, _)| id.clone()).collect();
        files.sort_unstable();
        files
    }

    /// The earliest time of ImageKit that a listed state must have to prove anything.
    pub(super) fn since(&self) -> Option<Timestamp> {
        let files = self.files.values().filter(|file| file.can_be_read());
        files.flat_map(|file| &file.steps).filter_map(|step| step.since).min()
    }

    /// Whether a listed state of a file is new enough to rely on.
    pub(super) fn is_current(&self, file: &FileId, listed: &FileState) -> bool {
        let steps = self.files.get(file).map(|file| file.steps.as_slice()).unwrap_or_default();
        let mut open = steps.iter().filter(|step| step.parts.iter().any(Part::is_open));
        open.all(|step| is_since(listed, step.since))
    }

    /// What the current state of a file proves.
    #[must_use]
    pub(crate) fn prove(&self, file: &FileId, now: &FileState) -> Vec<Settlement> {
        self.prove_steps(file, now, |_| true)
    }

    /// What a listed state of a file proves: only about steps that it is not older than.
    #[must_use]
    pub(crate) fn prove_listed(&self, file: &FileId, listed: &FileState) -> Vec<Settlement> {
        self.prove_steps(file, listed, |step| is_since(listed, step.since))
    }

    fn prove_steps(
        &self,
        file: &FileId,
        now: &FileState,
        is_proven_by: impl Fn(&OpenStep) -> bool,
    ) -> Vec<Settlement> {
        let Some(open) = self.files.get(file) else {
            return Vec::new();
        };
        let steps = open.steps.iter().filter(|step| is_proven_by(step));
        steps.flat_map(|step| step.prove(open, now)).collect()
    }

    /// Records what was proven, except what other runs may have caused that were taken into account
    /// since, and what callbacks have settled meanwhile. Returns how many statuses are new.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub(crate) fn record(
        &mut self,
        ledger: &LedgerFile,
        mut proven: Vec<(FileId, Settlement)>,
    ) -> Result<u64, LedgerError> {
        proven.retain(|(file, settlement)| self.is_provable(file, settlement));
        let settlements: Vec<Settlement> =
            proven.iter().map(|(_, settlement)| settlement.clone()).collect();
        let new = ledger.settle(&settlements, Timestamp::now())?;
        for (file, settlement) in &proven {
            self.note(file, settlement);
        }
        Ok(new)
    }

    fn is_provable(&self, file: &FileId, settlement: &Settlement) -> bool {
        let Some(file) = self.files.get(file) else {
            return false;
        };
        let Settlement { pos, kind, settled } = settlement;
        let mut steps = file.steps.iter().filter(|step| step.pos == *pos && step.kind == *kind);
        steps.any(|step| step.provable(file).any(|(part, ..)| part.name == settled.name))
    }

    fn note(&mut self, file: &FileId, settlement: &Settlement) {
        let Settlement { pos, kind, settled } = settlement;
        let steps = self.files.get_mut(file).map(|file| &mut file.steps).into_iter().flatten();
        let steps = steps.filter(|step| step.pos == *pos && step.kind == *kind);
        let parts = steps.flat_map(|step| &mut step.parts);
        for part in parts.filter(|part| part.name == settled.name) {
            part.settled = Some(Box::new(settled.clone()));
        }
    }

    /// Notes that ImageKit does not show the file.
    pub(super) fn give_up(&mut self, file: &FileId) {
        if let Some(file) = self.files.get_mut(file) {
            file.is_unreadable = true;
        }
    }
}

impl OpenFile {
    fn can_be_read(&self) -> bool {
        let mut steps = self.steps.iter();
        !self.is_unreadable && steps.any(|step| step.provable(self).next().is_some())
    }
}

impl OpenStep {
    /// The step of a record; `None` if it has nothing that is open, or that a callback can correct.
    fn of(
        pos: RowPos,
        change: &Change,
        record: &StepRecord,
        ledger: &LedgerFile,
    ) -> Result<Option<Self>, LedgerError> {
        let parts = parts(change, record);
        if parts.is_empty() {
            return Ok(None);
        }
        let is_open = parts.iter().any(Part::is_open);
        let before = if is_open { state_before(change, record, ledger)? } else { None };
        let returned = record.outcome.updated_at.as_deref();
        let known = returned.or_else(|| before.as_ref()?.updated_at.as_deref());
        let since = known.and_then(|text| text.parse().ok());
        let may_have_set = record.outcome.status == Status::Unknown
            && record.sent.fields.contains(FileField::Description);
        let own_description = change.details.text(&Field::Description).filter(|_| may_have_set);
        let (kind, own_description) = (record.step.kind, own_description.map(Box::from));
        Ok(Some(Self { pos, kind, before, own_description, since, parts }))
    }

    fn step(&self) -> StepRef {
        StepRef { row: self.pos.number, kind: self.kind }
    }

    /// The open parts that a state of the file can prove.
    fn provable<'s>(
        &'s self,
        file: &'s OpenFile,
    ) -> impl Iterator<Item = (&'s Part, &'s Trace, &'s FileState)> {
        let open = self.parts.iter().filter(|part| part.is_open());
        let open =
            open.filter_map(|part| Some((part, part.trace.as_ref()?, self.before.as_ref()?)));
        open.filter(|(part, trace, _)| {
            let mut claims = file.claims.iter().chain(&file.other_claims);
            **trace != Trace::Any
                && !claims.any(|claim| claim.rivals(self.step(), &part.name, trace))
        })
    }

    /// Whether a file has the description of the request itself. ImageKit can write its ends and line ends
    /// in another way.
    fn has_own_description(&self, now: &FileState) -> bool {
        let own = self.own_description.as_deref();
        let now = now.description.as_deref().unwrap_or_default();
        own.is_some_and(|own| own.split_whitespace().eq(now.split_whitespace()))
    }

    fn prove(&self, file: &OpenFile, now: &FileState) -> Vec<Settlement> {
        let proven = self.provable(file).filter_map(|(part, trace, before)| {
            if *trace == Trace::Description && self.has_own_description(now) {
                return None;
            }
            let Evidence { text, found } = evidence(trace, before, now)?;
            let settled = Settled {
                name: part.name.clone(),
                status: FinalStatus::Success,
                known_by: KnownBy::Read,
                evidence: text.into(),
                found: found.map(Box::new),
            };
            Some(Settlement { pos: self.pos, kind: self.kind, settled })
        });
        proven.collect()
    }
}

impl Part {
    fn open(name: &str) -> Self {
        Self { name: name.into(), trace: Trace::of(name), settled: None }
    }

    fn is_open(&self) -> bool {
        self.settled.is_none()
    }

    /// How its final status is known; `None` while it is open.
    pub(super) fn known_by(&self) -> Option<KnownBy> {
        self.settled.as_deref().map(|settled| settled.known_by)
    }
}

/// The parts of a step that are open, or were settled.
fn parts(change: &Change, record: &StepRecord) -> Vec<Part> {
    let is_unknown = record.outcome.status == Status::Unknown;
    match (record.step.kind, change.publish) {
        (StepKind::Publish, Some(publish)) if is_unknown && record.was_sent() => {
            let trace = Some(Trace::Publication(publish.is_published));
            return vec![Part { trace, ..Part::open(PUBLICATION) }];
        }
        (StepKind::Details, _) => {}
        _ => return Vec::new(),
    }
    if is_unknown {
        return record.sent.extensions.iter().map(|it| Part::open(it.name.as_str())).collect();
    }
    let settled = |name: &str| record.settled.iter().find(|it| *it.name == *name).cloned();
    let statuses = record.outcome.extension_status.as_deref().map(ExtensionStatus::read);
    let parts = statuses.into_iter().flatten().filter_map(|(name, status)| {
        let settled = settled(&name).map(Box::new);
        let is_part = settled.is_some() || status == ExtensionStatus::Pending;
        is_part.then(|| Part { settled, ..Part::open(&name) })
    });
    parts.collect()
}
