//! Text in other encodings than UTF-8, and compressed text: decoded when an input is copied.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _};
use std::str::FromStr;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{CoderResult, Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use serde::{Deserialize, Serialize};

use super::decompressed::Compression;
use super::utf8_damage::Utf8Damage;
use super::workbook;

const CHUNK_BYTES: usize = 64 << 10;
/// Words that show whether a guess is right.
const SAMPLES_MAX: usize = 3;
/// Maximum characters of such a word.
const SAMPLE_LENGTH_MAX: usize = 30;

/// The encoding of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TextEncoding(&'static Encoding);

impl TextEncoding {
    /// The encoding that a BOM at the beginning shows.
    fn of_bom(text: &[u8]) -> Option<Self> {
        let is_utf_32 = text.starts_with(b"\xFF\xFE\0\0");
        Encoding::for_bom(text).filter(|_| !is_utf_32).map(|(encoding, _)| Self(encoding))
    }

    /// The text in this encoding; `None` if it lacks a character, or if other text would be read back.
    #[must_use]
    pub fn encode(self, text: &str) -> Option<Vec<u8>> {
        if self.0 == UTF_16LE {
            return Some(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        }
        if self.0 == UTF_16BE {
            return Some(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
        }
        let bytes = self.0.encode(text).0;
        // Shift_JIS, for one, writes a yen sign as a backslash.
        let is_read_back = self.0.decode_without_bom_handling(&bytes).0 == text;
        is_read_back.then(|| bytes.into_owned())
    }

    /// What a text in this encoding begins with.
    #[must_use]
    pub fn bom(self) -> &'static str {
        if self.0 == UTF_16LE || self.0 == UTF_16BE { "\u{feff}" } else { "" }
    }
}

impl FromStr for TextEncoding {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let label = text.trim().to_ascii_lowercase();
        let encoding = Encoding::for_label(label.as_bytes())
            .or_else(|| Encoding::for_label(label.replace(['-', '_', ' '], "").as_bytes()));
        encoding.map(Self).ok_or(if is_dos(&label) {
            "a code page of DOS, which ikbulk does not read: save the sheet as “CSV UTF-8”"
        } else {
            "not an encoding: use a name such as utf-8, utf-16le, windows-1252 or latin1"
        })
    }
}

/// Whether a name is that of a code page of DOS, such as `cp850`.
fn is_dos(label: &str) -> bool {
    const PAGES: [&str; 12] =
        ["437", "720", "737", "775", "850", "852", "855", "857", "858", "860", "862", "865"];
    let of_page = |page: &&str| label.strip_suffix(page);
    let prefix = PAGES.iter().find_map(of_page).map(|rest| rest.trim_end_matches(['-', '_', ' ']));
    prefix.is_some_and(|prefix| ["", "cp", "ibm", "dos", "oem"].contains(&prefix))
}

impl TryFrom<String> for TextEncoding {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<TextEncoding> for String {
    fn from(encoding: TextEncoding) -> Self {
        encoding.to_string()
    }
}

impl fmt::Display for TextEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name().to_lowercase())
    }
}

/// The text of an input in UTF-8.
pub(super) struct Text<'r> {
    pub(super) reader: Box<dyn Read + 'r>,
    /// The encoding that it had; `None` if it is read as it is.
    pub(super) encoding: Option<TextEncoding>,
    pub(super) is_compressed: bool,
    /// Whether it is no text, but an archive that may be a workbook.
    pub(super) is_workbook: bool,
}

impl<'r> Text<'r> {
    /// Decompresses and decodes an input. `given` is the encoding, unless a BOM shows another.
    pub(super) fn open(from: impl Read + 'r, given: Option<TextEncoding>) -> io::Result<Self> {
        let (first, from) = peek(from)?;
        let compression = Compression::of(&first);
        let plain: Box<dyn Read + 'r> = match compression {
            Some(compression) => Box::new(compression.decompress(from)?),
            None => Box::new(from),
        };
        let (first, plain) = peek(plain)?;
        let is_workbook = workbook::is_workbook(&first);
        let encoding = TextEncoding::of_bom(&first).or(given);
        let encoding = encoding.filter(|it| it.0 != UTF_8 && !is_workbook);
        let reader: Box<dyn Read + 'r> = match encoding {
            Some(TextEncoding(encoding)) => Box::new(Decoding::new(plain, encoding)),
            None => Box::new(plain),
        };
        Ok(Self { reader, encoding, is_compressed: compression.is_some(), is_workbook })
    }
}

