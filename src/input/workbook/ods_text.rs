//! The text of a cell in an ODS workbook: paragraphs, spaces, tabs and line breaks are elements.

/// Spaces that one element can stand for.
const SPACES_MAX: u32 = 1 << 20;

/// The text so far.
#[derive(Debug, Default)]
pub(super) struct CellContent {
    pub(super) text: String,
    depth: u32,
    has_paragraph: bool,
}

impl CellContent {
    /// Begins an element; `count` is how many spaces it stands for, if it stands for spaces.
    pub(super) fn begin(&mut self, name: &str, count: u32) {
        self.depth += 1;
        match name {
            "text:p" if self.has_paragraph => self.text.push('\n'),
            "text:p" => self.has_paragraph = true,
            "text:s" => self.text.extend((0..count.min(SPACES_MAX)).map(|_| ' ')),
            "text:tab" => self.text.push('\t'),
            "text:line-break" => self.text.push('\n'),
            _ => {}
        }
    }

    /// Ends an element; whether it was the cell.
    pub(super) fn end(&mut self) -> bool {
        let is_cell = self.depth == 0;
        self.depth = self.depth.saturating_sub(1);
        is_cell
    }

    /// Appends text. What is outside of paragraphs only formats the file.
    pub(super) fn push(&mut self, text: &str) {
        if self.depth > 0 {
            self.text.push_str(text);
        }
    }
}
