//! Tells whether a text is UTF-8, apart from single damaged characters, while it is read.

/// Counts the characters of a text, as far as they are not ASCII.
#[derive(Debug, Default)]
pub(super) struct Utf8Damage {
    whole: u64,
    damaged: u64,
    /// The beginning of a character at the end of the last part.
    cut: Vec<u8>,
}

impl Utf8Damage {
    /// Adds the next part of the text.
    pub(super) fn add(&mut self, part: &[u8]) {
        // Fast path for nearly all text.
        if self.cut.is_empty() && part.is_ascii() {
            return;
        }
        let mut joined = std::mem::take(&mut self.cut);
        let text = if joined.is_empty() {
            part
        } else {
            joined.extend_from_slice(part);
            &joined
        };
        if std::str::from_utf8(text).is_ok() {
            self.whole += characters(text);
            return;
        }
        let mut chunks = text.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.whole += characters(chunk.valid().as_bytes());
            if chunk.invalid().is_empty() {
                continue;
            }
            if chunks.peek().is_none() {
                self.cut = chunk.invalid().to_vec();
            } else {
                self.damaged += 1;
            }
        }
    }

    /// Whether more characters are damaged than whole, at the end of the text.
    pub(super) fn is_other_encoding(&self) -> bool {
        self.damaged + u64::from(!self.cut.is_empty()) > self.whole
    }
}

/// The number of characters beyond ASCII in UTF-8.
fn characters(text: &[u8]) -> u64 {
    text.iter().map(|byte| u64::from(*byte >= 0xC0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_other_encoding(text: &[u8], part_length: usize) -> bool {
        let mut damage = Utf8Damage::default();
        text.chunks(part_length).for_each(|part| damage.add(part));
        damage.is_other_encoding()
    }

    #[test]
    fn parts_may_cut_characters() {
        for length in 1..9 {
            for text in ["plain", "größe", "日本", "a\u{1f600}b", "grö\u{df}e"] {
                assert!(!is_other_encoding(text.as_bytes(), length), "{text}");
            }
            assert!(is_other_encoding(b"gr\xF6\xDFe", length));
            assert!(is_other_encoding(b"gr\xF6", length));
            assert!(!is_other_encoding(b"gr\xF6 \xC3\xBC", length), "one of each");
            assert!(is_other_encoding(b"\xF6 \xF6 \xC3\xBC", length));
        }
    }
}
