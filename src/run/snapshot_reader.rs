//! Reads snapshots of the files of a run into its ledger, with the fewest requests.
//!
//! A file that a listing omits is read individually: listings and searches may be stale, and only
//! the details of a single file are current.

use std::collections::HashSet;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::spot_check::SpotCheck;
use crate::account::AccountError;
use crate::execute::Reads;
use crate::file_fields::FileFields;
use crate::imagekit::{Api, Failure, IDS_MAX, Listing, PAGE_FILES_MAX};
use crate::input::{Context, Input, InputError};
use crate::ledger::{Added, FileFilter, LedgerError, LedgerFile, Snapshot};
use crate::outcome::Code;
use crate::plan::FilesOfInvalid;
use crate::request::Endpoint;
use crate::row::{Content, FileId};

/// Concurrent reads: enough to reach ImageKit's rate limit, and few enough to waste little when a
/// listing ends.
const READS_AT_ONCE: usize = 4;
/// Minimum number of files for listings: the spot check would re-read all of fewer files.
const LISTED_MIN: usize = 51;
/// Maximum folders whose fields are listed.
const FOLDERS_MAX: u32 = 50;
/// Maximum number of file ids in memory while files are read one by one.
const IDS_AT_ONCE: usize = 1000;

/// How many files were read, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadStats {
    /// Number of files that the run may change.
    pub files: u64,
    /// How most files were read.
    pub strategy: ReadStrategy,
    /// Number of files re-read individually to detect stale listings.
    pub reread: u64,
    /// Number of re-read files whose listed state was stale.
    pub stale: u64,
}

/// How files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadStrategy {
    /// One request per file.
    #[default]
    OneByOne,
    /// Listings by id, [`IDS_MAX`] files per request.
    ByIds,
    /// A listing of the whole library, [`PAGE_FILES_MAX`] files per page.
    Library {
        /// Number of pages after which reading by ids is cheaper.
        pages_max: usize,
    },
}

/// Result of reading the details of a file.
enum Details {
    Found(Box<FileFields>),
    Missing,
    /// ImageKit rejected the request, so the file's state is unknown. Its changes are sent
    /// regardless: if the row is invalid, ImageKit rejects it.
    Rejected,
}

/// Reason why the files could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A read request failed permanently.
    #[error("cannot read the current state of the files: {0}")]
    Api(Failure),
    /// The input cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The ledger cannot be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The state database cannot be read.
    #[error(transparent)]
    Account(#[from] AccountError),
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        Self::Api(failure)
    }
}

/// Shows how far the reading of files is.
pub(crate) trait ReadProgress {
    /// Starts to count `what` from 0, to `count` if that is known.
    fn begin(&self, what: &'static str, count: Option<u64>);

    /// Increases the count.
    fn add(&self, count: u64);
}

/// Reads the files of a run.
#[derive(Clone, Copy)]
pub(crate) struct SnapshotReader<'r> {
    /// Stores the snapshots.
    pub ledger: &'r LedgerFile,
    /// Client of ImageKit's API.
    pub api: &'r Api,
    /// Keeps reads within the account's rate limit, and retries them.
    pub reads: &'r Reads,
    /// Shows progress.
    pub progress: &'r dyn ReadProgress,
}

