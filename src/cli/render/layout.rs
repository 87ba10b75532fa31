//! Labelled lines for people, wrapped or truncated to the width of the terminal.

/// The column of the text after a label.
const TEXT_COLUMN: usize = 11;
/// Maximum length of a truncated line, in characters, however wide the terminal is.
const TRUNCATED_MAX: usize = 100;

/// A text of labelled lines.
#[derive(Debug)]
pub(super) struct Layout {
    text: String,
    /// Maximum characters per line.
    width: usize,
}

impl Layout {
    pub(super) fn new(width: usize) -> Self {
        Self { text: String::new(), width }
    }

    /// Adds a label and a text, wrapped between words with an indent.
    pub(super) fn add(&mut self, label: &str, text: &str) {
        let mut label = label;
        for line in text.split('\n') {
            self.add_wrapped(label, line);
            label = "";
        }
    }

    fn add_wrapped(&mut self, label: &str, line: &str) {
        let words = line.trim_start();
        let indent = TEXT_COLUMN + line.len() - words.len();
        self.text.push_str(&format!("{label:<indent$}"));
        let mut column = indent;
        for (index, word) in words.split(' ').enumerate() {
            let length = word.chars().count();
            if index > 0 && column + 1 + length > self.width {
                self.text.push_str(&format!("\n{:indent$}", ""));
                column = indent;
            } else if index > 0 {
                self.text.push(' ');
                column += 1;
            }
            self.text.push_str(word);
            column += length;
        }
        self.text.push('\n');
    }

    /// Adds a label and a text to copy, such as a path or command, without wrapping.
    pub(super) fn add_unwrapped(&mut self, label: &str, text: &str) {
        self.text.push_str(&format!("{label:<TEXT_COLUMN$}{text}\n"));
    }

    /// Adds a label and a text, truncated to one line.
    pub(super) fn add_truncated(&mut self, label: &str, text: &str) {
        let available = self.width.min(TRUNCATED_MAX).saturating_sub(TEXT_COLUMN);
        match text.char_indices().nth(available.saturating_sub(1)) {
            Some((end, last)) if end + last.len_utf8() < text.len() => {
                self.add_unwrapped(label, &format!("{}…", text.get(..end).unwrap_or_default()));
            }
            _ => self.add_unwrapped(label, text),
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(width: usize, add: impl FnOnce(&mut Layout)) -> String {
        let mut lines = Layout::new(width);
        add(&mut lines);
        lines.into_text()
    }

    #[test]
    fn long_texts_wrap_with_an_indent() {
        let text = lines(20, |lines| lines.add("rows", "one two three"));
        assert_eq!(text, "rows       one two\n           three\n");
        let text = lines(20, |lines| lines.add("", "  one two three"));
        assert_eq!(text, "             one two\n             three\n");
        let text = lines(30, |lines| lines.add("rows", "one\ntwo"));
        assert_eq!(text, "rows       one\n           two\n");
    }

    #[test]
    fn words_are_never_broken() {
        let text = lines(14, |lines| lines.add("rows", "a unbreakable b"));
        assert_eq!(text, "rows       a\n           unbreakable\n           b\n");
        let text = lines(usize::MAX, |lines| lines.add("rows", "two  spaces"));
        assert_eq!(text, "rows       two  spaces\n");
        let text = lines(12, |lines| lines.add_unwrapped("next", "ikbulk resume x"));
        assert_eq!(text, "next       ikbulk resume x\n");
    }

    #[test]
    fn truncated_texts_end_with_an_ellipsis() {
        let truncated =
            |width, text: &str| lines(width, |lines| lines.add_truncated("first", text));
        assert_eq!(truncated(16, "größer"), "first      größ…\n");
        assert_eq!(truncated(17, "größer"), "first      größer\n");
        assert_eq!(
            truncated(usize::MAX, &"x".repeat(200)).trim_end().chars().count(),
            TRUNCATED_MAX
        );
        assert_eq!(truncated(0, "ab"), "first      …\n");
    }
}
