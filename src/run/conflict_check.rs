//! Conflict check for saved plans and resumed undos: reads a file right before the first request that
//! changes a field, and skips the request if that field has changed since planning.
//!
//! This is optimistic concurrency control, not a lock: ImageKit has no conditional requests, so a
//! change between the check and the request goes unnoticed. So does one that a stale listing does
//! not show yet. Only the first request to a field is checked, because it changes the field itself.
//! The ledger records it before it is sent; otherwise a resumed session would report the run's own
//! changes as conflicts.

use std::collections::{BTreeSet, HashMap};

use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::execute::{NotSent, Reads, Transport};
use crate::file_fields::FileFields;
use crate::imagekit::{Accepted, Api, Failure, FileState, IDS_MAX, SendResult};
use crate::ledger::{Counters, FileRecord, LedgerError, LedgerFile, Recorded, Snapshot};
use crate::outcome::Code;
use crate::request::{Call, Endpoint, Idempotent, Sendable};
use crate::row::{Details, Field, FieldSet, FileField, FileId};

/// Concurrent reads of single files.
const READS_AT_ONCE: usize = 4;

/// A transport that reads each file before it is first changed.
#[derive(Debug)]
pub(crate) struct ConflictCheck {
    api: Api,
    /// Holds the planned state of each file.
    ledger: LedgerFile,
    reads: Reads,
    /// Whether files are read. If not, the fields that are changed are only recorded, for later sessions.
    compares: bool,
}

/// A file whose state has to match before the request is sent.
struct CheckedFile<'r> {
    id: &'r FileId,
    /// Its state when the request was planned.
    planned: Snapshot,
    /// The fields that this request is the first to change.
    compared: FieldSet,
}

impl ConflictCheck {
    /// Checks files against the states recorded in `ledger`, if it `compares`.
    ///
    /// # Errors
    /// The ledger cannot be opened a second time.
    pub(crate) fn new(
        api: Api,
        ledger: &LedgerFile,
        reads: Reads,
        compares: bool,
    ) -> Result<Self, LedgerError> {
        Ok(Self { api, ledger: ledger.reconnect()?, reads, compares })
    }

