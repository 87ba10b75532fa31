//! The reference pages that are made from the code.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use ikbulk::engine::{Code, Finding, Severity, Status, Stop};
use ikbulk::exit_codes;

use crate::{read, root, updates};

/// Columns of the help texts.
const WIDTH: usize = 100;

/// The help text of a command.
pub(crate) fn help(command: &[&str]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_ikbulk"));
    program.args(command).arg("--help").env("COLUMNS", WIDTH.to_string());
    let output = program.output().expect("the program runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("help is UTF-8")
}

/// The commands in the help text of the program.
pub(crate) fn commands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines.take_while(|line| line.starts_with("  ")).filter_map(|line| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        (!name.is_empty() && name != "help").then(|| name.to_owned())
    });
    names.collect()
}

/// The words of every command, also of commands of commands.
pub(crate) fn all_commands() -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for command in commands(&help(&[])) {
        let inner = commands(&help(&[&command]));
        all.push(vec![command.clone()]);
        all.extend(inner.into_iter().map(|inner| vec![command.clone(), inner]));
    }
    all
}

pub(crate) fn help_of(words: &[String]) -> String {
    help(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

fn cli() -> String {
    let mut page = "<!-- Generated from the program's help: UPDATE_DOCS=1 cargo test --test docs -->\n\
                    # Command line reference\n\n\
                    This page shows `--help` of every command; `-h` prints a summary. Exit codes are \
                    listed in\n[statuses.md](statuses.md#exit-codes), settings files in \
                    [configuration.md](configuration.md).\n"
        .to_owned();
    let mut section = |title: &str, help: &str| {
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        let text = help.join("\n");
        writeln!(page, "\n## {title}\n\n```text\n{}\n```", text.trim()).expect("strings take text");
    };
    let top = help(&[]);
    section("ikbulk", &top);
    for words in all_commands() {
        section(&format!("ikbulk {}", words.join(" ")), &help_of(&words));
    }
    page
}

fn statuses() -> String {
    let mut table = "| status | meaning | next step |\n|---|---|---|\n".to_owned();
    for status in Status::ALL.into_iter().rev() {
        let next = Some(status.next_step()).filter(|next| !next.is_empty()).unwrap_or("–");
        writeln!(table, "| `{status}` | {} | {next} |", status.description())
            .expect("strings take text");
    }
    table
}

fn codes() -> String {
    let mut table = "| code | status | meaning |\n|---|---|---|\n".to_owned();
    for code in Code::ALL {
        let statuses: Vec<String> =
            code.statuses().iter().map(|status| format!("`{status}`")).collect();
        let (word, meaning) = (code.as_str(), code.description());
        writeln!(table, "| `{word}` | {} | {meaning} |", statuses.join(", "))
            .expect("strings take text");
    }
    table
}

fn findings() -> String {
    let mut table =
        "| name | severity | seen in | the value | fix |\n|---|---|---|---|---|\n".to_owned();
    for finding in Finding::ALL {
        let severity = match finding.severity() {
            Severity::Hold => "hold",
            Severity::Note => "note",
        };
        let seen_in = if finding.needs_library() { "library" } else { "sheet" };
        let (problem, fix) = (finding.problem(), finding.fix());
        writeln!(table, "| `{finding}` | {severity} | {seen_in} | {problem} | {fix} |")
            .expect("strings take text");
    }
    table
}

fn exit_code_table() -> String {
    let mut table = "| exit code | meaning |\n|---|---|\n".to_owned();
    for (code, meaning) in exit_codes::MEANINGS {
        writeln!(table, "| {code} | {meaning} |").expect("strings take text");
    }
    table
}

/// The page with the text between `<!-- generated: NAME -->` and `<!-- end -->` replaced.
fn with_section(page: &str, name: &str, section: &str) -> String {
    let begin = format!("<!-- generated: {name} -->\n");
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no section {name}"));
    let (_, after) = rest.split_once("<!-- end -->").expect("a section ends");
    format!("{before}{begin}\n{section}\n<!-- end -->{after}")
}

fn compare(name: &str, expected: &str) {
    let path = root().join("docs/reference").join(name);
    if updates() {
        fs::write(&path, expected).expect("the page can be written");
    }
    let page = fs::read_to_string(&path).unwrap_or_default();
    let difference = page.lines().zip(expected.lines()).find(|(old, new)| old != new);
    assert!(
        page == expected,
        "docs/reference/{name} is stale ({difference:?}); run UPDATE_DOCS=1 cargo test --test docs"
    );
}

#[test]
fn cli_reference_matches_help() {
    compare("cli.md", &cli());
}

#[test]
fn findings_reference_matches_enum() {
    let page = read(&root().join("docs/reference/findings.md"));
    compare("findings.md", &with_section(&page, "findings", &findings()));
}

#[test]
fn status_reference_matches_enums() {
    let page = read(&root().join("docs/reference/statuses.md"));
    let page = with_section(&page, "statuses", &statuses());
    let page = with_section(&page, "codes", &codes());
    compare("statuses.md", &with_section(&page, "exit codes", &exit_code_table()));
}

#[test]
fn signal_exit_codes_are_documented() {
    for stop in [Stop::Hangup, Stop::Interrupt, Stop::Terminate] {
        let code = stop.exit_code();
        assert!(exit_codes::MEANINGS.iter().any(|(listed, _)| *listed == code), "{code}");
    }
}
