//! Parses the header of a sheet.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::jsonl::{is_listed_file, is_read_only};
use super::names::{Meaning, Names, is_generated, metadata_name, own, report};
use super::no_header::why_no_header;
use super::options::is_same;
use super::{Delimiter, InputError, NearlyKnown, ReadOptions};
use crate::plural::plural;
use crate::row::{Field, METADATA, closest_name, fold, is_unseen};
use crate::shell::quoted;

/// Characters that programs write between cells, and that are rare in names.
const DELIMITERS: [char; 10] = [',', ';', '\t', '|', ':', '^', '~', '\u{1f}', '\u{1}', ' '];

/// How many columns with made-up names are named one by one.
const GENERATED_NAMES_MAX: usize = 3;

/// A parsed header.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    names: Vec<String>,
    meanings: Vec<Meaning>,
    /// API names of the custom metadata columns.
    metadata: HashSet<Arc<str>>,
    /// The columns that are not read, to show to the user.
    pub ignored: Vec<String>,
    /// Index of `fileId`.
    pub file_id: Option<usize>,
    /// Indices of the columns in [`own`], if the input contains rows of an earlier run.
    pub own: Vec<(&'static str, usize)>,
}

/// The names of columns as a sheet has them, where ikbulk has others for them.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeaderNames(HashMap<String, String>);

impl HeaderNames {
    /// The name that the sheet has for a column.
    pub(crate) fn of<'n>(&'n self, column: &'n str) -> &'n str {
        self.0.get(column).map_or(column, String::as_str)
    }
}

