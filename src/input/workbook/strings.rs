//! The memory that the shared strings of a workbook take: the reader holds all of them.

/// Bytes of a string besides its text, in a list of the right size.
const STRING_BYTES: u64 = 40;
/// The same while a list of unknown size grows: it is copied to one of twice the size.
const GROWING_STRING_BYTES: u64 = 88;
/// The beginning of the part, in which the number of strings is declared.
const HEAD_BYTES: usize = 64 << 10;

/// How the text of a string begins.
const BEGIN: &[u8] = b"<t";

/// Counts the strings.
#[derive(Debug, Default)]
pub(super) struct StringsMemory {
    bytes: u64,
    strings: u64,
    /// The number of strings that the part declares; the reader makes room for them.
    declared: u64,
    head: Vec<u8>,
    /// The last bytes, in which a string may begin.
    tail: Vec<u8>,
}

impl StringsMemory {
    /// Counts a further piece of the part.
    pub(super) fn count(&mut self, text: &[u8]) {
        self.bytes += text.len() as u64;
        if self.head.len() < HEAD_BYTES {
            self.head.extend_from_slice(text);
            self.declared = declared(&self.head);
        }
        let finder = memchr::memmem::Finder::new(BEGIN);
        let begins = |text: &[u8]| finder.find_iter(text).count() as u64;
        self.tail.extend(text.iter().take(BEGIN.len() - 1));
        self.strings += begins(text) + begins(&self.tail);
        self.tail.clear();
        self.tail.extend(text.iter().rev().take(BEGIN.len() - 1).rev());
    }

    /// The memory that they take, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let list = if self.declared >= self.strings {
            self.declared.saturating_mul(STRING_BYTES)
        } else {
            self.strings.saturating_mul(GROWING_STRING_BYTES)
        };
        self.bytes.saturating_add(list)
    }
}

/// The greatest number that an attribute `uniqueCount` has.
fn declared(head: &[u8]) -> u64 {
    let attributes = memchr::memmem::find_iter(head, b"uniqueCount");
    let number = |at: usize| {
        let rest = head.get(at + b"uniqueCount".len()..).unwrap_or_default();
        let start = rest.iter().position(u8::is_ascii_digit)?;
        let digits = rest.get(start..)?;
        let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
        // What does not fit into the number is above every limit.
        Some(std::str::from_utf8(digits.get(..end)?).ok()?.parse().unwrap_or(u64::MAX))
    };
    attributes.filter_map(number).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_counted_wherever_the_text_is_cut() {
        let text = b"<sst uniqueCount=\"3\"><si><t>a</t></si><si><t xml:space=\"preserve\">b</t></si></sst>";
        for cut in 1..text.len() {
            let mut memory = StringsMemory::default();
            memory.count(&text[..cut]);
            memory.count(&text[cut..]);
            assert_eq!((memory.strings, memory.declared), (2, 3), "{cut}");
        }
    }

    #[test]
    fn declared_strings_count_even_if_there_are_none() {
        let mut memory = StringsMemory::default();
        memory.count(b"<sst uniqueCount=\"99999999999999999999999\">");
        assert_eq!(memory.bytes(), u64::MAX);
    }
}
