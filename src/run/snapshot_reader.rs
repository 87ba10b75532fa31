//! Reads what the files of a run are like, in the fewest requests, into its ledger.
//!
//! A file that a list leaves out is asked for by itself: how fresh lists and searches are nobody
//! states, the details of a file are never stale.

use std::collections::HashSet;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::spot_check::SpotCheck;
use crate::account::AccountError;
use crate::execute::Reads;
use crate::imagekit::{Api, Failure, FileFields, IDS_MAX, Listing, PAGE_FILES_MAX};
use crate::input::{Context, Input, InputError};
use crate::ledger::{FileFilter, LedgerError, LedgerFile, Snapshot};
use crate::outcome::Code;
use crate::report::Counter;
use crate::request::Endpoint;
use crate::row::{Content, FileId};

/// Reads under way at once: enough to reach the rate that ImageKit allows, few enough that little
/// is asked for behind the end of a list.
const READS_AT_ONCE: usize = 4;
/// From so many files on lists are worth it: of fewer, all would be looked at again by themselves,
/// because lists may be out of date.
const LISTED_FROM: usize = 51;
/// Files in memory at once while they are asked for one by one.
const FILES_AT_ONCE: usize = 1000;

/// What was read, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadStats {
    /// Files that the run is about.
    pub files: u64,
    /// How most of them were read.
    pub way: ReadStrategy,
    /// How many of them were looked at again by themselves.
    pub again: u64,
    /// Of those that were looked at again, files that were not as they had been read.
    pub stale: u64,
}

/// How files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadStrategy {
    /// One by one.
    #[default]
    OneByOne,
    /// A hundred at once, by their ids.
    ByIds,
    /// All of the library, by pages of a thousand.
    Library {
        /// Pages beyond which it is larger than it was, or its pages do not end.
        pages_max: usize,
    },
}

/// What the details of a file came to.
enum Details {
    Are(FileFields),
    Missing,
    /// ImageKit does not give them, and nothing is known of the file. What is asked of it is sent
    /// all the same: if it is wrong, ImageKit says so of the row.
    Refused,
}

/// Why the files could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// ImageKit did not give them.
    #[error("cannot read what the files are like: {0}")]
    Api(Failure),
    /// The input cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The ledger cannot be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What is known of the account's runs cannot be read.
    #[error(transparent)]
    Account(#[from] AccountError),
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        Self::Api(failure)
    }
}

/// Reads the files of a run.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotReader<'r> {
    /// Takes down what is read.
    pub ledger: &'r LedgerFile,
    /// The wire.
    pub api: &'r Api,
    /// Within the account's budget.
    pub reads: &'r Reads,
    /// Shows how far it is.
    pub counter: &'r Counter,
}

