//! Changes inputs as a fuzzer does, from a seed.

use std::ops::Range;

use fastrand::Rng;

/// Texts that mean something to a reader.
const TOKENS: [&[u8]; 26] = [
    b"\"",
    b"\"\"",
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b"\\",
    b"\0",
    b"\xEF\xBB\xBF",
    b"\xFF",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"null",
    b"1e999",
    b"-1",
    b"99999999999999999999",
    b"#N/A",
    b"<",
    b"/>",
    b"&#0;",
    b"fileId",
];

pub(crate) struct Mutator(Rng);

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// The input with one to six changes; parts may come from other inputs.
    pub(crate) fn mutated(&mut self, input: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..self.0.u8(1..=6) {
            let range = self.range(bytes.len());
            match self.0.u8(..7) {
                0 => bytes.truncate(range.start),
                1 => drop(bytes.drain(range)),
                2 => {
                    let part = bytes[range.clone()].to_vec();
                    self.insert(&mut bytes, range.end, &part);
                }
                3 => {
                    let other = &others[self.0.usize(..others.len())];
                    let part = other[self.range(other.len())].to_vec();
                    self.insert(&mut bytes, range.start, &part);
                }
                4 => {
                    if let Some(byte) = bytes.get_mut(range.start) {
                        *byte ^= 1 << self.0.u8(..8);
                    }
                }
                _ => {
                    let token = TOKENS[self.0.usize(..TOKENS.len())];
                    self.insert(&mut bytes, range.start, token);
                }
            }
        }
        bytes
    }

    /// A range of at most 40 bytes.
    fn range(&mut self, length: usize) -> Range<usize> {
        let start = self.0.usize(..=length);
        start..(start + self.0.usize(..=40)).min(length)
    }

    fn insert(&mut self, bytes: &mut Vec<u8>, at: usize, part: &[u8]) {
        let times = if self.0.u8(..20) == 0 { 100 } else { 1 };
        drop(bytes.splice(at..at, part.repeat(times)));
    }
}