impl SnapshotReader<'_> {
    /// Records the files that the rows change, and discards the snapshots of an earlier reading.
    ///
    /// # Errors
    /// The input cannot be read, or the ledger cannot be written.
    pub(crate) fn record_files(&self, input: &Input, context: &Context) -> Result<(), ReadError> {
        self.ledger.transaction(|| {
            self.ledger.forget_files()?;
            let mut rows = input.rows(context, None)?;
            let mut files_of_invalid = FilesOfInvalid::open(input, context)?;
            while let Some((row, _)) = rows.next_row()? {
                let invalid_file = files_of_invalid.of(&row)?;
                let file = match &row.content {
                    Content::Update(update) => {
                        Some(&update.file).filter(|_| !update.change.is_empty())
                    }
                    // Whether the row is valid depends on what the file holds.
                    Content::Rejected(rejection) => {
                        rejection.unless_held().and_then(|held| held.file.as_ref())
                    }
                    Content::Unresolved(_) | Content::Blank => None,
                };
                if let Some(file) = file.or(invalid_file.as_ref()) {
                    self.ledger.add_file(file, row.pos.number)?;
                }
            }
            Ok(self.ledger.index_files()?)
        })
    }

    /// Reads all recorded files, with the fewest requests.
    ///
    /// # Errors
    /// Reads from ImageKit failed, or the ledger cannot be written.
    pub(crate) async fn read(&self) -> Result<ReadStats, ReadError> {
        let reading = self.ledger.reading_files()?;
        let files = self.ledger.file_count()?;
        self.progress.begin("files read", Some(files));
        let strategy = self.cheapest_strategy(usize::try_from(files).unwrap_or(usize::MAX)).await?;
        let read = match strategy {
            ReadStrategy::OneByOne => Ok(()),
            ReadStrategy::ByIds => self.read_by_ids(FileFilter::All).await,
            ReadStrategy::Library { pages_max } => self.read_library(pages_max).await,
        };
        match read {
            // A rejected listing leaves files unread, which are then read one by one.
            Err(ReadError::Api(failure @ Failure::Rejected { .. })) => tracing::warn!("{failure}"),
            other => other?,
        }
        self.read_one_by_one(FileFilter::Unread).await?;
        reading.commit()?;
        Ok(ReadStats { files, strategy, reread: 0, stale: 0 })
    }

    /// Re-reads some of the listed files individually. If one was stale, re-reads all files
    /// individually. Does nothing if they already were.
    ///
    /// # Errors
    /// Reads from ImageKit failed, or the ledger cannot be written.
    pub(crate) async fn verify(
        &self,
        some: &[FileId],
        stats: &mut ReadStats,
    ) -> Result<(), ReadError> {
        if stats.strategy == ReadStrategy::OneByOne || stats.stale > 0 {
            return Ok(());
        }
        stats.stale = self.count_stale(some).await?;
        // `some` may overlap with files verified earlier.
        stats.reread = (stats.reread + some.len() as u64).min(stats.files);
        if stats.stale > 0 {
            self.progress.begin("files re-read one by one", Some(stats.files));
            self.read_one_by_one(FileFilter::All).await?;
        }
        Ok(())
    }

    /// [Verifies](Self::verify) the files whose listed state contradicts what recent runs wrote.
    ///
    /// # Errors
    /// Reads from ImageKit failed, or the ledger cannot be written.
    pub(crate) async fn verify_unexpected(&self, stats: &mut ReadStats) -> Result<(), ReadError> {
        for files in self.files(FileFilter::Unexpected, IDS_AT_ONCE) {
            self.verify(&files?, stats).await?;
        }
        Ok(())
    }

    /// [Verifies](Self::verify) a sample of the existing files.
    ///
    /// # Errors
    /// Reads from ImageKit failed, or the ledger cannot be written.
    pub(crate) async fn verify_sample(&self, stats: &mut ReadStats) -> Result<(), ReadError> {
        if stats.strategy == ReadStrategy::OneByOne || stats.stale > 0 {
            return Ok(());
        }
        let mut sample = SpotCheck::default();
        for files in self.files(FileFilter::There, IDS_AT_ONCE) {
            files?.iter().for_each(|file| sample.add(file));
        }
        self.verify(&sample.files(), stats).await
    }

    /// Reads the options that path policies allow, where file objects show the first ones only: one
    /// request per folder, for the first [`FOLDERS_MAX`]. Without them, the options are left to the
    /// API.
    ///
    /// # Errors
    /// Reads from ImageKit failed, or the ledger cannot be written.
    pub(crate) async fn complete_policies(&self) -> Result<(), ReadError> {
        for (policy, folder) in self.ledger.truncated_policies(FOLDERS_MAX)? {
            let fields = || self.api.fields_of_folder(&folder);
            match self.reads.read(Endpoint::MetadataFields, fields).await {
                Ok(json) => self.ledger.set_policy_fields(policy, &json)?,
                Err(refused @ Failure::Rejected { .. }) => {
                    tracing::warn!("cannot read the fields of folder {folder}: {refused}");
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(())
    }

    /// Re-reads files individually, and counts those whose listed state was stale.
    async fn count_stale(&self, files: &[FileId]) -> Result<u64, ReadError> {
        self.progress.begin("files re-read", Some(files.len() as u64));
        let mut stale = 0;
        let mut details =
            stream::iter(files).map(|file| self.details(file)).buffered(READS_AT_ONCE);
        while let Some((file, details)) = details.try_next().await? {
            let listed = self.ledger.file_record(file.as_str())?.map(|record| record.state);
            let is_stale = match (&listed, &details) {
                (Some(Snapshot::Fields(listed)), Details::Found(current)) => {
                    !listed.is_like(current)
                }
                (Some(Snapshot::Missing), Details::Missing) | (_, Details::Rejected) => false,
                _ => true,
            };
            stale += u64::from(is_stale);
            self.store(file, &details)?;
        }
        Ok(stale)
    }

    /// The strategy with the fewest requests. ImageKit does not return the size of a library, so one
    /// request probes whether listing the library takes fewer pages than reading by ids.
    async fn cheapest_strategy(&self, files: usize) -> Result<ReadStrategy, ReadError> {
        let requests_by_ids = files.div_ceil(IDS_MAX);
        match (files, requests_by_ids) {
            (..LISTED_MIN, _) => return Ok(ReadStrategy::OneByOne),
            (_, 1 | 2) => return Ok(ReadStrategy::ByIds),
            _ => {}
        }
        let all = Listing::default();
        let skip = (requests_by_ids - 1) * PAGE_FILES_MAX;
        let one = || self.api.list::<FileFields>(&all, skip, 1);
        Ok(match self.reads.read(Endpoint::List, one).await {
            Ok(files) if files.is_empty() => ReadStrategy::Library { pages_max: requests_by_ids },
            // ImageKit may reject a large `skip`; its maximum is not documented.
            Ok(_) | Err(Failure::Rejected { .. }) => ReadStrategy::ByIds,
            Err(failure) => return Err(failure.into()),
        })
    }

    async fn read_library(&self, pages_max: usize) -> Result<(), ReadError> {
        let all = &Listing::default();
        let skips = (0..).step_by(PAGE_FILES_MAX).take(pages_max);
        let pages = stream::iter(skips).map(|skip| {
            let page = move || self.api.list::<FileFields>(all, skip, PAGE_FILES_MAX);
            self.reads.read(Endpoint::List, page)
        });
        let mut pages = std::pin::pin!(pages.buffered(READS_AT_ONCE));
        let mut contradictory = HashSet::new();
        while let Some(page) = pages.try_next().await? {
            self.store_all(&page, &mut contradictory)?;
            if page.len() < PAGE_FILES_MAX {
                return Ok(());
            }
        }
        tracing::warn!(
            "the library has more pages than expected; reading the remaining files by id"
        );
        self.read_by_ids(FileFilter::Unread).await
    }

    async fn read_by_ids(&self, filter: FileFilter) -> Result<(), ReadError> {
        let pages = stream::iter(self.files(filter, IDS_MAX)).map(async |files| {
            let files = files?;
            let list = || self.api.list_by_ids(&files);
            Ok::<_, ReadError>(self.reads.read(Endpoint::List, list).await?)
        });
        let mut pages = std::pin::pin!(pages.buffered(READS_AT_ONCE));
        let mut contradictory = HashSet::new();
        while let Some(page) = pages.try_next().await? {
            self.store_all(&page, &mut contradictory)?;
        }
        Ok(())
    }

    async fn read_one_by_one(&self, filter: FileFilter) -> Result<(), ReadError> {
        for files in self.files(filter, IDS_AT_ONCE) {
            let files = files?;
            let mut details =
                stream::iter(&files).map(|file| self.details(file)).buffered(READS_AT_ONCE);
            while let Some((file, details)) = details.try_next().await? {
                self.store(file, &details)?;
            }
        }
        Ok(())
    }

    /// The recorded files that match, in chunks of at most `at_once`.
    fn files(
        &self,
        filter: FileFilter,
        at_once: usize,
    ) -> impl Iterator<Item = Result<Vec<FileId>, LedgerError>> {
        let mut last = None;
        std::iter::from_fn(move || {
            let files = match self.ledger.files_after(last, filter, at_once) {
                Ok(files) => files,
                Err(error) => return Some(Err(error)),
            };
            last = Some(files.last()?.0);
            Some(Ok(files.into_iter().map(|(_, file)| file).collect()))
        })
    }

    async fn details<'f>(&self, file: &'f FileId) -> Result<(&'f FileId, Details), ReadError> {
        let details = || self.api.file_fields(file);
        let details = match self.reads.read(Endpoint::GetDetails, details).await {
            Ok(fields) => Details::Found(Box::new(fields)),
            Err(Failure::Rejected { code: Code::NotFound, .. }) => Details::Missing,
            Err(refused @ Failure::Rejected { .. }) => {
                tracing::warn!("cannot read the state of file {}: {refused}", file.as_str());
                Details::Rejected
            }
            Err(failure) => return Err(failure.into()),
        };
        Ok((file, details))
    }

    fn store(&self, file: &FileId, details: &Details) -> Result<(), LedgerError> {
        self.progress.add(1);
        match details {
            Details::Found(fields) => self.ledger.set_state(fields).map(|_| ()),
            Details::Missing => self.ledger.set_missing(file.as_str()),
            Details::Rejected => Ok(()),
        }
    }

    /// Stores a page of a listing. A file listed twice with different states is added to
    /// `contradictory` and stays unread, so that it is read individually.
    fn store_all(
        &self,
        files: &[FileFields],
        contradictory: &mut HashSet<String>,
    ) -> Result<(), LedgerError> {
        for fields in files.iter().filter(|fields| fields.is_file()) {
            if contradictory.contains(&fields.file_id) {
                continue;
            }
            match self.ledger.add_state(fields)? {
                Added::OtherFile | Added::Again => {}
                Added::New => self.progress.add(1),
                Added::Contradictory => {
                    self.ledger.set_unread(&fields.file_id)?;
                    contradictory.insert(fields.file_id.clone());
                }
            }
        }
        Ok(())
    }
}