impl SnapshotReader<'_> {
    /// Writes down which files the rows name, and forgets what was known of files before.
    ///
    /// # Errors
    /// The input cannot be read, or the ledger not be written.
    pub fn record_files(&self, input: &Input, context: &Context) -> Result<(), ReadError> {
        self.ledger.transaction(|| {
            self.ledger.forget_files()?;
            let mut rows = input.rows(context, None)?;
            while let Some((row, _)) = rows.next_row()? {
                if let Content::Update(update) = row.content
                    && !update.change.is_empty()
                {
                    self.ledger.upsert_file(update.file.as_str(), row.pos.number)?;
                }
            }
            Ok(())
        })
    }

    /// Reads all of them, by the way that takes the fewest requests.
    ///
    /// # Errors
    /// ImageKit cannot be read, or the ledger not be written.
    pub async fn read(&self) -> Result<ReadStats, ReadError> {
        let files = self.ledger.file_count()?;
        self.counter.begin("files read", Some(files));
        let way = self.cheapest(usize::try_from(files).unwrap_or(usize::MAX)).await?;
        let read = match way {
            ReadStrategy::OneByOne => Ok(()),
            ReadStrategy::ByIds => self.by_ids(FileFilter::All).await,
            ReadStrategy::Library { pages_max } => self.library(pages_max).await,
        };
        match read {
            // What is refused there can still be asked for one by one.
            Err(ReadError::Api(failure @ Failure::Refused { .. })) => tracing::warn!("{failure}"),
            other => other?,
        }
        self.one_by_one(FileFilter::Unread).await?;
        Ok(ReadStats { files, way, again: 0, stale: 0 })
    }

    /// Looks again by themselves at some of the files that lists gave; where one is out of date, reads
    /// all files by themselves.
    ///
    /// # Errors
    /// ImageKit cannot be read, or the ledger not be written.
    pub async fn verify(&self, some: &[FileId], reading: &mut ReadStats) -> Result<(), ReadError> {
        if reading.way == ReadStrategy::OneByOne || reading.stale > 0 {
            return Ok(());
        }
        reading.stale = self.read_again(some).await?;
        // Some may have been looked at before.
        reading.again = (reading.again + some.len() as u64).min(reading.files);
        if reading.stale > 0 {
            self.counter.begin("files read again, one by one", Some(reading.files));
            self.one_by_one(FileFilter::All).await?;
        }
        Ok(())
    }

    /// Does the same with those that were not read as they must be by what other runs have done to
    /// them.
    ///
    /// # Errors
    /// ImageKit cannot be read, or the ledger not be written.
    pub async fn verify_unexpected(&self, reading: &mut ReadStats) -> Result<(), ReadError> {
        for files in self.files(FileFilter::Unexpected, FILES_AT_ONCE) {
            self.verify(&files?, reading).await?;
        }
        Ok(())
    }

    /// Does the same with a sample of the files that are there.
    ///
    /// # Errors
    /// ImageKit cannot be read, or the ledger not be written.
    pub async fn verify_sample(&self, reading: &mut ReadStats) -> Result<(), ReadError> {
        if reading.way == ReadStrategy::OneByOne || reading.stale > 0 {
            return Ok(());
        }
        let mut sample = SpotCheck::default();
        for files in self.files(FileFilter::There, FILES_AT_ONCE) {
            files?.iter().for_each(|file| sample.add(file));
        }
        self.verify(&sample.files(), reading).await
    }

    /// Looks again at some files by themselves; gives how many are not as they were read.
    ///
    /// # Errors
    /// ImageKit cannot be read, or the ledger not be written.
    async fn read_again(&self, files: &[FileId]) -> Result<u64, ReadError> {
        self.counter.begin("files looked at again", Some(files.len() as u64));
        let mut stale = 0;
        let mut details =
            stream::iter(files).map(|file| self.details(file)).buffered(READS_AT_ONCE);
        while let Some((file, now)) = details.try_next().await? {
            let known = self.ledger.file_record(file.as_str())?.map(|known| known.state);
            let is_stale = match (&known, &now) {
                (Some(Snapshot::Fields(before)), Details::Are(now)) => **before != *now,
                (Some(Snapshot::Missing), Details::Missing) | (_, Details::Refused) => false,
                _ => true,
            };
            stale += u64::from(is_stale);
            self.store(file, &now)?;
        }
        Ok(stale)
    }

    /// The way that takes the fewest requests. Nobody states how many files a library holds, so
    /// that one request asks whether it has more than the other way is worth.
    async fn cheapest(&self, files: usize) -> Result<ReadStrategy, ReadError> {
        let by_ids = files.div_ceil(IDS_MAX);
        match (files, by_ids) {
            (..LISTED_FROM, _) => return Ok(ReadStrategy::OneByOne),
            (_, 1 | 2) => return Ok(ReadStrategy::ByIds),
            _ => {}
        }
        let all = Listing::default();
        let skip = (by_ids - 1) * PAGE_FILES_MAX;
        let one = || self.api.list::<FileFields>(&all, skip, 1);
        Ok(match self.reads.read(Endpoint::List, one).await {
            Ok(files) if files.is_empty() => ReadStrategy::Library { pages_max: by_ids },
            // How far one may skip nobody states either.
            Ok(_) | Err(Failure::Refused { .. }) => ReadStrategy::ByIds,
            Err(failure) => return Err(failure.into()),
        })
    }

    async fn library(&self, pages_max: usize) -> Result<(), ReadError> {
        let all = &Listing::default();
        let skips = (0..).step_by(PAGE_FILES_MAX).take(pages_max);
        let pages = stream::iter(skips).map(|skip| {
            let page = move || self.api.list::<FileFields>(all, skip, PAGE_FILES_MAX);
            self.reads.read(Endpoint::List, page)
        });
        let mut pages = std::pin::pin!(pages.buffered(READS_AT_ONCE));
        let mut doubted = HashSet::new();
        while let Some(page) = pages.try_next().await? {
            self.store_all(&page, &mut doubted)?;
            if page.len() < PAGE_FILES_MAX {
                return Ok(());
            }
        }
        tracing::warn!(
            "the pages of the library do not end; the files that they do not show are read by id"
        );
        self.by_ids(FileFilter::Unread).await
    }

    async fn by_ids(&self, which: FileFilter) -> Result<(), ReadError> {
        let pages = stream::iter(self.files(which, IDS_MAX)).map(async |files| {
            let files = files?;
            let list = || self.api.list_by_ids(&files);
            Ok::<_, ReadError>(self.reads.read(Endpoint::List, list).await?)
        });
        let mut pages = std::pin::pin!(pages.buffered(READS_AT_ONCE));
        let mut doubted = HashSet::new();
        while let Some(page) = pages.try_next().await? {
            self.store_all(&page, &mut doubted)?;
        }
        Ok(())
    }

    async fn one_by_one(&self, which: FileFilter) -> Result<(), ReadError> {
        for files in self.files(which, FILES_AT_ONCE) {
            let files = files?;
            let mut details =
                stream::iter(&files).map(|file| self.details(file)).buffered(READS_AT_ONCE);
            while let Some((file, details)) = details.try_next().await? {
                self.store(file, &details)?;
            }
        }
        Ok(())
    }

    /// The files of a kind, so many at once.
    fn files(
        &self,
        which: FileFilter,
        at_once: usize,
    ) -> impl Iterator<Item = Result<Vec<FileId>, LedgerError>> {
        let mut last = None;
        std::iter::from_fn(move || {
            let files = self.ledger.files_with_later_rows(last.as_ref(), which, at_once);
            if let Ok(files) = &files {
                last = Some(files.last()?.clone());
            }
            Some(files)
        })
    }

    /// What a file is like.
    async fn details<'f>(&self, file: &'f FileId) -> Result<(&'f FileId, Details), ReadError> {
        let details = || self.api.file_fields(file);
        let details = match self.reads.read(Endpoint::GetDetails, details).await {
            Ok(fields) => Details::Are(fields),
            Err(Failure::Refused { code: Code::NotFound, .. }) => Details::Missing,
            Err(refused @ Failure::Refused { .. }) => {
                tracing::warn!("cannot read what file {} is like: {refused}", file.as_str());
                Details::Refused
            }
            Err(failure) => return Err(failure.into()),
        };
        Ok((file, details))
    }

    fn store(&self, file: &FileId, details: &Details) -> Result<(), LedgerError> {
        self.counter.add(1);
        match details {
            Details::Are(fields) => self.ledger.set_state(fields).map(|_| ()),
            Details::Missing => self.ledger.set_missing(file.as_str()),
            Details::Refused => Ok(()),
        }
    }

    /// Takes down what lists show of files. A file of which two entries say different things is left
    /// to be read by itself.
    fn store_all(
        &self,
        files: &[FileFields],
        doubted: &mut HashSet<String>,
    ) -> Result<(), LedgerError> {
        self.ledger.transaction(|| {
            for fields in files.iter().filter(|fields| fields.is_file()) {
                if doubted.contains(&fields.file_id) {
                    continue;
                }
                let before = self.ledger.file_record(&fields.file_id)?.map(|known| known.state);
                match before {
                    None => {}
                    Some(Snapshot::Fields(before)) if before.is_like(fields) => {}
                    Some(Snapshot::Fields(_)) => {
                        self.ledger.set_unread(&fields.file_id)?;
                        doubted.insert(fields.file_id.clone());
                    }
                    Some(Snapshot::Unread | Snapshot::Missing) => {
                        self.counter.add(u64::from(self.ledger.set_state(fields)?));
                    }
                }
            }
            Ok(())
        })
    }
}
