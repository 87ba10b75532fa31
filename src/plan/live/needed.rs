//! What the rows of one file need, in the order in which it must be sent.

use super::carry::{planned, settled};
use super::known::Known;
use super::merge::{self, Ask, Merged};
use super::need::Need;
use super::{Live, leave_out};
use crate::outcome::{Code, Outcome, Status};
use crate::plan::{Batch, PlannedRow};
use crate::request::StepKind;
use crate::row::{Extension, Extensions, FileId};

/// Rows for which something is to be sent.
pub(super) enum Needed {
    /// Merged rows.
    Together(Box<Together>),
    /// A row among several of its file of which an earlier session did a part, together with rows
    /// that may be over by now: what is left of it.
    Rest(Box<Ask>),
}

/// Merged rows, what they need, and what the file is like before.
pub(super) struct Together {
    pub(super) merged: Merged,
    pub(super) need: Need,
    pub(super) before: Known,
}

impl Needed {
    /// The extensions that are asked for.
    fn extensions(&self) -> Option<&Extensions> {
        match self {
            Self::Together(together) => together.need.patch.extensions.as_ref(),
            Self::Rest(ask) => ask.change.extensions.as_ref(),
        }
    }

    /// Whether other requests on the file must come before or behind some of it.
    pub(super) fn is_in_order(&self) -> bool {
        match self {
            Self::Together(together) => {
                let need = &together.need;
                need.publish.is_some() || need.tags_needed().nth(1).is_some()
            }
            Self::Rest(_) => true,
        }
    }
}

impl Live {
    /// What is needed for a file, in the order in which it must be sent. Rows for which nothing is
    /// needed are settled.
    pub(super) fn needed(
        &self,
        file: &FileId,
        asks: Vec<Ask>,
        known: Known,
        batch: &mut Batch,
    ) -> Vec<Needed> {
        let is_only = asks.len() == 1;
        let (ahead, merged) = (known.clone(), None);
        let (paid, needed) = (Vec::new(), Vec::new());
        let mut rows = Rows { live: self, file, known, ahead, merged, paid, needed, batch };
        for ask in asks {
            rows.next(ask, is_only);
        }
        rows.flush();
        rows.needed
    }

    /// What merged rows need, and what the file is like afterwards.
    fn need(
        &self,
        file: &FileId,
        merged: Merged,
        known: &mut Known,
        paid: &[(u64, Extension)],
        batch: &mut Batch,
    ) -> Option<Needed> {
        let before = known.clone();
        known.apply(&merged.fields);
        merged.tags.iter().for_each(|part| known.apply_tags(&part.change));
        // What is left of a lost request is worked out from the whole of it.
        let is_lost = merged.asks.iter().any(|ask| ask.behind.remainder_due());
        let runs = |extension: &Extension| is_lost || self.runs(file, extension, &before, paid);
        let need = Need::of(&merged, &before, runs);
        if need.is_empty() {
            for ask in &merged.asks {
                batch.rows.push(self.unneeded(file, ask, &merged, &before, paid));
            }
            return None;
        }
        known.doubt(&need);
        if !need.patch.is_empty() && merged.asks.len() > 1 {
            // Should it be refused, it is each row by itself.
            for ask in &merged.asks {
                known.doubt(&Need::of(&Merged::of(ask.clone()), &before, runs));
            }
        }
        Some(Needed::Together(Box::new(Together { merged, need, before })))
    }

    /// Whether an extension is to run. What rows before pay for is not paid for again.
    fn runs(
        &self,
        file: &FileId,
        extension: &Extension,
        known: &Known,
        paid: &[(u64, Extension)],
    ) -> bool {
        let is_bought = || (self.bought)(file, extension).is_some();
        let is_tagged =
            || self.options.skip_tagged && known.has_ai_tags_of(extension.name().as_str());
        paid_by(paid, extension).is_none()
            && (self.options.rerun_extensions || !is_bought() && !is_tagged())
    }

    /// A row for which nothing is sent.
    pub(super) fn unneeded(
        &self,
        file: &FileId,
        ask: &Ask,
        merged: &Merged,
        before: &Known,
        paid: &[(u64, Extension)],
    ) -> PlannedRow {
        let alone = Merged::of(ask.clone());
        let alone = Need::of(&alone, before, |extension| self.runs(file, extension, before, paid));
        let extensions = ask.change.extensions.iter().flat_map(Extensions::as_slice);
        let bought = extensions.filter_map(|extension| {
            let name = extension.name().as_str();
            match paid_by(paid, extension) {
                Some(row) => Some(format!("{name}: row {row} asks for the same on the same file")),
                None => (self.bought)(file, extension)
                    .map(|run| format!("{name}: {run}; --rerun-extensions pays again")),
            }
        });
        let bought: Vec<String> = bought.collect();
        let (code, message) = if !alone.is_empty() {
            let last = merged.asks.last().map_or(0, |ask| ask.pos.number);
            let message = format!("rows of the same file up to row {last} ask for something else");
            (Code::Superseded, Some(message))
        } else if bought.is_empty() {
            (Code::AlreadySo, None)
        } else {
            (Code::PaidBefore, Some(bought.join(", ")))
        };
        let outcome = Outcome::local(Status::Unchanged, code, message.map(Into::into));
        settled(ask.pos, &ask.behind, outcome)
    }
}

