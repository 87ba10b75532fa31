//! The `console` blocks of the pages: each command is run, and its output compared with the one
//! shown.
//!
//! The blocks of a page are run in order, in one directory. A block under `<!-- file: NAME -->` is
//! written to that file first. Output may be cut: a line `…` stands for any lines. A run directory
//! in a command stands for the latest one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::markdown::{Block, blocks};
use crate::terminal::Session;
use crate::{name_of, pages, read, updates};

const CUT: &str = "…";

/// A command and the lines below it.
struct Shown {
    command: String,
    output: Vec<String>,
}

/// The commands of a block.
fn commands(block: &Block) -> Vec<Shown> {
    let mut commands: Vec<Shown> = Vec::new();
    for line in &block.body {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => {
                commands.push(Shown { command: command.to_owned(), output: Vec::new() });
            }
            (None, Some(last)) => last.output.push(line.clone()),
            (None, None) => panic!("a block of commands begins with one: {line}"),
        }
    }
    commands
}

/// Replaces what differs from run to run: times, durations, ports, hashes and retries.
fn normalized(line: &str) -> String {
    // 9 is a digit, # a number, h a hexadecimal digit.
    const VARIABLE: [(&str, &str); 17] = [
        ("9999-99-99T99-99-99Z", "TIME"),
        ("9999-99-99T99:99:99Z", "TIME"),
        ("9999-99-99 99:99", "TIME"),
        ("99:99", "CLOCK"),
        ("127.0.0.1:#", "ADDRESS"),
        ("hhhhhhhhhhhhhhhh)", "HASH)"),
        ("hhhhhhhhhhhhhhhh ", "HASH "),
        ("in # s", "in TIME"),
        ("in # min", "in TIME"),
        ("TIME-#", "TIME"),
        ("# s at", "TIME at"),
        ("# min # s at", "TIME at"),
        ("\"seconds\": #", "TIME"),
        ("\"throttled\": #", "N"),
        ("\"retried\": #", "N"),
        ("# throttled", "N throttled"),
        ("# retried", "N retried"),
    ];
    let text = VARIABLE.iter().fold(line.to_owned(), |text, (pattern, name)| {
        let mut replaced = String::new();
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let length = (!replaced.ends_with(|c: char| c.is_ascii_digit())
                || !pattern.starts_with(['9', '#']))
            .then(|| matched(pattern, rest))
            .flatten();
            if let Some(length) = length {
                replaced.push_str(name);
                rest = &rest[length..];
            } else {
                replaced.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        replaced
    });
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How many bytes at the beginning of `text` match the pattern.
fn matched(pattern: &str, text: &str) -> Option<usize> {
    let mut rest = text;
    for p in pattern.chars() {
        let length = match p {
            '9' => rest.starts_with(|c: char| c.is_ascii_digit()).then_some(1)?,
            'h' if pattern.starts_with("hh") => {
                rest.starts_with(|c: char| c.is_ascii_hexdigit()).then_some(1)?
            }
            '#' => {
                let is_part = |c: char| c.is_ascii_digit() || c == '.';
                let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
                (end > 0).then_some(end)?
            }
            _ => rest.starts_with(p).then_some(p.len_utf8())?,
        };
        rest = &rest[length..];
    }
    Some(text.len() - rest.len())
}

/// Whether the output is the one shown, where a line `…` stands for any lines.
fn is_same(shown: &[String], printed: &[String]) -> bool {
    let shown: Vec<String> = shown.iter().map(|line| normalized(line)).collect();
    let mut rest: Vec<String> = printed.iter().map(|line| normalized(line)).collect();
    let mut pieces = shown.split(|line| line == CUT);
    let first = pieces.next().unwrap_or_default();
    if !rest.starts_with(first) {
        return false;
    }
    rest.drain(..first.len());
    let mut last_ends = rest.is_empty();
    for piece in pieces {
        let Some(at) = (0..=rest.len()).find(|at| rest[*at..].starts_with(piece)) else {
            return false;
        };
        rest.drain(..at + piece.len());
        last_ends = piece.is_empty() || rest.is_empty();
    }
    last_ends
}

/// The label that a paragraph of output begins with.
fn label(line: &str) -> Option<&str> {
    let is_start = !line.starts_with(' ') && !line.is_empty() && line != CUT;
    is_start.then(|| line.split([' ', ',', ':']).next().unwrap_or(line))
}

/// Where paragraphs with these labels begin, in this order.
fn positions<'s>(
    labels: impl Iterator<Item = &'s str>,
    mut starts: impl Iterator<Item = usize> + Clone,
    printed: &[String],
) -> Vec<usize> {
    // A label that is not printed any more is passed over.
    labels
        .filter_map(|wanted| {
            let mut rest = starts.clone();
            let found = rest.find(|at| label(&printed[*at]) == Some(wanted))?;
            starts = rest;
            Some(found)
        })
        .collect()
}

/// The output with the paragraphs that were cut from what is shown now cut again.
fn cut_alike(shown: &[String], printed: &[String]) -> Vec<String> {
    if !shown.iter().any(|line| line == CUT) {
        return printed.to_vec();
    }
    let labels: Vec<&str> = shown.iter().filter_map(|line| label(line)).collect();
    let starts: Vec<usize> =
        (0..printed.len()).filter(|at| label(&printed[*at]).is_some()).collect();
    // Labels come more than once, in preview and summary: what is cut at its beginning is the end.
    let from_end = shown.first().is_some_and(|line| line == CUT);
    let kept: Vec<usize> = if from_end {
        positions(labels.into_iter().rev(), starts.iter().rev().copied(), printed)
    } else {
        positions(labels.into_iter(), starts.iter().copied(), printed)
    };
    let mut cut: Vec<String> = Vec::new();
    let mut keeps = false;
    for (at, line) in printed.iter().enumerate() {
        if starts.contains(&at) {
            keeps = kept.contains(&at);
        }
        if keeps {
            cut.push(line.clone());
        } else if cut.last().is_none_or(|last| last != CUT) {
            cut.push(CUT.to_owned());
        }
    }
    cut
}

/// The name of the latest run in a directory of runs. Of one second, the later ones have a number.
fn latest_run(runs: &Path) -> String {
    let entries = fs::read_dir(runs).unwrap_or_else(|error| panic!("{}: {error}", runs.display()));
    let names = entries.map(|entry| entry.expect("it can be read").file_name());
    let names = names.map(|name| name.into_string().expect("it is text"));
    let order = |name: &str| {
        let (time, number) = name.split_once("Z-").unwrap_or((name.trim_end_matches('Z'), "1"));
        (time.to_owned(), number.parse::<u32>().unwrap_or(0))
    };
    names.max_by_key(|name| order(name)).expect("there is a run")
}

/// The command with the run directory in it replaced by the latest one.
fn with_latest_run(command: &str, directory: &Path) -> String {
    let word = |word: &str| {
        let mut parts = word.split('/').peekable();
        let mut runs = PathBuf::new();
        while let Some(part) = parts.next_if(|part| !part.ends_with(".ikbulk")) {
            runs.push(part);
        }
        runs.extend(parts.next());
        if parts.next().is_none_or(|time| !time.starts_with("20")) {
            return word.to_owned();
        }
        let run = runs.join(latest_run(&directory.join(&runs)));
        parts.fold(run, |path, part| path.join(part)).display().to_string()
    };
    command.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Runs the blocks of a page. Returns the page with the output that they have now, and the
/// commands whose output differs.
fn run_page(page: &Path) -> (String, Vec<String>) {
    let text = read(page);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut session = Session::new();
    let mut changes: Vec<(usize, usize, Vec<String>)> = Vec::new();
    let mut differences = Vec::new();
    let blocks = blocks(&text);
    for block in &blocks {
        if let Some(name) = block.comment.as_deref().and_then(|it| it.strip_prefix("file: ")) {
            fs::write(session.path().join(name), block.body.join("\n") + "\n")
                .expect("the directory takes files");
        }
        if block.language != "console" {
            continue;
        }
        let mut body = Vec::new();
        for shown in commands(block) {
            let line = with_latest_run(&shown.command, session.path());
            let printed: Vec<String> =
                session.run(&line).lines().map(|line| line.trim_end().to_owned()).collect();
            if !is_same(&shown.output, &printed) {
                differences.push(format!(
                    "{}: $ {line}\n--- shown\n{}\n--- printed\n{}",
                    name_of(page),
                    shown.output.join("\n"),
                    printed.join("\n")
                ));
            }
            body.push(format!("$ {line}"));
            body.extend(cut_alike(&shown.output, &printed));
        }
        changes.push((block.start, block.body.len(), body));
    }
    for (start, length, body) in changes.into_iter().rev() {
        lines.splice(start..start + length, body);
    }
    (lines.join("\n") + "\n", differences)
}

/// Runs a page up to three times: on a busy machine a request can be throttled, which shows in the
/// counts.
fn run_page_again(page: &Path) -> (String, Vec<String>) {
    let attempts = if updates() { 1 } else { 3 };
    let mut runs = (0..attempts).map(|_| run_page(page));
    let first = runs.next().expect("there is an attempt");
    if first.1.is_empty() { first } else { runs.find(|run| run.1.is_empty()).unwrap_or(first) }
}

#[test]
fn shown_output_is_real() {
    let shown: Vec<PathBuf> = pages()
        .into_iter()
        .filter(|page| blocks(&read(page)).iter().any(|block| block.language == "console"))
        .collect();
    assert!(shown.len() > 1, "the pages show commands");
    let results: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = shown.iter().map(|page| scope.spawn(|| run_page_again(page))).collect();
        runs.into_iter().map(|run| run.join().expect("the page runs")).collect()
    });
    let mut differences = Vec::new();
    for (page, (text, different)) in shown.iter().zip(results) {
        if updates() && !different.is_empty() {
            fs::write(page, text).expect("the page can be written");
        }
        differences.extend(different);
    }
    assert!(
        updates() || differences.is_empty(),
        "output has changed; run UPDATE_DOCS=1 cargo test --test docs\n\n{}",
        differences.join("\n\n")
    );
}

