//! A saved plan is carried out against what files are like by then: of each, the fields that a
//! request is about are read right before the first request for them, and it is left out if they
//! have moved since it was planned.
//!
//! This finds what has moved; it cannot prevent it. ImageKit takes no condition with a change, so
//! that whoever changes the same file in the instant between is not noticed. Nor is whoever changed
//! one of several files so shortly before that a list does not show it. From the first request on a
//! field is not as it was planned by our own doing, and is not looked at any more. That it is sent
//! is on disk before, or a session that goes on after a crash would take our own changes for
//! somebody else's.

use std::collections::{BTreeSet, HashMap};

use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::execute::{NotSent, Reads, Transport};
use crate::imagekit::{Accepted, Api, Failure, Fate, FileFields, FileState, IDS_MAX};
use crate::ledger::{
    Counters, Field, Fields, FileRecord, LedgerError, LedgerFile, Recorded, Snapshot,
};
use crate::outcome::Code;
use crate::request::{Call, Endpoint, Idempotent, Sendable};
use crate::row::FileId;

/// Files of one request that are read by themselves at once.
const READS_AT_ONCE: usize = 4;

/// The wire, with a look at each file before it is changed.
#[derive(Debug)]
pub struct ConflictCheck {
    api: Api,
    /// Knows what the files were like when they were planned.
    ledger: LedgerFile,
    reads: Reads,
}

/// A file of a request, with what it was planned as.
struct Planned<'r> {
    file: &'r FileId,
    state: Snapshot,
    /// The fields that the request changes and no request before it did.
    compared: Fields,
}

impl ConflictCheck {
    /// A wire for a run whose ledger knows its files.
    ///
    /// # Errors
    /// The ledger cannot be opened once more.
    pub fn new(api: Api, ledger: &LedgerFile, reads: Reads) -> Result<Self, LedgerError> {
        Ok(Self { api, ledger: ledger.reopen()?, reads })
    }

