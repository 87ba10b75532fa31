//! Verifies search results against the file's own details.

use crate::imagekit::Place;
use crate::row::{FileId, LookupError, Target};

/// Maximum file ids to list in a message.
const NAMED_MAX: usize = 10;

/// Resolves a target. `candidates` are the files that search returned for its path; `place` is the
/// path and URL of the only candidate, read by its id, or `None` if that file no longer exists.
pub(super) fn resolve_target(
    target: &Target,
    candidates: &[FileId],
    place: Option<&Place>,
) -> Result<FileId, LookupError> {
    match (candidates, place) {
        ([], _) => Err(not_found()),
        ([file], None) => Err(moved(file, "no longer exists")),
        ([file], Some(place)) => {
            let path = place.file_path.as_deref().unwrap_or_default();
            if target.matches(path, place.url.as_deref()) {
                Ok(file.clone())
            } else if path == target.file_path() {
                Err(other_url(file, place.url.as_deref().unwrap_or_default()))
            } else {
                Err(moved(file, &format!("is now at {path}")))
            }
        }
        (several, _) => Err(ambiguous(several)),
    }
}

fn not_found() -> LookupError {
    lookup_error(
        "was not found by search".to_owned(),
        "check spelling and case, or retry later if the file was uploaded or moved just now",
    )
}

fn moved(file: &FileId, state: &str) -> LookupError {
    lookup_error(
        format!("was found by search as {file}, but that file {state}"),
        "fix the cell, retry later when search is up to date, or write the fileId",
    )
}

fn other_url(file: &FileId, url: &str) -> LookupError {
    let url = url.split('?').next().unwrap_or_default();
    lookup_error(
        format!("is not the URL of the file at this path: {file} has {url}"),
        "use that URL or the fileId, if that is the right file",
    )
}

fn ambiguous(files: &[FileId]) -> LookupError {
    let mut named: Vec<&str> = files.iter().map(FileId::as_str).collect();
    named.sort_unstable();
    named.truncate(NAMED_MAX);
    let more = if files.len() > NAMED_MAX { ", …" } else { "" };
    lookup_error(
        format!("matches {} files: {}{more}", files.len(), named.join(", ")),
        "write the fileId of the right one",
    )
}

fn lookup_error(problem: String, suggestion: &str) -> LookupError {
    LookupError { problem: problem.into(), suggestion: suggestion.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> FileId {
        FileId::new(text).expect("it is an id")
    }

    fn verify(
        target: &str,
        candidates: &[&str],
        at: Option<(&str, &str)>,
    ) -> Result<FileId, String> {
        let candidates: Vec<FileId> = candidates.iter().map(|text| id(text)).collect();
        let place = at.map(|(path, url)| Place {
            file_id: id("x"),
            file_path: Some(path.to_owned()),
            url: Some(url.to_owned()),
        });
        let file = resolve_target(&Target::kept(target), &candidates, place.as_ref());
        file.map_err(|error| error.problem.into())
    }

    #[test]
    fn only_one_file_at_the_target_is_accepted() {
        const URL: &str = "https://ik.imagekit.io/acct/a.jpg?updatedAt=1";
        let here = Some(("/a.jpg", URL));
        assert_eq!(verify("/a.jpg", &["x"], here), Ok(id("x")));
        assert_eq!(verify("//ik.imagekit.io/acct/a.jpg", &["x"], here), Ok(id("x")));
        for (target, candidates, at, problem) in [
            ("/a.jpg", &[][..], None, "was not found by search"),
            ("/a.jpg", &["y", "x"], None, "matches 2 files: x, y"),
            ("/a.jpg", &["x"], None, "as x, but that file no longer exists"),
            ("/a.jpg", &["x"], Some(("/b.jpg", URL)), "as x, but that file is now at /b.jpg"),
            ("/A.jpg", &["x"], here, "as x, but that file is now at /a.jpg"),
            (
                "//ik.imagekit.io/other/a.jpg",
                &["x"],
                here,
                "x has https://ik.imagekit.io/acct/a.jpg",
            ),
            ("//img.example.com/a.jpg", &["x"], here, "is not the URL of the file at this path: x"),
        ] {
            let actual = verify(target, candidates, at).expect_err(target);
            assert!(actual.contains(problem), "{target}: {actual}");
        }
    }
}
