//! One line of CSV in the delimiter of the input.

use crate::input::Delimiter;

/// A line that is being written.
#[derive(Debug)]
pub(super) struct CsvLine {
    delimiter: u8,
    text: Vec<u8>,
    cells: usize,
}

impl CsvLine {
    pub(super) fn new(delimiter: Delimiter) -> Self {
        Self { delimiter: delimiter.byte(), text: Vec::new(), cells: 0 }
    }

    /// Adds a cell, in quotes where it needs them.
    pub(super) fn push(&mut self, cell: impl AsRef<[u8]>) {
        let cell = cell.as_ref();
        if self.cells > 0 {
            self.text.push(self.delimiter);
        }
        self.cells += 1;
        let needs_quotes =
            |byte: &u8| matches!(byte, b'"' | b'\n' | b'\r') || *byte == self.delimiter;
        if !cell.iter().any(needs_quotes) {
            self.text.extend_from_slice(cell);
            return;
        }
        self.text.push(b'"');
        for byte in cell {
            if *byte == b'"' {
                self.text.push(b'"');
            }
            self.text.push(*byte);
        }
        self.text.push(b'"');
    }

    /// Adds text that already is CSV and has this number of cells.
    pub(super) fn push_verbatim(&mut self, text: &[u8], cells: usize) {
        self.text.extend_from_slice(text);
        self.cells += cells;
    }

    /// Adds empty cells up to this number of cells.
    pub(super) fn pad(&mut self, cells: usize) {
        while self.cells < cells {
            self.push("");
        }
    }

    /// The line with its line end. Begins the next line.
    pub(super) fn end(&mut self) -> Vec<u8> {
        if self.text.is_empty() {
            // A blank line would be no record.
            self.text.extend_from_slice(b"\"\"");
        }
        self.text.push(b'\n');
        self.cells = 0;
        std::mem::take(&mut self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_need_it() {
        let mut line = CsvLine::new("tab".parse().expect("a delimiter"));
        for cell in ["a,b", "tab\t", "say \"hi\"", "", "two\nlines"] {
            line.push(cell);
        }
        let text = "a,b\t\"tab\t\"\t\"say \"\"hi\"\"\"\t\t\"two\nlines\"\n";
        assert_eq!(String::from_utf8(line.end()).expect("text"), text);
        line.push("");
        assert_eq!(line.end(), b"\"\"\n");
    }
}
