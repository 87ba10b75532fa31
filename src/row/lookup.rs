//! Rows whose file is named by where it is, before and after it is known which file that is.

use std::collections::HashMap;

use super::{Change, Content, FileId, Problem, Target, Update};

/// A row that passed the rules, but of whose file only the place is known. No request can be made
/// of it: for that it takes an [`Update`].
#[derive(Debug, Clone, PartialEq)]
pub struct Unresolved {
    /// The file.
    pub target: Target,
    /// The cell that names it, as it was written.
    pub cell: Box<str>,
    /// The change, possibly empty.
    pub change: Change,
}

/// Why no file is known to be the one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupError {
    /// Continues the sentence «value …».
    pub problem: Box<str>,
    /// What to write instead.
    pub suggestion: Box<str>,
}

/// What became of every target that was looked up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved(HashMap<Target, Result<FileId, LookupError>>);

impl Resolved {
    /// What is known of it; `None` where it was not looked up.
    #[must_use]
    pub fn get(&self, target: &Target) -> Option<&Result<FileId, LookupError>> {
        self.0.get(target)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Target, &Result<FileId, LookupError>)> {
        self.0.iter()
    }

    /// How many targets there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// How many targets were found to be one file.
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
    /// The same, where its file has been looked up with that file, or with what is wrong about it.
    #[must_use]
    pub fn resolved(self, files: &Resolved) -> Self {
        let Self::Unresolved(unresolved) = self else {
            return self;
        };
        match files.get(&unresolved.target) {
            None => Self::Unresolved(unresolved),
            Some(Ok(file)) => {
                Self::Update(Box::new(Update { file: file.clone(), change: unresolved.change }))
            }
            Some(Err(LookupError { problem, suggestion })) => {
                let Unresolved { target, cell, .. } = &*unresolved;
                let problem =
                    Problem::new(target.column(), cell, problem.clone(), suggestion.clone());
                Self::Rejected(problem.into())
            }
        }
    }
}