/// The rows of a file, one after the other.
struct Rows<'l> {
    live: &'l Live,
    file: &'l FileId,
    /// What the file is like behind what is needed so far.
    known: Known,
    /// What it is like behind the rows that are being merged, too.
    ahead: Known,
    merged: Option<Merged>,
    /// The extensions that rows so far pay for.
    paid: Vec<(u64, Extension)>,
    needed: Vec<Needed>,
    batch: &'l mut Batch,
}

impl Rows<'_> {
    fn next(&mut self, ask: Ask, is_only: bool) {
        let Some(extensions) = ask.change.extensions.clone() else {
            return self.row(ask, is_only);
        };
        let (row, is_sent) = (ask.pos.number, ask.behind.has_sent_details());
        let count = self.needed.len();
        self.row(ask, is_only);
        // They are merged with nothing, not even with rows that ask for the same.
        self.flush();
        let asked = self.needed[count..].iter().filter_map(Needed::extensions);
        let asked = asked.chain(is_sent.then_some(&extensions));
        let asked = asked.flat_map(Extensions::as_slice).map(|it| (row, it.clone()));
        self.paid.extend(asked);
    }

    fn row(&mut self, ask: Ask, is_only: bool) {
        let knows_tags = self.ahead.tags().is_some();
        if self.merged.as_ref().is_some_and(|merged| !merged.may_take(&ask, knows_tags)) {
            self.flush();
        }
        if ask.behind.is_begun() && !is_only {
            self.flush();
            self.known.forget(&ask.change);
            self.ahead = self.known.clone();
            self.needed.push(Needed::Rest(Box::new(rest(ask))));
        } else if is_passed_by(&ask, &self.ahead, self.batch) {
            self.flush();
            self.known.follow(&ask);
            self.ahead = self.known.clone();
        } else {
            self.ahead.apply(&ask.change);
            match &mut self.merged {
                Some(merged) => merged.take(ask, knows_tags),
                None => self.merged = Some(Merged::of(ask)),
            }
        }
    }

    /// Nothing more is merged with the rows so far.
    fn flush(&mut self) {
        if let Some(merged) = self.merged.take() {
            let (known, batch) = (&mut self.known, &mut *self.batch);
            let needed = self.live.need(self.file, merged, known, &self.paid, batch);
            self.needed.extend(needed);
            self.ahead = self.known.clone();
        }
    }
}

/// Which of the rows before asks for the same extension on the same file.
fn paid_by(paid: &[(u64, Extension)], extension: &Extension) -> Option<u64> {
    paid.iter().find(|(_, other)| other == extension).map(|(row, _)| *row)
}

/// What is left of a row of which a part was done. A lost request is worked out from the whole of
/// it. Otherwise its fields went first, or were left out because of rows behind it, so that they must
/// not be sent now. Its tags are carried out anew, since what was done of them may have been what it
/// came to together with others.
fn rest(ask: Ask) -> Ask {
    let Ask { pos, mut change, mut behind } = ask;
    if !behind.remainder_due() {
        let tags = change.tags.clone();
        leave_out(&mut change, StepKind::Details);
        if !behind.is_done(StepKind::Details) {
            change.tags = tags;
        }
        behind.forget_tags();
    }
    Ask { pos, change, behind }
}

/// Whether nothing is to be sent for a row, whatever the file is like; then it is settled.
fn is_passed_by(ask: &Ask, known: &Known, batch: &mut Batch) -> bool {
    let outcome = if ask.behind.is_over() {
        None
    } else if ask.change.is_empty() {
        Some(Outcome::local(Status::Unchanged, Code::DoneBefore, None))
    } else if let Some(rejected) = merge::too_many_tags(known, &ask.change) {
        Some(rejected)
    } else {
        return false;
    };
    batch.rows.push(match outcome {
        Some(outcome) => settled(ask.pos, &ask.behind, outcome),
        None => planned(ask.pos, 0, &ask.behind),
    });
    true
}
