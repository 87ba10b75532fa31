//! The commands and flags that the pages name, against the parser.

use std::collections::BTreeSet;

use clap::CommandFactory as _;
use ikbulk::cli::Cli;

use crate::markdown::{blocks, inline_code, prose};
use crate::{files_below, name_of, pages, read, root};

/// Flags of other programs that the pages name.
const FOREIGN: [&str; 11] = [
    "--all",
    "--all-targets",
    "--check",
    "--ignored",
    "--locked",
    "--no-deps",
    "--path",
    "--release",
    "--test",
    "--nocapture",
    "--bin",
];

/// The arguments of a call of ikbulk, or `None` where the line is none.
fn arguments(line: &str) -> Option<Vec<String>> {
    let line = line.trim().strip_prefix("$ ").unwrap_or(line.trim());
    let line = line.split(" # ").next().unwrap_or(line);
    let mut words = words(line).into_iter().peekable();
    while words.next_if(|word| is_assignment(word)).is_some() {}
    let mut words: Vec<String> = words.collect();
    let cargo = ["cargo", "run", "--release", "--"];
    if words.len() > cargo.len() && words.iter().zip(cargo).all(|(word, cargo)| word == cargo) {
        words.splice(..cargo.len(), ["ikbulk".to_owned()]);
    }
    if words.first().is_none_or(|word| word != "ikbulk") || words.len() < 2 {
        return None;
    }
    let end =
        words.iter().position(|word| ["|", ";", "&&", "<", ">", "&", "2>&1"].contains(&&**word));
    words.truncate(end.unwrap_or(words.len()));
    Some(words)
}

fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// Words as a shell splits them, as far as the pages need it.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, ' ') => words.push(String::new()),
            _ => words.last_mut().expect("there is a word").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn refusal(arguments: &[String]) -> Option<String> {
    use clap::error::ErrorKind::{DisplayHelp, DisplayVersion};
    let refused = Cli::command().try_get_matches_from(arguments).err()?;
    let is_fine = matches!(refused.kind(), DisplayHelp | DisplayVersion);
    (!is_fine).then(|| refused.to_string().lines().next().unwrap_or_default().to_owned())
}

#[test]
fn documented_commands_parse() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in pages() {
        let text = read(&page);
        let mut lines: Vec<(usize, String)> = Vec::new();
        for block in blocks(&text) {
            if ["sh", "console", "crontab"].contains(&&*block.language) {
                // A command can be anywhere in the line of a crontab.
                let commands = block.body.iter().enumerate().map(|(index, line)| {
                    let start = line.find("ikbulk ").filter(|_| block.language == "crontab");
                    (block.start + index + 1, line[start.unwrap_or(0)..].to_owned())
                });
                let is_console = block.language == "console";
                lines.extend(commands.filter(|(_, line)| !is_console || line.starts_with("$ ")));
            }
        }
        for (number, line) in prose(&text) {
            lines.extend(inline_code(line).map(|code| (number, code.to_owned())));
        }
        for (number, line) in lines {
            // Several flags in a row stand for a command without its other arguments.
            let Some(arguments) = arguments(&line).filter(|it| it.len() > 2) else {
                continue;
            };
            count += 1;
            if let Some(why) = refusal(&arguments) {
                wrong.push(format!("{}:{number}: {line}: {why}", name_of(&page)));
            }
        }
    }
    assert!(wrong.is_empty(), "commands that do not parse:\n{}", wrong.join("\n"));
    assert!(count > 30, "only {count} commands found");
}

#[test]
fn documented_flags_exist() {
    let mut command = Cli::command();
    command.build();
    let mut flags: BTreeSet<String> = FOREIGN.map(str::to_owned).into();
    flags.extend(["--help", "--version"].map(str::to_owned));
    for command in command.get_subcommands().chain([&command]) {
        let longs = command.get_arguments().filter_map(clap::Arg::get_long);
        flags.extend(longs.map(|long| format!("--{long}")));
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
                        let files = files_below(&root().join("tests").join(target), &["rs"]);
                        let is_known = |filter: &&&str| {
                            files.iter().any(|file| {
                                name_of(file).contains(**filter)
                                    || read(file).contains(&format!("fn {filter}"))
                            })
                        };
                        let mut filters = filters.iter().filter(|filter| **filter != "--");
                        !files.is_empty() && filters.all(|filter| is_known(&filter))
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