impl Columns {
    /// Parses a header.
    ///
    /// # Errors
    /// No column identifies the files, no column changes anything, a column is repeated or nearly a
    /// known one, or the account does not have a custom metadata field. All problems are named.
    pub(super) fn read<'h>(
        header: impl Iterator<Item = &'h str>,
        known: Names<'_>,
    ) -> Result<Self, InputError> {
        let names: Vec<&str> = header.map(str::trim).collect();
        if let Some(why) = why_no_header(&names, known) {
            return Err(InputError::Header { why });
        }
        let mut columns = Self {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            meanings: names.iter().map(|name| known.meaning(name)).collect(),
            metadata: HashSet::new(),
            ignored: Vec::new(),
            file_id: None,
            own: own::ALL
                .into_iter()
                .filter_map(|own| Some((own, names.iter().position(|name| *name == own)?)))
                .collect(),
        };
        columns.ignore_results(known);
        columns.ignore_read_only(known);
        columns.prefer_explicit_columns();
        columns.check(known)?;
        columns.file_id = columns.index_of(&Field::FileId);
        columns.ignored = columns.unread();
        Ok(columns)
    }

    /// The results in a report are not read, unless the options map them to a column.
    fn ignore_results(&mut self, known: Names<'_>) {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        if !report::has_header(&names) {
            return;
        }
        for (name, meaning) in self.names.iter().zip(&mut self.meanings) {
            if report::is_result(name) && known.options.mapped(name).is_none() {
                *meaning = Meaning::Ignored;
            }
        }
    }

    /// In a list of files as ImageKit returns it, its keys that no request changes are no labels of fields.
    fn ignore_read_only(&mut self, known: Names<'_>) {
        if !is_listed_file(|name| self.names.iter().any(|own| own == name)) {
            return;
        }
        for (name, meaning) in self.names.iter().zip(&mut self.meanings) {
            let is_label = matches!(meaning, Meaning::Field(Field::CustomMetadata(_)));
            if is_label && is_read_only(name, known.options) {
                *meaning = Meaning::Unread;
            }
        }
    }

    /// A column with the label of a field is not read if another column names the field in full.
    fn prefer_explicit_columns(&mut self) {
        let is_explicit = |name: &str| metadata_name(name).is_some();
        let field = |meaning: &Meaning| match meaning {
            Meaning::Field(Field::CustomMetadata(field)) => Some(Arc::clone(&field.name)),
            _ => None,
        };
        let columns = || self.names.iter().zip(&self.meanings);
        let explicit: HashSet<_> = columns()
            .filter(|(name, _)| is_explicit(name))
            .filter_map(|(_, meaning)| field(meaning))
            .collect();
        for (name, meaning) in self.names.iter().zip(&mut self.meanings) {
            if !is_explicit(name) && field(meaning).is_some_and(|field| explicit.contains(&field)) {
                *meaning = Meaning::Unread;
            }
        }
    }

    /// Collects all problems of the header.
    fn check(&mut self, known: Names<'_>) -> Result<(), InputError> {
        let mut problems = Vec::new();
        let mut nearly = Vec::new();
        problems.extend(self.missing(known.options));
        for (index, (name, meaning)) in self.names.iter().zip(&self.meanings).enumerate() {
            let is_repeated = match meaning {
                Meaning::Field(Field::CustomMetadata(field)) => {
                    !self.metadata.insert(Arc::clone(&field.name))
                }
                Meaning::Field(_) | Meaning::MetadataObject => {
                    self.meanings.iter().take(index).any(|other| other == meaning)
                }
                _ => false,
            };
            match meaning {
                _ if is_repeated => problems.push(self.repeated(index)),
                Meaning::Invalid(why) => problems.push(why.clone()),
                Meaning::Close(column) => {
                    nearly.push(NearlyKnown { name: name.clone(), column: column.clone() });
                }
                Meaning::Unread if known.options.strict_columns && !name.is_empty() => {
                    problems.push(format!("unknown column {name:?}"));
                }
                _ => {}
            }
        }
        self.check_numbered(&mut problems, &mut nearly, known);
        self.check_purpose(&mut problems, !nearly.is_empty(), known);
        if problems.is_empty() && nearly.is_empty() {
            return Ok(());
        }
        Err(InputError::Columns { problems, nearly })
    }

    /// Finds columns that are a known one but for a number, which the header lacks: `tags1`, or the parts
    /// `tags/0` and `tags/1` of a list.
    fn check_numbered(
        &self,
        problems: &mut Vec<String>,
        nearly: &mut Vec<NearlyKnown>,
        known: Names<'_>,
    ) {
        let mut numbered: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, meaning) in self.names.iter().zip(&self.meanings) {
            if *meaning == Meaning::Unread
                && let Some(field) = known.without_number(name)
                && !self.meanings.contains(&Meaning::Field(field.clone()))
            {
                numbered.entry(field.column().into_owned()).or_default().push(name.clone());
            }
        }
        for (column, names) in numbered {
            match names.as_slice() {
                [name] => nearly.push(NearlyKnown { name: name.clone(), column }),
                names => problems.push(format!(
                    "the columns {} look like the parts of {column}: join them into one column, or name \
                     them in --ignore-columns",
                    listed(names)
                )),
            }
        }
    }

    /// The problems of columns that the options read as others, and that the header does not have.
    fn missing(&self, options: &ReadOptions) -> Vec<String> {
        let missing = options.columns.iter().filter(|(name, _)| !self.has(name));
        let problem = |(name, column): (&String, &String)| {
            let closest = closest_name(name, self.names.iter().map(String::as_str));
            let fix = match closest {
                Some(closest) => format!("did you mean {closest:?}?"),
                None => format!("the header has {}", listed(&self.names)),
            };
            format!("no column {name:?}, which --map reads as {column:?}; {fix}")
        };
        missing.map(problem).collect()
    }

    /// Whether there is a column with this name, ignoring case, blanks and punctuation.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|it| is_same(it, name))
    }

    /// The problem of a column with the meaning of an earlier one.
    fn repeated(&self, index: usize) -> String {
        let columns = || self.names.iter().zip(&self.meanings);
        let Some((name, meaning)) = columns().nth(index) else { return String::new() };
        let earlier = columns().take(index).find(|(_, other)| *other == meaning);
        match (earlier, meaning) {
            (Some((earlier, _)), Meaning::Field(field)) if earlier != name => format!(
                "columns {earlier:?} and {name:?} are both read as {}; keep only one, or name the \
                 other in --ignore-columns",
                field.column()
            ),
            _ => format!("column {name:?} appears twice; keep only one"),
        }
    }

    /// Checks that there is a column that identifies the files and, unless all rows run extensions,
    /// one that changes something.
    fn check_purpose(&self, problems: &mut Vec<String>, has_nearly: bool, known: Names<'_>) {
        let runs_extensions = known.context.rules.extensions.for_all.is_some();
        let fields = || {
            self.meanings.iter().filter_map(|meaning| match meaning {
                Meaning::Field(field) => Some(field),
                _ => None,
            })
        };
        let has_object = self.meanings.contains(&Meaning::MetadataObject);
        if !has_nearly && !fields().any(Field::names_file) {
            problems.push(self.no_file_column(known));
        } else if problems.is_empty()
            && !has_nearly
            && !has_object
            && !runs_extensions
            && fields().all(Field::names_file)
        {
            let known = Field::FIXED.map(|(name, _)| name).join(", ");
            problems.push(format!(
                "no column changes anything; known columns are {known} and customMetadata.<name>"
            ));
        }
    }

    /// The problem of a header without a column that names the files.
    fn no_file_column(&self, known: Names<'_>) -> String {
        if let Some((cell, name, delimiter)) = self.unsplit_file_column(known) {
            let part = format!(
                "no column fileId, filePath or url; {name} is a part of the cell {:?}",
                shortened(cell)
            );
            if known.options.worksheet.is_some() {
                return format!("{part}; split the column in the spreadsheet program");
            }
            let delimiter = delimiter.to_string();
            let delimiter = quoted(Path::new(&delimiter));
            return format!(
                "{part}; if its columns are to be split there, pass --delimiter {delimiter}"
            );
        }
        let example = quoted(Path::new(&example_of_map(&self.names)));
        let (place, other) = match &known.options.worksheet {
            Some(worksheet) => (
                format!(" in the worksheet {worksheet:?}"),
                "; if another worksheet has the rows, pass --worksheet with its name",
            ),
            None => (String::new(), ""),
        };
        let problem = format!(
            "no column fileId, filePath or url{place}; the header has {}",
            listed(&self.names)
        );
        let filled = self.names.iter().filter(|name| !name.is_empty()).count();
        if filled == 1 && known.context.rules.extensions.for_all.is_none() {
            return format!(
                "{problem}; the first line must contain the names of all columns{other}"
            );
        }
        format!(
            "{problem}; if one of them names the files, pass --map, such as --map {example}{other}"
        )
    }

    /// A cell of the header that contains the name of a file column between other delimiters; the name,
    /// and the delimiter.
    fn unsplit_file_column(&self, known: Names<'_>) -> Option<(&str, &str, Delimiter)> {
        // Blanks are within names where another delimiter separates them.
        let separates = |c: &char| DELIMITERS.contains(c) && (*c != ' ' || self.names.len() == 1);
        for cell in &self.names {
            for delimiter in cell.chars().filter(separates) {
                let mut parts = cell.split(delimiter).map(|part| part.trim().trim_matches('"'));
                if let Some(name) = parts.find(|part| known.names_file(part))
                    && let Ok(delimiter) = delimiter.try_into()
                {
                    return Some((cell, name, delimiter));
                }
            }
        }
        None
    }

    /// The columns that are not read; those without a name as one phrase.
    fn unread(&self) -> Vec<String> {
        let columns = self.names.iter().zip(&self.meanings);
        let is_unread = |meaning: &Meaning| matches!(meaning, Meaning::Unread | Meaning::Ignored);
        let unread = columns.filter(|(_, meaning)| is_unread(meaning)).map(|(name, _)| name);
        let generated = unread.clone().filter(|name| is_generated(name)).count();
        let is_unnamed = |name: &String| {
            name.chars().all(is_unseen) || generated > GENERATED_NAMES_MAX && is_generated(name)
        };
        let (unnamed, mut named): (Vec<String>, Vec<String>) =
            unread.cloned().partition(is_unnamed);
        if !unnamed.is_empty() {
            let columns = plural(unnamed.len() as u64, "column", "columns");
            named.push(format!("{columns} without a name"));
        }
        named
    }

    /// The index of the column of a field.
    fn index_of(&self, field: &Field) -> Option<usize> {
        let is_field = |meaning: &Meaning| matches!(meaning, Meaning::Field(it) if it == field);
        self.meanings.iter().position(is_field)
    }

    /// The columns that set or name a field: index, name in the header, and field.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (usize, &str, &Field)> {
        let columns = self.names.iter().zip(&self.meanings).enumerate();
        columns.filter_map(|(index, (name, meaning))| match meaning {
            Meaning::Field(field) => Some((index, name.as_str(), field)),
            _ => None,
        })
    }

    /// The names in the header of the columns for which ikbulk has others.
    pub(super) fn header_names(&self) -> HeaderNames {
        let names = self.fields().map(|(_, name, field)| (field.column().into_owned(), name));
        let other = names.filter(|(column, name)| column != name);
        HeaderNames(other.map(|(column, name)| (column, name.to_owned())).collect())
    }

    /// Index and name of the column with objects of custom metadata.
    pub(super) fn metadata_object(&self) -> Option<(usize, &str)> {
        let index = self.meanings.iter().position(|it| *it == Meaning::MetadataObject)?;
        Some((index, self.names.get(index)?))
    }

    /// The name of each column as ikbulk calls it; as in the header if the column is not read.
    pub(super) fn canonical_names(&self) -> impl Iterator<Item = String> {
        self.names.iter().zip(&self.meanings).map(|(name, meaning)| match meaning {
            Meaning::Field(field) => field.column().into_owned(),
            Meaning::MetadataObject => METADATA.to_owned(),
            _ => name.clone(),
        })
    }
}

