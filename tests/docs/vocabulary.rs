//! The words that CONTRIBUTING.md rules out.

use std::path::PathBuf;

use crate::markdown::blocks;
use crate::{files_below, name_of, pages, read, root};

/// Words that must not follow each other. A word that ends in `*` stands for all words with that
/// beginning.
struct Pattern {
    text: String,
    words: Vec<String>,
}

/// The patterns of the block of CONTRIBUTING.md that is marked as the word list.
fn patterns() -> Vec<Pattern> {
    let contributing = read(&root().join("CONTRIBUTING.md"));
    let blocks = blocks(&contributing);
    let list = blocks.iter().find(|block| block.language == "words").expect("there is a word list");
    list.body
        .iter()
        .filter_map(|line| line.split("→").next())
        .flat_map(|patterns| patterns.split(','))
        .map(|text| Pattern {
            text: text.trim().to_owned(),
            words: text.split_whitespace().map(str::to_lowercase).collect(),
        })
        .filter(|pattern| !pattern.words.is_empty())
        .collect()
}

impl Pattern {
    /// Whether the text that begins with these words begins with the pattern.
    fn begins(&self, words: &[String]) -> bool {
        words.len() >= self.words.len()
            && words.iter().zip(&self.words).all(|(word, pattern)| {
                match pattern.strip_suffix('*') {
                    Some(beginning) => word.starts_with(beginning),
                    None => word == pattern,
                }
            })
    }
}

/// The words of a line, those inside of identifiers included. Punctuation is a word of its own, so
/// that phrases do not reach over it; comment markers and the ends of long strings are none.
fn words(line: &str) -> Vec<String> {
    const BREAK: &str = ".";
    let line = line.trim().trim_start_matches(['/', '!', '#', '*', '>']).trim_end_matches('\\');
    let mut words = vec![String::new()];
    for c in line.chars() {
        match c {
            c if c.is_alphabetic() || c == '\'' => {
                words.last_mut().expect("there is a word").extend(c.to_lowercase());
            }
            ' ' | '_' | '-' | '`' => words.push(String::new()),
            _ => words.extend([BREAK.to_owned(), String::new()]),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The places that have one of the patterns. A phrase can be broken over lines.
fn offences(files: &[PathBuf]) -> Vec<String> {
    let patterns = patterns();
    let mut offences = Vec::new();
    for file in files {
        let text = read(file);
        let is_contributing = file.ends_with("CONTRIBUTING.md");
        let mut in_list = false;
        let (mut words_of_file, mut lines) = (Vec::new(), Vec::new());
        for (index, line) in text.lines().enumerate() {
            in_list = in_list && line != "```" || is_contributing && line == "```words";
            if !in_list {
                words_of_file.extend(words(line));
                lines.resize(words_of_file.len(), index + 1);
            }
        }
        for (start, line) in lines.into_iter().enumerate() {
            let here = &words_of_file[start..];
            for pattern in patterns.iter().filter(|pattern| pattern.begins(here)) {
                offences.push(format!("{}:{line}: {}", name_of(file), pattern.text));
            }
        }
    }
    offences
}

fn assert_none(files: &[PathBuf]) {
    assert!(!files.is_empty());
    let offences = offences(files);
    assert!(
        offences.is_empty(),
        "{} places use words that CONTRIBUTING.md replaces:\n{}",
        offences.len(),
        offences.join("\n")
    );
}

fn code_below(directory: &str) -> Vec<PathBuf> {
    files_below(&root().join(directory), &["rs", "toml", "snap", "sh", "py", "mjs"])
}

#[test]
fn docs_use_the_vocabulary() {
    assert_none(&pages());
}

#[test]
fn source_uses_the_vocabulary() {
    let mut files = code_below("src");
    files.extend(code_below("crates"));
    files
        .extend(["Cargo.toml", "clippy.toml", "justfile", ".ci/run"].map(|name| root().join(name)));
    files.extend(code_below("benches"));
    assert_none(&files);
}

#[test]
fn tests_use_the_vocabulary() {
    assert_none(&code_below("tests"));
}

#[test]
fn patterns_find_phrases_in_prose_and_identifiers() {
    let pattern = |text: &str| Pattern {
        text: text.to_owned(),
        words: text.split(' ').map(str::to_owned).collect(),
    };
    let is_in = |text: &str, line: &str| {
        let words = words(line);
        (0..words.len()).any(|start| pattern(text).begins(&words[start..]))
    };
    assert!(is_in("red shoe", "fn count_red_shoe_rows()"));
    assert!(is_in("red shoe", "    /// a `red` shoe"));
    assert!(!is_in("red shoe", "red, shoe"));
    assert!(is_in("shoe*", "Shoes, then"));
    assert!(!is_in("shoe*", "horseshoes"));
}
