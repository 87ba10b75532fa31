//! Rows that identify their file by path or URL, before and after the lookup.

use std::collections::HashMap;

use super::{Change, Content, FileId, Problem, Target, Update};

/// A valid row whose file id is not known yet. No request can be made from it; requests take an
/// [`Update`].
#[derive(Debug, Clone, PartialEq)]
pub struct Unresolved {
    /// Path or URL of the file.
    pub target: Target,
    /// The `filePath` or `url` cell as written.
    pub cell: Box<str>,
    /// The change, possibly empty.
    pub change: Box<Change>,
}

/// Why a target could not be resolved to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupError {
    /// Continues the sentence "value …".
    pub problem: Box<str>,
    /// The fix, as an imperative.
    pub suggestion: Box<str>,
}

/// The results of looking up targets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved(HashMap<Target, Result<FileId, LookupError>>);

impl Resolved {
    /// The result for a target; `None` if it was not looked up.
    #[must_use]
    pub fn get(&self, target: &Target) -> Option<&Result<FileId, LookupError>> {
        self.0.get(target)
    }

    /// All results, in arbitrary order.
    pub fn iter(&self) -> impl Iterator<Item = (&Target, &Result<FileId, LookupError>)> {
        self.0.iter()
    }

    /// The number of targets.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The number of targets that resolved to a file.
    #[must_use]
    pub fn found(&self) -> usize {
        self.0.values().filter(|file| file.is_ok()).count()
    }
}

impl FromIterator<(Target, Result<FileId, LookupError>)> for Resolved {
    fn from_iter<I: IntoIterator<Item = (Target, Result<FileId, LookupError>)>>(
        targets: I,
    ) -> Self {
        Self(targets.into_iter().collect())
    }
}

impl Content {
    /// Replaces an unresolved row by an update or a rejection, if its target was looked up. A row
    /// that is rejected unless its file holds a word gets its file.
    #[must_use]
    pub fn resolved(self, files: &Resolved) -> Self {
        let unresolved = match self {
            Self::Unresolved(unresolved) => unresolved,
            Self::Rejected(mut rejection) => {
                rejection.resolve(files);
                return Self::Rejected(rejection);
            }
            Self::Update(_) | Self::Blank => return self,
        };
        match files.get(&unresolved.target) {
            None => Self::Unresolved(unresolved),
            Some(Ok(file)) => {
                Self::Update(Update { file: file.clone(), change: unresolved.change })
            }
            Some(Err(LookupError { problem, suggestion })) => {
                let Unresolved { target, cell, .. } = &*unresolved;
                let problem =
                    Problem::new(target.column(), cell, problem.clone(), suggestion.clone());
                Self::rejected(problem)
            }
        }
    }
}
