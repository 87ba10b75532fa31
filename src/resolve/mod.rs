//! Files that are named by path or URL, looked up before anything is sent.
//!
//! [`look_up`] takes all targets of an input and says of each which file it is, or why that cannot
//! be said. It asks in the fewest requests: by name, up to 100 names of a folder a query, or by
//! listing a folder or the whole library where that takes fewer pages. How far search is behind
//! is not documented, so that it never has the last word: every file that it finds is read once by
//! its id, and counts only if it is where it should be.

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

/// From so many queries on it is asked how many files there are. The answer costs one request more,
/// and with fewer there is nothing to win by it.
const QUERIES_ASKED_FROM: usize = 4;

/// Pages of one listing beyond which they are taken to have no end: ten million files.
const PAGES_MAX: usize = 10_000;
/// The HTTP status of a list that is no use.
const OK: u16 = 200;

/// What looking up came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// What became of each target.
    pub files: Arc<Resolved>,
    /// Requests sent for it.
    pub reads: u64,
}

/// Looks these targets up. `watch` is told how many of how many found files have been confirmed.
///
/// # Errors
/// A request has found no answer, so that nothing is known.
pub async fn look_up(
    targets: &BTreeSet<Target>,
    api: &Api,
    reads: &Reads,
    watch: impl FnMut(usize, usize),
) -> Result<Resolution, Failure> {
    let search = Search { api, reads, at_once: reads.at_once().get() };
    let before = reads.sent();
    let wanted = PathIndex::of(targets);
    let listings = search.cheapest(&wanted).await?;
    let found = search.find(&wanted, listings).await?;
    let places = search.confirm(&found, watch).await?;
    let judge = |target: &Target| {
        let path = target.file_path();
        let candidates = found.get(path).map_or(&[][..], Vec::as_slice);
        (target.clone(), verify::file(target, candidates, places.get(path)))
    };
    let files: Resolved = targets.iter().map(judge).collect();
    Ok(Resolution { files: Arc::new(files), reads: reads.sent() - before })
}

/// The files that search shows at each wanted path.
type Found<'t> = HashMap<&'t str, Vec<FileId>>;

struct Search<'a> {
    api: &'a Api,
    reads: &'a Reads,
    /// Requests under way at once.
    at_once: usize,
}

impl Search<'_> {
    /// What to ask for, in the fewest requests: queries by name, or all of a folder, or all.
    async fn cheapest(&self, wanted: &PathIndex<'_>) -> Result<Vec<Listing>, Failure> {
        let folders = wanted.folders();
        let queries = folders.iter().map(|folder| folder.batches.len()).sum();
        if self.is_cheaper(&Listing::default(), queries).await? {
            return Ok(vec![Listing::default()]);
        }
        let mut listings = Vec::new();
        for folder in folders {
            let whole = Listing { folder: Some(folder.path.to_owned()), search: None };
            if self.is_cheaper(&whole, folder.batches.len()).await? {
                listings.push(whole);
            } else {
                let named = |names: &Vec<&str>| Listing::named(folder.path, names);
                listings.extend(folder.batches.iter().map(named));
            }
        }
        Ok(listings)
    }

    /// Whether listing all takes fewer requests than so many queries. One look behind as many
    /// files as would still be cheaper says so.
    async fn is_cheaper(&self, all: &Listing, queries: usize) -> Result<bool, Failure> {
        if queries < QUERIES_ASKED_FROM {
            return Ok(false);
        }
        let files = (queries - 2) * PAGE_FILES_MAX;
        let behind =
            self.reads.read(Endpoint::List, || self.api.list::<ListedPlace>(all, files, 1)).await?;
        Ok(behind.is_empty())
    }

    async fn find<'t>(
        &self,
        wanted: &PathIndex<'t>,
        listings: Vec<Listing>,
    ) -> Result<Found<'t>, Failure> {
        let pages = stream::iter(listings).map(|listing| self.list(listing, wanted));
        let mut pages = pages.buffer_unordered(self.at_once);
        let mut found = Found::new();
        while let Some(hits) = pages.try_next().await? {
            for (path, file) in hits {
                let candidates = found.entry(path).or_default();
                // Pages overlap where files come and go between them.
                if !candidates.contains(&file) {
                    candidates.push(file);
                }
            }
        }
        Ok(found)
    }

    /// All pages of a listing; gives the wanted files of it.
    async fn list<'t>(
        &self,
        listing: Listing,
        wanted: &PathIndex<'t>,
    ) -> Result<Vec<(&'t str, FileId)>, Failure> {
        let (mut hits, mut skip, mut heads) = (Vec::new(), 0, HashSet::new());
        for _ in 0..PAGES_MAX {
            let read = || self.api.list::<ListedPlace>(&listing, skip, PAGE_FILES_MAX);
            let page = self.reads.read(Endpoint::List, read).await?;
            let entries = page.len();
            let is_last = entries < PAGE_FILES_MAX;
            let mut places = page.into_iter().filter_map(|entry| entry.0).peekable();
            let is_again = places.peek().is_some_and(|first| !heads.insert(first.file_id.clone()));
            if is_again && !is_last {
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
        // There is no way to what is behind them.
        let files = plural(skip as u64, "file", "files");
        let message = format!("ImageKit lists the same files again after {files}");
        Err(Failure::unreadable(&message, OK, None))
    }

    /// Reads every file that is the only one at its path. Those that are gone are left out.
    async fn confirm<'t>(
        &self,
        found: &Found<'t>,
        mut watch: impl FnMut(usize, usize),
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
                Err(Failure::Refused { code: Code::NotFound, .. }) => Ok((path, None)),
                read => read.map(|place| (path, Some(place))),
            }
        });
        let mut reads = reads.buffer_unordered(self.at_once);
        let (mut places, mut done) = (HashMap::new(), 0);
        while let Some((path, place)) = reads.try_next().await? {
            places.extend(place.map(|place| (path, place)));
            done += 1;
            watch(done, count);
        }
        Ok(places)
    }
}