    /// Those of the files of which the request is the first one that changes some field.
    fn planned<'r>(&self, request: &'r impl Sendable) -> Result<Vec<Planned<'r>>, LedgerError> {
        let changed = changed(request.call());
        let mut planned = Vec::new();
        for file in request.files().iter().collect::<BTreeSet<_>>() {
            if let Some(FileRecord { state, begun, .. }) = self.ledger.file_record(file.as_str())? {
                let compared = changed.without(begun);
                if !compared.is_empty() {
                    planned.push(Planned { file, state, compared });
                }
            }
        }
        Ok(planned)
    }

    /// Those of the files that are not as they were planned. Several are looked at by a list, which
    /// may be behind: what it does not show as planned is looked at by itself.
    async fn moved(&self, call: &Call, planned: &[Planned<'_>]) -> Result<Vec<FileId>, Failure> {
        let mut suspects: Vec<&Planned<'_>> =
            planned.iter().filter(|planned| matches!(planned.state, Snapshot::Fields(_))).collect();
        if suspects.len() > 1 {
            let listed = self.listed(&suspects).await?;
            suspects.retain(|planned| {
                let now = listed.get(planned.file.as_str());
                !now.is_some_and(|now| planned.is_like(now, call))
            });
        }
        let looks = stream::iter(suspects).map(async |planned| {
            let now = self.details(planned.file).await?;
            let has_moved = now.is_some_and(|now| !planned.is_like(&now, call));
            Ok(has_moved.then(|| planned.file.clone()))
        });
        let looks = looks.buffered(READS_AT_ONCE);
        looks.try_filter_map(async |moved| Ok(moved)).try_collect().await
    }

    /// What a list shows of the files, by their ids.
    async fn listed(
        &self,
        planned: &[&Planned<'_>],
    ) -> Result<HashMap<String, FileFields>, Failure> {
        let files: Vec<FileId> = planned.iter().map(|planned| planned.file.clone()).collect();
        let mut all = HashMap::new();
        for files in files.chunks(IDS_MAX) {
            match self.reads.read(Endpoint::List, || self.api.list_by_ids(files)).await {
                Ok(files) => {
                    let files = files.into_iter().filter(FileFields::is_file);
                    all.extend(files.map(|file| (file.file_id.clone(), file)));
                }
                Err(Failure::Refused { .. }) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(all)
    }

    /// What a file is like. One that is not there will be missed by the request itself.
    async fn details(&self, file: &FileId) -> Result<Option<FileFields>, Failure> {
        let details = || self.api.file_fields(file);
        match self.reads.read(Endpoint::GetDetails, details).await {
            Ok(fields) => Ok(Some(fields)),
            Err(Failure::Refused { code: Code::NotFound, .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

impl Transport for ConflictCheck {
    async fn look(&self, request: &impl Sendable) -> Result<(), NotSent> {
        let not_known = |error: LedgerError| {
            NotSent::CheckFailed(Failure::NotSent { message: crate::error::chain(&error).into() })
        };
        let planned = self.planned(request).map_err(not_known)?;
        if planned.is_empty() {
            return Ok(());
        }
        let call = request.call();
        let moved = self.moved(call, &planned).await.map_err(NotSent::CheckFailed)?;
        if !moved.is_empty() {
            return Err(NotSent::Conflict(moved));
        }
        let files = planned.iter().map(|planned| planned.file);
        self.ledger.mark_started(files, changed(call)).map_err(not_known)
    }

    fn own_reads(&self) -> Counters {
        self.reads.counters()
    }

    async fn send(&self, request: &Idempotent) -> Result<Accepted, Failure> {
        self.api.send(request).await
    }

    async fn send_at_most_once(&self, recorded: Recorded) -> Fate {
        self.api.send_at_most_once(recorded).await
    }

    async fn file_state(&self, file: &FileId) -> Result<FileState, Failure> {
        self.api.file_state(file).await
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.api.probe().await
    }
}

impl Planned<'_> {
    /// Whether the file is as it was planned in what is compared.
    fn is_like(&self, now: &FileFields, call: &Call) -> bool {
        match &self.state {
            Snapshot::Fields(before) => {
                differing(call, before, now).common(self.compared).is_empty()
            }
            Snapshot::Unread | Snapshot::Missing => true,
        }
    }
}

/// The fields that a call is about.
fn asked(call: &Call) -> Fields {
    match call {
        Call::Details(patch) => Fields::from([
            (Field::Tags, patch.tags.is_some()),
            (Field::AiTags, patch.remove_ai_tags.is_some()),
            (Field::Coordinates, patch.coordinates.is_some()),
            (Field::Description, patch.description.is_some()),
            (Field::Metadata, !patch.metadata.is_empty()),
        ]),
        Call::AddTags(_) | Call::RemoveTags(_) => Fields::from([(Field::Tags, true)]),
        Call::Publish(_) => Fields::from([(Field::Publication, true)]),
        Call::ReadBack(_) => Fields::default(),
    }
}

/// The fields that it changes, now or by an extension later.
fn changed(call: &Call) -> Fields {
    asked(call).and(written(call))
}

/// The fields that an extension of a call may write.
fn written(call: &Call) -> Fields {
    let extensions = match call {
        Call::Details(patch) => patch.extensions.as_ref(),
        _ => None,
    };
    extensions.map_or(Fields::default(), |extensions| {
        Fields::from([
            (Field::Tags, extensions.may_write_tags()),
            (Field::AiTags, extensions.may_write_ai_tags()),
            (Field::Description, extensions.may_write_description()),
            (Field::Metadata, extensions.may_write_metadata()),
        ])
    })
}

/// The fields in which two looks at a file differ; of its custom metadata only what a call is about.
fn differing(call: &Call, before: &FileFields, now: &FileFields) -> Fields {
    let metadata = match call {
        Call::Details(patch) => patch.metadata.as_slice(),
        _ => &[],
    };
    let has_metadata = metadata.iter().all(|(field, _)| before.has_metadata_of(now, field));
    Fields::from([
        (Field::Tags, !before.has_tags_of(now)),
        (Field::AiTags, !before.has_ai_tags_of(now)),
        (Field::Coordinates, !before.has_coordinates_of(now)),
        (Field::Description, !before.has_description_of(now)),
        (Field::Metadata, !has_metadata),
        (Field::Publication, !before.has_publication_of(now)),
    ])
}
