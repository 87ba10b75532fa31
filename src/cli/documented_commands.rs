//! The commands that the documentation names, against the parser.

#[path = "../../tests/docs/markdown.rs"]
#[expect(dead_code, reason = "tests/docs needs the rest")]
mod markdown;
#[path = "../../tests/docs/pages.rs"]
mod pages;

use clap::CommandFactory as _;

use super::Cli;
use markdown::{blocks, inline_code, prose};
use pages::{name_of, pages, read};

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
