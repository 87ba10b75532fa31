//! The documentation against the program: generated reference, links, commands and their output,
//! and the vocabulary. `UPDATE_DOCS=1 cargo test --test docs` rewrites what is generated.

mod console;
mod markdown;
mod pages;
mod reference;
mod terminal;
mod usage;
mod vocabulary;

use std::collections::BTreeSet;
use std::path::PathBuf;

use markdown::{anchors, links};
use pages::{files_below, name_of, pages, read, root};

/// The limits of the README: it is an entrance, not the manual.
const README_LINES_MAX: usize = 150;
const README_WORDS_MAX: usize = 1300;

/// Whether generated text is to be rewritten instead of compared.
fn updates() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1")
}

#[test]
fn readme_is_short() {
    let readme = read(&root().join("README.md"));
    let (lines, words) = (readme.lines().count(), readme.split_whitespace().count());
    assert!(lines <= README_LINES_MAX, "{lines} lines, at most {README_LINES_MAX}");
    assert!(words < README_WORDS_MAX, "{words} words, fewer than {README_WORDS_MAX}");
}

#[test]
fn links_and_anchors_resolve() {
    let mut broken = Vec::new();
    for page in pages() {
        for (line, link) in links(&read(&page)) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let directory = page.parent().expect("a page is in a directory");
            let target = if path.is_empty() { page.clone() } else { directory.join(path) };
            let is_there = target.exists()
                && (anchor.is_empty() || anchors(&read(&target)).iter().any(|it| it == anchor));
            if !is_there {
                broken.push(format!("{}:{line}: {link}", name_of(&page)));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

#[test]
fn every_page_is_linked() {
    let linked: BTreeSet<PathBuf> = pages()
        .iter()
        .flat_map(|page| {
            let directory = page.parent().expect("a page is in a directory").to_owned();
            links(&read(page)).into_iter().filter_map(move |(_, link)| {
                directory.join(link.split('#').next().unwrap_or_default()).canonicalize().ok()
            })
        })
        .collect();
    let orphans: Vec<String> = files_below(&root().join("docs"), &["md"])
        .into_iter()
        .filter(|page| !linked.contains(&page.canonicalize().expect("the page exists")))
        .map(|page| name_of(&page))
        .collect();
    assert!(orphans.is_empty(), "no page links {orphans:?}");
}

/// The words of a text, with the line breaks of long string literals taken out.
fn words_of(text: &str) -> String {
    text.replace('\\', " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn faq_quotes_real_messages() {
    let source: Vec<String> = ["src", "crates"]
        .iter()
        .flat_map(|directory| files_below(&root().join(directory), &["rs"]))
        .map(|file| words_of(&read(&file)))
        .collect();
    let faq = read(&root().join("docs/faq.md"));
    let quoted = faq.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    let stale: Vec<&str> =
        quoted.filter(|message| !source.iter().any(|file| file.contains(message))).collect();
    assert!(stale.is_empty(), "no message of the program has these words: {stale:#?}");
}
