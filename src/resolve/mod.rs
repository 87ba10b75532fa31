//! Looks up files by path or URL before anything is sent.
//!
//! [`look_up`] resolves all targets of an input to file ids, in the fewest requests: by name, up to
//! 100 names of a folder per query, or by listing a folder or the whole library if that takes fewer
//! pages. Search may lag behind writes, and ImageKit does not document for how long, so every
//! result is verified: the file is read by its id and must have the target's path or URL.

mod queries;
mod verify;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::execute::Reads;
use crate::imagekit::{Api, Failure, ListedPlace, Listing, PAGE_FILES_MAX, Place};
use crate::outcome::Code;
use crate::plural::plural;
use crate::request::Endpoint;
use crate::row::{FileId, Resolved, Target};
use queries::PathIndex;

/// Minimum queries at which to check whether listing is cheaper. The check costs one request, so
/// with fewer queries it cannot pay off.
const QUERIES_MIN: usize = 4;

/// Maximum pages of one listing (ten million files); beyond, the listing is considered endless.
const PAGES_MAX: usize = 10_000;
/// HTTP status of a successful but unusable listing.
const OK: u16 = 200;

/// The result of [`look_up`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The file or the error for each target.
    pub files: Arc<Resolved>,
    /// Number of requests sent.
    pub reads: u64,
}

/// Looks up these targets. `progress` receives the number of verified files and their total.
///
/// # Errors
/// A request failed after all retries; no target is resolved.
pub(crate) async fn look_up(
    targets: &BTreeSet<Target>,
    api: &Api,
    reads: &Reads,
    progress: impl FnMut(usize, usize),
) -> Result<Resolution, Failure> {
    let search = Search { api, reads, concurrency: reads.concurrency().get() };
    let before = reads.sent();
    let wanted = PathIndex::new(targets);
    let listings = search.cheapest(&wanted).await?;
    let found = search.find(&wanted, listings).await?;
    let places = search.read_candidates(&found, progress).await?;
    let resolve = |target: &Target| {
        let path = target.file_path();
        let candidates = found.get(path).map_or(&[][..], Vec::as_slice);
        (target.clone(), verify::resolve_target(target, candidates, places.get(path)))
    };
    let files: Resolved = targets.iter().map(resolve).collect();
    Ok(Resolution { files: Arc::new(files), reads: reads.sent() - before })
}

/// Files that search returned for each wanted path.
type Found<'t> = HashMap<&'t str, Vec<FileId>>;

struct Search<'a> {
    api: &'a Api,
    reads: &'a Reads,
    /// Maximum concurrent requests.
    concurrency: usize,
}

impl Search<'_> {
    /// The fewest listings that cover all wanted paths: by names, by folder, or the whole library.
    async fn cheapest(&self, wanted: &PathIndex<'_>) -> Result<Vec<Listing>, Failure> {
        let folders = wanted.folders();
        let queries = folders.iter().map(|folder| folder.batches.len()).sum();
        if self.is_cheaper(&Listing::default(), queries).await? {
            return Ok(vec![Listing::default()]);
        }
        let mut listings = Vec::new();
        for folder in folders {
            let whole = Listing { folder: Some(folder.path.to_owned()), ..Listing::default() };
            if self.is_cheaper(&whole, folder.batches.len()).await? {
                listings.push(whole);
            } else {
                let named = |names: &Vec<&str>| Listing::named(folder.path, names);
                listings.extend(folder.batches.iter().map(named));
            }
        }
        Ok(listings)
    }

    /// Whether listing all files takes fewer requests than this number of queries. One request
    /// tells: it reads one file past the number at which listing stops being cheaper.
    async fn is_cheaper(&self, all: &Listing, queries: usize) -> Result<bool, Failure> {
        if queries < QUERIES_MIN {
            return Ok(false);
        }
        let files = (queries - 2) * PAGE_FILES_MAX;
        let beyond =
            self.reads.read(Endpoint::List, || self.api.list::<ListedPlace>(all, files, 1)).await?;
        Ok(beyond.is_empty())
    }

    async fn find<'t>(
        &self,
        wanted: &PathIndex<'t>,
        listings: Vec<Listing>,
    ) -> Result<Found<'t>, Failure> {
        let pages = stream::iter(listings).map(|listing| self.list(listing, wanted));
        let mut pages = pages.buffer_unordered(self.concurrency);
        let mut found = Found::new();
        while let Some(hits) = pages.try_next().await? {
            for (path, file) in hits {
                let candidates = found.entry(path).or_default();
                // Pages overlap if files are created or deleted meanwhile.
                if !candidates.contains(&file) {
                    candidates.push(file);
                }
            }
        }
        Ok(found)
    }

    /// Reads all pages of a listing; returns the files at wanted paths.
    async fn list<'t>(
        &self,
        listing: Listing,
        wanted: &PathIndex<'t>,
    ) -> Result<Vec<(&'t str, FileId)>, Failure> {
        let (mut hits, mut skip, mut first_files) = (Vec::new(), 0, HashSet::new());
        for _ in 0..PAGES_MAX {
            let read = || self.api.list::<ListedPlace>(&listing, skip, PAGE_FILES_MAX);
            let page = self.reads.read(Endpoint::List, read).await?;
            let entries = page.len();
            let is_last = entries < PAGE_FILES_MAX;
            let mut places = page.into_iter().filter_map(|entry| entry.0).peekable();
            let is_repeated =
                places.peek().is_some_and(|first| !first_files.insert(first.file_id.clone()));
            if is_repeated && !is_last {
                break;
            }
            skip += entries;
            let hit = |Place { file_id, file_path, .. }| {
                Some((wanted.path(file_path.as_deref()?)?, file_id))
            };
            hits.extend(places.filter_map(hit));
            if is_last {
                return Ok(hits);
            }
        }
        // The files after this point cannot be listed.
        let files = plural(skip as u64, "file", "files");
        let message = format!("ImageKit lists the same files again after {files}");
        Err(Failure::unreadable(&message, OK, None))
    }

    /// Reads the details of every file that is the only candidate for its path; omits deleted
    /// files.
    async fn read_candidates<'t>(
        &self,
        found: &Found<'t>,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<HashMap<&'t str, Place>, Failure> {
        let only = |(path, files): (&&'t str, &Vec<FileId>)| match files.as_slice() {
            [file] => Some((*path, file.clone())),
            _ => None,
        };
        let files: Vec<_> = found.iter().filter_map(only).collect();
        let count = files.len();
        let reads = stream::iter(files).map(async |(path, file)| {
            let read = self.reads.read(Endpoint::GetDetails, || self.api.place(&file)).await;
            match read {
                Err(Failure::Rejected { code: Code::NotFound, .. }) => Ok((path, None)),
                read => read.map(|place| (path, Some(place))),
            }
        });
        let mut reads = reads.buffer_unordered(self.concurrency);
        let (mut places, mut done) = (HashMap::new(), 0);
        while let Some((path, place)) = reads.try_next().await? {
            places.extend(place.map(|place| (path, place)));
            done += 1;
            progress(done, count);
        }
        Ok(places)
    }
}
