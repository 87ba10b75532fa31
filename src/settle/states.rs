//! Where the states of files are read.

use std::future::Future;

use crate::execute::Reads;
use crate::imagekit::{Api, Failure, FileState, ListedState, Listing, Order, PAGE_FILES_MAX};
use crate::request::Endpoint;
use crate::row::FileId;

/// Reads states of files.
pub(crate) trait States {
    /// A page of the files that were updated last, after the first `skip`.
    fn recently_updated(
        &self,
        skip: usize,
    ) -> impl Future<Output = Result<Vec<ListedState>, Failure>>;

    /// These files, at most [`crate::imagekit::IDS_MAX`], in a list.
    fn by_ids(&self, files: &[FileId]) -> impl Future<Output = Result<Vec<ListedState>, Failure>>;

    /// The details of a file, which are always current.
    fn details(&self, file: &FileId) -> impl Future<Output = Result<FileState, Failure>>;
}

/// ImageKit's states, read within the account's rate limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ApiStates<'a> {
    /// The client.
    pub api: &'a Api,
    /// Paces and retries the reads.
    pub reads: &'a Reads,
}

impl States for ApiStates<'_> {
    async fn recently_updated(&self, skip: usize) -> Result<Vec<ListedState>, Failure> {
        let listing = Listing { order: Order::RecentlyUpdated, ..Listing::default() };
        let page = || self.api.list(&listing, skip, PAGE_FILES_MAX);
        self.reads.read(Endpoint::List, page).await
    }

    async fn by_ids(&self, files: &[FileId]) -> Result<Vec<ListedState>, Failure> {
        let listing = Listing::by_ids(files);
        let list = || self.api.list(&listing, 0, PAGE_FILES_MAX);
        self.reads.read(Endpoint::List, list).await
    }

    async fn details(&self, file: &FileId) -> Result<FileState, Failure> {
        self.reads.read(Endpoint::GetDetails, || self.api.file_state(file)).await
    }
}