/// Reads the first bytes, which show what a file is, and returns a reader of all.
fn peek<'r>(mut from: impl Read + 'r) -> io::Result<(Vec<u8>, impl Read + 'r)> {
    let mut first = Vec::new();
    (&mut from).take(super::sniff::SNIFFED_BYTES).read_to_end(&mut first)?;
    Ok((first.clone(), io::Cursor::new(first).chain(from)))
}

/// Decodes a text to UTF-8 as it is read.
struct Decoding<R> {
    from: R,
    decoder: Decoder,
    raw: Vec<u8>,
    text: Vec<u8>,
    /// How much of the text has been handed out.
    taken: usize,
    is_at_end: bool,
}

impl<R: Read> Decoding<R> {
    fn new(from: R, encoding: &'static Encoding) -> Self {
        let decoder = encoding.new_decoder_with_bom_removal();
        Self {
            from,
            decoder,
            raw: vec![0; CHUNK_BYTES],
            text: Vec::new(),
            taken: 0,
            is_at_end: false,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let read = self.from.read(&mut self.raw)?;
        self.is_at_end = read == 0;
        let raw = self.raw.get(..read).unwrap_or_default();
        let room = self.decoder.max_utf8_buffer_length(read).unwrap_or(CHUNK_BYTES * 4);
        self.text.resize(room, 0);
        let (result, _, written, _) =
            self.decoder.decode_to_utf8(raw, &mut self.text, self.is_at_end);
        debug_assert_eq!(result, CoderResult::InputEmpty, "there is room for all of it");
        self.text.truncate(written);
        self.taken = 0;
        Ok(())
    }
}

impl<R: Read> Read for Decoding<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.text.len() && !self.is_at_end {
            self.fill()?;
        }
        let rest = self.text.get(self.taken..).unwrap_or_default();
        let length = rest.len().min(into.len());
        if let (Some(into), Some(rest)) = (into.get_mut(..length), rest.get(..length)) {
            into.copy_from_slice(rest);
        }
        self.taken += length;
        Ok(length)
    }
}

/// A guess at the encoding of a text that is not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodingGuess {
    /// The encoding that is most likely.
    pub encoding: TextEncoding,
    /// Words of the text, decoded so.
    pub samples: Vec<String>,
}

impl fmt::Display for EncodingGuess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.encoding, self.samples.join(", "))
    }
}

/// What the encoding of a file is.
#[derive(Debug)]
pub(super) enum Found {
    /// UTF-8, apart from single damaged characters.
    Utf8,
    /// UTF-8 in some places, and another encoding in others.
    Mixed,
    /// Another encoding.
    Other(EncodingGuess),
}

/// Finds out the encoding of a file.
pub(super) fn find(file: &mut File) -> io::Result<Found> {
    if !is_other_encoding(file)? {
        return Ok(Found::Utf8);
    }
    file.rewind()?;
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    let mut reader = BufReader::with_capacity(CHUNK_BYTES, &*file);
    let mut sample = Vec::new();
    (&mut reader).take(1 << 20).read_to_end(&mut sample)?;
    detector.feed(&sample, true);
    let encoding = TextEncoding(detector.guess(None, Utf8Detection::Deny));
    if encoding.0.is_single_byte() && has_letter_in_utf8(&sample) {
        return Ok(Found::Mixed);
    }
    let text = encoding.0.decode_without_bom_handling(&sample).0;
    let foreign = |is_between: fn(char) -> bool| -> BTreeSet<&str> {
        text.split(is_between).map(str::trim).filter(|part| !part.is_ascii()).collect()
    };
    let mut parts = foreign(|c| !c.is_alphanumeric() && c != '\'' && c != '-');
    if parts.is_empty() {
        // Signs such as quotes and € are shown in their cells.
        parts = foreign(|c| matches!(c, ',' | ';' | '\t' | '|' | '"' | '\n' | '\r'));
    }
    let short = |part: &str| part.chars().take(SAMPLE_LENGTH_MAX).collect();
    let samples = parts.into_iter().take(SAMPLES_MAX).map(short).collect();
    Ok(Found::Other(EncodingGuess { encoding, samples }))
}