    /// The files in which the request is the first to change some field.
    fn files_to_check<'r>(
        &self,
        request: &'r impl Sendable,
    ) -> Result<Vec<CheckedFile<'r>>, LedgerError> {
        let changed = changed_fields(request.call());
        let mut checked = Vec::new();
        for id in request.files().iter().collect::<BTreeSet<_>>() {
            if let Some(FileRecord { state: planned, sent_fields, .. }) =
                self.ledger.file_record(id.as_str())?
            {
                let compared = changed.difference(sent_fields);
                if !compared.is_empty() {
                    checked.push(CheckedFile { id, planned, compared });
                }
            }
        }
        Ok(checked)
    }

    /// The files that changed since planning. Two or more files are listed first; since a listing may
    /// be stale, those that it does not show as planned are then read one by one.
    async fn conflicts(
        &self,
        call: &Call,
        checked: &[CheckedFile<'_>],
    ) -> Result<Vec<FileId>, Failure> {
        let mut suspects: Vec<&CheckedFile<'_>> =
            checked.iter().filter(|file| matches!(file.planned, Snapshot::Fields(_))).collect();
        if suspects.len() > 1 {
            let listed = self.list(&suspects).await?;
            suspects.retain(|file| {
                let current = listed.get(file.id.as_str());
                !current.is_some_and(|current| file.is_as_planned(current, call))
            });
        }
        let reads = stream::iter(suspects).map(async |file| {
            let current = self.details(file.id).await?;
            let is_conflict = current.is_some_and(|current| !file.is_as_planned(&current, call));
            Ok(is_conflict.then(|| file.id.clone()))
        });
        let reads = reads.buffered(READS_AT_ONCE);
        reads.try_filter_map(async |conflict| Ok(conflict)).try_collect().await
    }

    /// The listed states of the files, by file id.
    async fn list(
        &self,
        checked: &[&CheckedFile<'_>],
    ) -> Result<HashMap<String, FileFields>, Failure> {
        let files: Vec<FileId> = checked.iter().map(|file| file.id.clone()).collect();
        let mut all = HashMap::new();
        for files in files.chunks(IDS_MAX) {
            match self.reads.read(Endpoint::List, || self.api.list_by_ids(files)).await {
                Ok(files) => {
                    let files = files.into_iter().filter(FileFields::is_file);
                    all.extend(files.map(|file| (file.file_id.clone(), file)));
                }
                Err(Failure::Rejected { .. }) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(all)
    }

    /// The current state of a file; `None` if it does not exist, which the request itself will report.
    async fn details(&self, file: &FileId) -> Result<Option<FileFields>, Failure> {
        let details = || self.api.file_fields(file);
        match self.reads.read(Endpoint::GetDetails, details).await {
            Ok(fields) => Ok(Some(fields)),
            Err(Failure::Rejected { code: Code::NotFound, .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

impl Transport for ConflictCheck {
    async fn check(&self, request: &impl Sendable) -> Result<(), NotSent> {
        let check_failed = |error: LedgerError| {
            NotSent::CheckFailed(Failure::NotSent { message: crate::error::chain(&error).into() })
        };
        let checked = self.files_to_check(request).map_err(check_failed)?;
        if checked.is_empty() {
            return Ok(());
        }
        let call = request.call();
        if self.compares {
            let conflicts = self.conflicts(call, &checked).await.map_err(NotSent::CheckFailed)?;
            if !conflicts.is_empty() {
                return Err(NotSent::Conflict(conflicts));
            }
        }
        let files = checked.iter().map(|file| file.id);
        self.ledger.mark_started(files, changed_fields(call)).map_err(check_failed)
    }

    fn own_reads(&self) -> Counters {
        self.reads.counters()
    }

    async fn send(&self, request: &Idempotent) -> Result<Accepted, Failure> {
        self.api.send(request).await
    }

    async fn send_at_most_once(&self, recorded: Recorded) -> SendResult {
        self.api.send_at_most_once(recorded).await
    }

    async fn file_state(&self, file: &FileId) -> Result<FileState, Failure> {
        self.api.file_state(file).await
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.api.probe().await
    }
}

impl CheckedFile<'_> {
    /// Whether the compared fields still have their planned values. An unknown planned state never
    /// conflicts.
    fn is_as_planned(&self, current: &FileFields, call: &Call) -> bool {
        match &self.planned {
            Snapshot::Fields(planned) => {
                differing_fields(call, planned, current).intersection(self.compared).is_empty()
            }
            Snapshot::Unread | Snapshot::Missing => true,
        }
    }
}

/// The fields that a call sets, itself or through an extension that finishes later.
fn changed_fields(call: &Call) -> FieldSet {
    call.fields().union(call.extension_fields())
}

/// The fields that differ between two states of a file. Of the custom metadata, only the fields that
/// the call sets are compared.
fn differing_fields(call: &Call, before: &FileFields, now: &FileFields) -> FieldSet {
    let metadata = match call {
        Call::Details(patch) => Some(&patch.details),
        _ => None,
    };
    let metadata = metadata.into_iter().flat_map(Details::iter).map(|(field, _)| field);
    let metadata = metadata.filter(|field| field.file_field() == Some(FileField::Metadata));
    let details = [Field::CustomCoordinates, Field::Description];
    let differing =
        details.iter().chain(metadata).filter(|field| !before.has_detail_of(now, field));
    let differing = differing.filter_map(Field::file_field);
    let others = FieldSet::from([
        (FileField::Tags, !before.has_tags_of(now)),
        (FileField::AiTags, !before.has_ai_tags_of(now)),
        (FileField::Publication, !before.has_publication_of(now)),
    ]);
    differing.fold(others, |all, field| all.union(field.into()))
}
