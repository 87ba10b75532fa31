//! Labelled lines for people, no longer than their terminal is wide.

/// Where the text behind a label begins.
const TEXT_BEGINS: usize = 11;
/// How long a line becomes at most that is cut, however wide the terminal is.
const CUT_AT_MAX: usize = 100;

/// Lines, one below the other.
#[derive(Debug)]
pub(super) struct Layout {
    text: String,
    /// The most characters of a line.
    width: usize,
}

impl Layout {
    pub(super) fn new(width: usize) -> Self {
        Self { text: String::new(), width }
    }

    /// A label and a text, which is broken between words where a line is full, and goes on below
    /// where it began.
    pub(super) fn add(&mut self, label: &str, text: &str) {
        let mut label = label;
        for line in text.split('\n') {
            self.add_wrapped(label, line);
            label = "";
        }
    }

    fn add_wrapped(&mut self, label: &str, line: &str) {
        let words = line.trim_start();
        let indent = TEXT_BEGINS + line.len() - words.len();
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

    /// A label and something to copy, in one line whatever its length: a path, a command.
    pub(super) fn add_whole(&mut self, label: &str, text: &str) {
        self.text.push_str(&format!("{label:<TEXT_BEGINS$}{text}\n"));
    }

    /// A label and as much of a text as fits into one line.
    pub(super) fn add_cut(&mut self, label: &str, text: &str) {
        let room = self.width.min(CUT_AT_MAX).saturating_sub(TEXT_BEGINS);
        match text.char_indices().nth(room.saturating_sub(1)) {
            Some((end, last)) if end + last.len_utf8() < text.len() => {
                self.add_whole(label, &format!("{}…", text.get(..end).unwrap_or_default()));
            }
            _ => self.add_whole(label, text),
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
    fn a_long_text_goes_on_below_where_it_began() {
        let text = lines(20, |lines| lines.add("rows", "one two three"));
        assert_eq!(text, "rows       one two\n           three\n");
        let text = lines(20, |lines| lines.add("", "  one two three"));
        assert_eq!(text, "             one two\n             three\n");
        let text = lines(30, |lines| lines.add("rows", "one\ntwo"));
        assert_eq!(text, "rows       one\n           two\n");
    }

    #[test]
    fn a_word_is_never_broken_and_what_fits_stays_as_it_is() {
        let text = lines(14, |lines| lines.add("rows", "a unbreakable b"));
        assert_eq!(text, "rows       a\n           unbreakable\n           b\n");
        let text = lines(usize::MAX, |lines| lines.add("rows", "as  it stands"));
        assert_eq!(text, "rows       as  it stands\n");
        let text = lines(12, |lines| lines.add_whole("next", "ikbulk resume x"));
        assert_eq!(text, "next       ikbulk resume x\n");
    }

    #[test]
    fn what_is_cut_takes_one_line_and_says_that_there_is_more() {
        let cut = |width, text: &str| lines(width, |lines| lines.add_cut("first", text));
        assert_eq!(cut(16, "größer"), "first      größ…\n");
        assert_eq!(cut(17, "größer"), "first      größer\n");
        assert_eq!(cut(usize::MAX, &"x".repeat(200)).trim_end().chars().count(), CUT_AT_MAX);
        assert_eq!(cut(0, "ab"), "first      …\n");
    }
}