/// Whether a word has an accented letter of Latin in UTF-8. With one byte for each letter, it would be a
/// capital letter after a small one and before a sign, as in `cafÃ©`.
fn has_letter_in_utf8(text: &[u8]) -> bool {
    let is_letter = |bytes: &[u8]| matches!(bytes, [b'a'..=b'z', 0xC3..=0xC5, 0x80..=0xBF]);
    text.windows(3).any(is_letter)
}

fn is_other_encoding(file: &mut File) -> io::Result<bool> {
    file.rewind()?;
    let mut damage = Utf8Damage::default();
    let mut reader = BufReader::with_capacity(CHUNK_BYTES, file);
    loop {
        let part = reader.fill_buf()?;
        if part.is_empty() {
            return Ok(damage.is_other_encoding());
        }
        damage.add(part);
        let length = part.len();
        reader.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8], given: Option<&str>) -> String {
        let given = given.map(|name| name.parse().expect("an encoding"));
        let mut text = String::new();
        let mut opened = Text::open(bytes, given).expect("it can be read");
        opened.reader.read_to_string(&mut text).expect("it is UTF-8 now");
        text
    }

    #[test]
    fn text_is_decoded_by_its_bom_or_the_given_encoding() {
        assert_eq!(decoded(b"\xFF\xFEa\0\xFC\0", None), "aü");
        assert_eq!(decoded(b"\xFE\xFF\0a\0\xFC", Some("latin1")), "aü");
        assert_eq!(decoded("\u{feff}aü".as_bytes(), Some("latin1")), "\u{feff}aü");
        assert_eq!(decoded(b"a\xFC\x80", Some("windows-1252")), "aü€");
        assert_eq!(decoded("aü".as_bytes(), None), "aü");
        assert_eq!(decoded("aü".as_bytes(), Some("utf8")), "aü");
    }

    #[test]
    fn encoded_text_decodes_to_itself() {
        let text = "a;größe\r\n";
        for name in ["utf-16le", "utf-16be", "windows-1252", "latin-1", "iso-8859-15", "macintosh"]
        {
            let encoding: TextEncoding = name.parse().expect("an encoding");
            let bytes = encoding.encode(text).expect("it has these letters");
            assert_eq!(decoded(&bytes, Some(name)), text, "{name}");
        }
        for (name, text) in [("latin1", "a→b"), ("shift_jis", "¥100"), ("iso-8859-7", "größe")]
        {
            let encoding: TextEncoding = name.parse().expect("an encoding");
            assert_eq!(encoding.encode(text), None, "{name}");
        }
    }

    #[test]
    fn encoding_is_guessed_unless_the_text_has_several() {
        let found = |text: &[u8]| {
            use std::io::Write as _;
            let mut file = tempfile::tempfile().expect("a file can be made");
            file.write_all(text).expect("it can be written");
            find(&mut file).expect("it can be read")
        };
        assert!(matches!(found("café größe".as_bytes()), Found::Utf8));
        assert!(matches!(found(b"caf\xE9 gr\xF6\xDFe"), Found::Other(_)));
        assert!(matches!(found(b"\xABCAF\xC9\xBB, gr\xF6\xDFe"), Found::Other(_)));
        assert!(matches!(found(b"caf\xC3\xA9, gr\xF6\xDFe"), Found::Mixed));
    }

    #[test]
    fn code_pages_of_dos_are_named() {
        for (name, is_known) in
            [("cp850", true), ("IBM-437", true), ("852", true), ("klingon", false)]
        {
            let error = name.parse::<TextEncoding>().expect_err("it is not read");
            assert_eq!(error.contains("DOS"), is_known, "{name}");
        }
        assert!("ibm866".parse::<TextEncoding>().is_ok());
    }

    #[test]
    fn compressed_text_is_decompressed() {
        use std::io::Write as _;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"fileId,tags\n").expect("memory takes it");
        assert_eq!(decoded(&gzip.finish().expect("memory takes it"), None), "fileId,tags\n");
        let zstd = zstd::encode_all(&b"fileId,tags\n"[..], 1).expect("memory takes it");
        assert_eq!(decoded(&zstd, None), "fileId,tags\n");
    }
}
