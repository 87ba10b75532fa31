//! Which worksheet of a workbook is read.

use super::WorkbookError;

/// A worksheet of a workbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Worksheet {
    pub(super) name: String,
    pub(super) is_hidden: bool,
}

/// The worksheet that is read, and the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::input) struct Choice {
    pub(in crate::input) name: String,
    others: Vec<Worksheet>,
}

impl Choice {
    /// The worksheet with this name, or else the first one that is not hidden.
    pub(super) fn of(mut all: Vec<Worksheet>, name: Option<&str>) -> Result<Self, WorkbookError> {
        let index = match name {
            Some(name) => {
                let exact = all.iter().position(|it| it.name == name);
                let folded =
                    || all.iter().position(|it| it.name.to_lowercase() == name.to_lowercase());
                exact.or_else(folded)
            }
            None => all.iter().position(|it| !it.is_hidden).or((!all.is_empty()).then_some(0)),
        };
        match (index, name) {
            (Some(index), _) => {
                let name = all.remove(index).name;
                Ok(Self { name, others: all })
            }
            (None, Some(name)) => {
                Err(WorkbookError::NoWorksheet { name: name.to_owned(), others: listed(&all) })
            }
            (None, None) => Err(WorkbookError::NoWorksheets),
        }
    }

    /// The error for a worksheet without cells.
    pub(super) fn empty(self) -> WorkbookError {
        WorkbookError::Empty { others: listed(&self.others), name: self.name }
    }
}

/// The names of worksheets.
fn listed(worksheets: &[Worksheet]) -> String {
    const NAMES_MAX: usize = 20;
    let text = |it: &Worksheet| {
        let hidden = if it.is_hidden { " (hidden)" } else { "" };
        format!("{:?}{hidden}", it.name)
    };
    let mut names: Vec<String> = worksheets.iter().take(NAMES_MAX).map(text).collect();
    if worksheets.len() > NAMES_MAX {
        names.push("…".to_owned());
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worksheets() -> Vec<Worksheet> {
        let sheet =
            |(name, is_hidden): (&str, bool)| Worksheet { name: name.to_owned(), is_hidden };
        [("Notes", true), ("Tabelle1", false), ("Data", false)].map(sheet).into()
    }

    #[test]
    fn first_worksheet_is_the_first_that_a_person_sees() {
        assert_eq!(Choice::of(worksheets(), None).unwrap().name, "Tabelle1");
        assert_eq!(Choice::of(worksheets(), Some("notes")).unwrap().name, "Notes");
        assert_eq!(Choice::of(worksheets()[..1].to_vec(), None).unwrap().name, "Notes");
        assert!(Choice::of(Vec::new(), None).is_err());
    }

    #[test]
    fn missing_and_empty_worksheets_are_explained_with_the_others() {
        let missing = Choice::of(worksheets(), Some("Sheet1")).expect_err("it is not there");
        assert_eq!(
            missing.to_string(),
            "there is no worksheet \"Sheet1\"; the workbook has \"Notes\" (hidden), \"Tabelle1\", \
             \"Data\" (nothing was sent)"
        );
        let empty = Choice::of(worksheets(), None).unwrap().empty();
        assert_eq!(
            empty.to_string(),
            "worksheet \"Tabelle1\" is empty; pass --worksheet with the name of another: \"Notes\" \
             (hidden), \"Data\"; nothing was sent"
        );
    }
}
