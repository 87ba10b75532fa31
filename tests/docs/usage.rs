//! The flags, tests and recipes that the pages name.

use std::collections::BTreeSet;
use std::path::Path;

use crate::markdown::{inline_code, prose};
use crate::reference::{all_commands, help, help_of};
use crate::{files_below, name_of, pages, read, root};

/// Flags of other programs that the pages name.
const FOREIGN: [&str; 12] = [
    "--all",
    "--all-targets",
    "--check",
    "--ignored",
    "--lib",
    "--locked",
    "--no-deps",
    "--path",
    "--release",
    "--test",
    "--nocapture",
    "--bin",
];

#[test]
fn documented_flags_exist() {
    let mut flags: BTreeSet<String> = FOREIGN.map(str::to_owned).into();
    let top = help(&[]);
    let of_commands = all_commands().into_iter().map(|words| help_of(&words));
    for text in of_commands.chain([top.clone()]) {
        let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '-');
        flags.extend(words.filter(|word| word.starts_with("--")).map(str::to_owned));
    }
    let mut unknown = Vec::new();
    for page in pages() {
        if page.ends_with("CHANGELOG.md") {
            continue;
        }
        for (index, line) in read(&page).lines().enumerate() {
            for (start, _) in line.match_indices("--") {
                let before = line[..start].chars().next_back();
                let flag: String = line[start..]
                    .chars()
                    .take_while(|c| c.is_ascii_lowercase() || *c == '-')
                    .collect();
                let is_flag = flag.len() > 3
                    && flag.as_bytes()[2] != b'-'
                    && before.is_none_or(|c| matches!(c, '`' | ' ' | '(' | '['));
                if is_flag && !flags.contains(&flag) {
                    unknown.push(format!("{}:{}: {flag}", name_of(&page), index + 1));
                }
            }
        }
    }
    assert!(unknown.is_empty(), "flags that do not exist:\n{}", unknown.join("\n"));
}

#[test]
fn documented_tests_and_recipes_exist() {
    let recipes = read(&root().join("justfile"));
    let mut missing = Vec::new();
    for page in pages() {
        for (number, line) in prose(&read(&page)) {
            for code in inline_code(line) {
                let words: Vec<&str> = code.split(' ').collect();
                let is_there = match words[..] {
                    ["just", recipe, ..] => {
                        recipes.lines().any(|line| line.split([' ', ':']).next() == Some(recipe))
                    }
                    ["cargo", "test", "--test", target, ref filters @ ..] => {
                        are_tests(&root().join("tests").join(target), filters)
                    }
                    ["cargo", "test", "--lib", ref filters @ ..] => {
                        are_tests(&root().join("src"), filters)
                    }
                    _ => true,
                };
                if !is_there {
                    missing.push(format!("{}:{number}: {code}", name_of(&page)));
                }
            }
        }
    }
    assert!(missing.is_empty(), "tests or recipes that do not exist:\n{}", missing.join("\n"));
}

/// Whether each filter is part of the name of a test, or of a file, below a directory.
fn are_tests(directory: &Path, filters: &[&str]) -> bool {
    let files = files_below(directory, &["rs"]);
    let is_known = |filter: &str| {
        files.iter().any(|file| {
            name_of(file).contains(filter) || read(file).contains(&format!("fn {filter}"))
        })
    };
    let mut filters = filters.iter().filter(|filter| **filter != "--");
    !files.is_empty() && filters.all(|filter| is_known(filter))
}
