//! Invalid cells: each cause once, with the text of its first rows and the cell underlined.

use std::fmt;

use ikbulk::engine::{Code, Excerpt, InvalidCause, InvalidCell, Preview, RowPos};
use ikbulk::internals::{plural, sanitize, thousands};
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError,
    MietteSpanContents, SourceCode, SourceSpan, SpanContents, ThemeCharacters, ThemeStyles,
};

use super::plan::input_name;

/// Maximum causes in the preview of a run, and rows that are named for each.
const CAUSES_SHOWN_MAX: usize = 10;
const ROWS_NAMED_MAX: usize = 5;

/// How messages look.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct MessageStyle {
    /// Maximum characters per line.
    pub(in crate::cli) width: usize,
    pub(in crate::cli) is_coloured: bool,
}

/// Renders the invalid cells and missing files of a sheet. The preview of a run shows the first causes;
/// `check` shows all, and names every row.
pub(in crate::cli) fn render_invalid(view: &Preview<'_>, style: MessageStyle) -> String {
    let is_run = view.target.is_some();
    let invalid = &view.summary.invalid;
    let causes = invalid.sorted();
    let causes_max = if is_run { CAUSES_SHOWN_MAX } else { usize::MAX };
    let handler = handler(style);
    let mut text = String::new();
    for cause in causes.iter().take(causes_max) {
        let rows_max = if is_run { ROWS_NAMED_MAX } else { usize::MAX };
        let message = Message::of(cause, view, rows_max);
        text.push('\n');
        if handler.render_report(&mut text, &message).is_err() {
            text += &format!("{message}\n");
        }
    }
    let hidden: u64 = causes.iter().skip(causes_max).map(|cause| cause.count).sum();
    let more = hidden + invalid.others;
    if more > 0 {
        let hint = if is_run { "; `ikbulk check FILE` lists them all" } else { "" };
        text +=
            &format!("\nand {}{hint}\n", plural(more, "more invalid cell", "more invalid cells"));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn handler(style: MessageStyle) -> GraphicalReportHandler {
    let styles = if style.is_coloured { ThemeStyles::ansi() } else { ThemeStyles::none() };
    let theme = GraphicalTheme { characters: ThemeCharacters::unicode(), styles };
    GraphicalReportHandler::new_themed(theme)
        .with_context_lines(0)
        .without_primary_span_start()
        .without_syntax_highlighting()
        .with_links(false)
        .with_break_words(false)
        .with_width(style.width)
        .with_wrap_lines(style.width < usize::MAX)
}

/// One cause as a diagnostic.
#[derive(Debug)]
struct Message {
    title: String,
    help: String,
    rows: Rows,
}

impl Message {
    fn of(cause: &InvalidCause, view: &Preview<'_>, rows_max: usize) -> Self {
        let first = cause.cells.first();
        let rows = Rows::of(cause, view);
        let shown = rows.0.len().max(1);
        let mut help = first.map(|cell| cell.problem.suggestion().to_owned()).unwrap_or_default();
        let named = cause.cells.iter().take(rows_max.max(shown)).skip(shown);
        let named: Vec<String> = named.map(|cell| place(cell, cause.varies)).collect();
        if !named.is_empty() {
            let hidden = cause.count - (shown + named.len()) as u64;
            let more = if hidden > 0 { ", …" } else { "" };
            help += &format!("\nalso in {}{more}", named.join(", "));
        }
        let title = first.map(|cell| title(cell, cause)).unwrap_or_default();
        Self { title: sanitize(&title).into_owned(), help: sanitize(&help).into_owned(), rows }
    }
}

/// What is wrong with the cells of a cause, with the first value.
fn title(cell: &InvalidCell, cause: &InvalidCause) -> String {
    let problem = &cell.problem;
    let mut title = String::new();
    if !problem.column().is_empty() && cause.code != Code::NotFound {
        title += &format!("{}: ", problem.column());
    }
    if !problem.value().is_empty() {
        title += &format!("{:?} ", problem.value());
    }
    title += problem.message();
    if cause.count > 1 {
        title += &format!(" ({} rows)", thousands(cause.count));
    }
    title
}

/// A further row of a cause, with its value if values differ.
fn place(cell: &InvalidCell, varies: bool) -> String {
    let place = match cell.problem.address() {
        Some(address) => format!("cell {address}"),
        None => format!("row {}", cell.pos),
    };
    match cell.problem.value() {
        value if varies && !value.is_empty() => format!("{place} {value:?}"),
        _ => place,
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)
    }
}

impl std::error::Error for Message {}

impl Diagnostic for Message {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.help.is_empty()).then(|| Box::new(&self.help) as Box<dyn fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.rows.0.iter().map(RowText::label)))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.rows)
    }
}

/// The texts of rows, as if they were one after the other in one text.
#[derive(Debug)]
struct Rows(Vec<RowText>);

#[derive(Debug)]
struct RowText {
    /// Offset of the text.
    offset: usize,
    excerpt: Excerpt,
    /// The name of the input, and the row.
    name: String,
    /// The address of the cell in a worksheet.
    address: Option<String>,
    /// The number of the line or of the row of a worksheet.
    number: u64,
}

impl Rows {
    fn of(cause: &InvalidCause, view: &Preview<'_>) -> Self {
        let mut offset = 0;
        let rows = cause.excerpts.iter().map(|excerpt| {
            let cell = cause.cells.iter().find(|cell| cell.pos == excerpt.pos);
            let row = RowText {
                offset,
                excerpt: excerpt.clone(),
                name: row_name(view, excerpt.pos),
                address: cell.and_then(|cell| cell.problem.address()).map(str::to_owned),
                number: if view.worksheet.is_some() {
                    excerpt.pos.number
                } else {
                    excerpt.pos.line
                },
            };
            // Rows do not touch each other.
            offset += excerpt.text.len() + 1;
            row
        });
        Self(rows.collect())
    }
}

/// The name of a row for people.
fn row_name(view: &Preview<'_>, pos: RowPos) -> String {
    sanitize(&format!("{}, row {pos}", input_name(view))).into_owned()
}

impl RowText {
    fn label(&self) -> LabeledSpan {
        let cell = &self.excerpt.cell;
        LabeledSpan::new(self.address.clone(), self.offset + cell.start, cell.len())
    }

    /// Whether a span is in this row.
    fn contains(&self, span: &SourceSpan) -> bool {
        let end = self.offset + self.excerpt.text.len();
        span.offset() >= self.offset && span.offset() + span.len() <= end
    }
}

impl SourceCode for Rows {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        _context_lines_before: usize,
        _context_lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let row = self.0.iter().find(|row| row.contains(span)).ok_or(MietteError::OutOfBounds)?;
        let text = &row.excerpt.text;
        let line = usize::try_from(row.number).unwrap_or(usize::MAX).saturating_sub(1);
        Ok(Box::new(MietteSpanContents::new_named(
            row.name.clone(),
            text.as_bytes(),
            (row.offset, text.len()).into(),
            line,
            0,
            1,
        )))
    }
}