/// An example for `--map`: a column of paths or URLs by its name, or the first one.
fn example_of_map(names: &[String]) -> String {
    let ends_in = |endings: &[&str]| {
        let is_one = |name: &&String| endings.iter().any(|ending| fold(name).ends_with(ending));
        names.iter().find(is_one)
    };
    if let Some(name) = ends_in(&["path"]) {
        return format!("{name}=filePath");
    }
    match ends_in(&["url", "uri", "src", "link", "images"]) {
        Some(name) => format!("{name}=url"),
        None => format!("{}=fileId", first_name(names)),
    }
}

/// The first name that is not empty, without line ends.
fn first_name(names: &[String]) -> &str {
    let name = names.iter().find(|name| !name.trim().is_empty());
    name.and_then(|name| name.lines().next()).unwrap_or("NAME")
}

/// The beginning of a name: a header can be arbitrary text.
fn shortened(name: &str) -> String {
    const NAME_LENGTH_MAX: usize = 40;
    let short: String = name.chars().take(NAME_LENGTH_MAX).collect();
    let more = if short.len() < name.len() { "…" } else { "" };
    short + more
}

/// The first names.
fn listed(names: &[String]) -> String {
    const NAMES_MAX: usize = 12;
    let short = |name: &String| format!("{:?}", shortened(name));
    let mut shown: Vec<String> = names.iter().take(NAMES_MAX).map(short).collect();
    if names.len() > NAMES_MAX {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}
