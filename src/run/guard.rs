//! A saved plan is carried out against what files are like by then: each is read right before the
//! first request on it, and left out if it has moved since it was planned.
//!
//! This finds what has moved; it cannot prevent it. ImageKit takes no condition with a change, so
//! that whoever changes the same file in the instant between is not noticed. From the first request on
//! a file is not as it was planned by our own doing, and is not looked at any more. That it is sent
//! is on disk before, or a session that goes on after a crash would take our own changes for
//! somebody else's.

use std::collections::{BTreeMap, HashMap};

use crate::execute::{Reads, Wire, Withheld};
use crate::imagekit::{
    Accepted, Api, Failure, Fate, FileFields, FileState, IDS_MAX, Listing, PAGE_FILES_MAX,
};
use crate::ledger::{Counters, LedgerError, LedgerFile, LiveState, Recorded};
use crate::request::{Call, Endpoint, Patch, Safe, Sendable};
use crate::row::FileId;

/// The wire, with a look at each file before it is changed.
#[derive(Debug)]
pub struct Guarded {
    api: Api,
    /// Knows what the files were like when they were planned.
    ledger: LedgerFile,
    reads: Reads,
}

impl Guarded {
    /// A wire for a run whose ledger knows its files.
    ///
    /// # Errors
    /// The ledger cannot be opened once more.
    pub fn new(api: Api, ledger: &LedgerFile, reads: Reads) -> Result<Self, LedgerError> {
        Ok(Self { api, ledger: ledger.again()?, reads })
    }

    /// Those of the files on which no request has been sent, and what they were planned as.
    fn not_begun<'f>(
        &self,
        files: &'f [FileId],
    ) -> Result<BTreeMap<&'f FileId, LiveState>, LedgerError> {
        let mut new = BTreeMap::new();
        for file in files {
            match self.ledger.known_file(file.as_str())? {
                Some(known) if !known.is_begun => drop(new.insert(file, known.state)),
                _ => {}
            }
        }
        Ok(new)
    }

    /// What files are like now, by their ids. One that is not there will be missed by the request
    /// itself.
    async fn read(&self, files: &[FileId]) -> Result<HashMap<String, FileFields>, Failure> {
        let read = match files {
            [file] => {
                let details = || self.api.file_fields(file);
                self.reads.read(Endpoint::GetDetails, details).await.map(|fields| vec![fields])
            }
            files => {
                let mut all = Vec::new();
                for files in files.chunks(IDS_MAX) {
                    let listing = Listing::of_ids(files);
                    let page = || self.api.list::<FileFields>(&listing, 0, PAGE_FILES_MAX);
                    all.extend(self.reads.read(Endpoint::List, page).await?);
                }
                Ok(all)
            }
        };
        match read {
            Ok(files) => Ok(files.into_iter().map(|file| (file.file_id.clone(), file)).collect()),
            Err(Failure::Refused { .. }) => Ok(HashMap::new()),
            Err(other) => Err(other),
        }
    }
}

impl Wire for Guarded {
    async fn look(&self, request: &impl Sendable) -> Result<(), Withheld> {
        let not_known = |error: LedgerError| {
            Withheld::Unread(Failure::NotSent { message: crate::error::chain(&error).into() })
        };
        if matches!(request.call(), Call::ReadBack(_)) {
            return Ok(());
        }
        let planned = self.not_begun(request.files()).map_err(not_known)?;
        let new: Vec<FileId> = planned.keys().map(|file| (*file).clone()).collect();
        if new.is_empty() {
            return Ok(());
        }
        let now = self.read(&new).await.map_err(Withheld::Unread)?;
        let mut moved = Vec::new();
        for (file, planned) in planned {
            if let (LiveState::Is(before), Some(now)) = (planned, now.get(file.as_str()))
                && !is_as_planned(request.call(), &before, now)
            {
                moved.push(file.clone());
            }
        }
        if moved.is_empty() {
            self.ledger.begin(&new).map_err(not_known)
        } else {
            Err(Withheld::Moved(moved))
        }
    }

    fn own_reads(&self) -> Counters {
        self.reads.counters()
    }

    async fn send(&self, request: &Safe) -> Result<Accepted, Failure> {
        self.api.send(request).await
    }

    async fn send_once(&self, recorded: Recorded) -> Fate {
        self.api.send_once(recorded).await
    }

    async fn file_state(&self, file: &FileId) -> Result<FileState, Failure> {
        self.api.file_state(file).await
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.api.probe().await
    }
}

/// Whether what a call is about is as it was.
fn is_as_planned(call: &Call, before: &FileFields, now: &FileFields) -> bool {
    match call {
        Call::Details(patch) => fields_are_as_planned(patch, before, now),
        Call::AddTags(_) | Call::RemoveTags(_) => same_tags(before, now),
        Call::Publish(_) => before.is_published == now.is_published,
        Call::ReadBack(_) => true,
    }
}

fn fields_are_as_planned(patch: &Patch, before: &FileFields, now: &FileFields) -> bool {
    let metadata = |fields: &FileFields, name: &str| fields.custom_metadata.get(name).cloned();
    (patch.tags.is_none() || same_tags(before, now))
        && (patch.remove_ai_tags.is_none() || before.ai_tags == now.ai_tags)
        && (patch.coordinates.is_none() || before.custom_coordinates == now.custom_coordinates)
        && (patch.description.is_none() || before.description == now.description)
        && patch
            .metadata
            .iter()
            .all(|(field, _)| metadata(before, &field.name) == metadata(now, &field.name))
}

/// Tags are a set: nobody says that ImageKit keeps their order.
fn same_tags(before: &FileFields, now: &FileFields) -> bool {
    let sorted = |fields: &FileFields| {
        let mut tags = fields.tags.clone();
        tags.sort_unstable();
        tags
    };
    sorted(before) == sorted(now)
}
