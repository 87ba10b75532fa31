//! Hints for commands and options that other programs have and ikbulk does not.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Commands and options of other programs, and the hint for ikbulk.
const HINTS: [(&[&str], &str); 9] = [
    (
        &["--dry-run", "--dryrun", "-n", "diff", "preview"],
        "ikbulk plan FILE shows what would change",
    ),
    (&["status", "progress", "ps"], "ikbulk report RUN shows the progress of a run"),
    (&["rerun", "resend"], "ikbulk retry RUN sends the failed rows of a run again"),
    (&["revert", "rollback", "restore"], "ikbulk undo RUN reverts a run"),
    (&["validate", "lint", "verify"], "ikbulk check FILE validates a sheet"),
    (&["import", "run", "update", "sync", "push"], "ikbulk apply FILE applies a sheet"),
    (&["continue"], "ikbulk resume RUN resumes an interrupted run"),
    (&["list", "pull", "download", "dump"], "ikbulk export -o FILE exports the library"),
    (&["--force", "--no-confirm", "--assume-yes"], "--yes applies without asking"),
];

/// Adds a hint to an error about an unknown command or option.
pub(super) fn with_hint(mut error: clap::Error) -> clap::Error {
    let kind = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => return error,
    };
    if let Some(ContextValue::String(typed)) = error.get(kind)
        && let Some((_, hint)) = HINTS.iter().find(|(words, _)| words.contains(&typed.as_str()))
    {
        let hint = StyledStr::from(*hint);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint]));
    }
    error
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::Cli;
    use super::with_hint;

    #[test]
    fn unknown_commands_suggest_the_right_one() {
        for (line, hint) in [
            ("ikbulk apply --dry-run sheet.csv", "ikbulk plan FILE"),
            ("ikbulk status sheet.ikbulk", "ikbulk report RUN"),
            ("ikbulk rollback sheet.ikbulk", "ikbulk undo RUN"),
        ] {
            let error =
                Cli::try_parse_from(line.split(' ')).expect_err("an unknown command or option");
            let text = with_hint(error).to_string();
            assert!(text.contains(hint), "{text}");
        }
    }
}