#[test]
fn variable_parts_are_normalized() {
    let line = |text: &str| normalized(text);
    assert_eq!(line("run  a.ikbulk/2026-11-29T11-21-42Z-2"), "run a.ikbulk/TIME");
    assert_eq!(line("28 writes in 5.2 s; 1 throttled"), "28 writes in TIME; N throttled");
    assert_eq!(line("time 0.9 s at 4.5 writes/s"), "time TIME at 4.5 writes/s");
    assert_eq!(line("(key f88b49459339f30e)"), "(key HASH)");
    assert_eq!(line("rows 34: 28 updated"), "rows 34: 28 updated");
}

#[test]
fn cut_output_is_compared_piece_by_piece() {
    let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert!(is_same(&lines("a … d"), &lines("a b c d")));
    assert!(is_same(&lines("… c d"), &lines("a b c d")));
    assert!(is_same(&lines("a …"), &lines("a b c d")));
    assert!(!is_same(&lines("a b"), &lines("a b c")));
    assert!(!is_same(&lines("a … c"), &lines("a b c d")));
    assert_eq!(cut_alike(&lines("a … d"), &lines("a b c d")), lines("a … d"));
    assert_eq!(cut_alike(&lines("… x c d"), &lines("a b c d")), lines("… c d"));
    assert_eq!(cut_alike(&lines("a b"), &lines("a x")), lines("a x"));
}
