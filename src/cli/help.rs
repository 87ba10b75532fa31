//! Headings of `--help`, texts that commands share, and the examples at its end.

/// Options about reading the sheet.
pub(super) const INPUT: &str = "Input";
/// Options about the requests that are derived from the sheet.
pub(super) const PLANNING: &str = "Planning";
/// Options about the run directory and when the run stops.
pub(super) const RUN: &str = "Run";
/// Heading of the flags for receiving callbacks.
pub(super) const CALLBACKS: &str = "Callbacks";
/// Options about the account and its key.
pub(super) const ACCOUNT: &str = "Account";
/// Options about the request rate.
pub(super) const RATE_LIMIT: &str = "Rate limit";
/// Options about what billed extensions may spend.
pub(super) const SPENDING: &str = "Billed extensions";
/// Options about retries, timeouts and abort conditions.
pub(super) const RETRIES: &str = "Retries and aborts";
/// Options about the faults that a sandbox injects.
pub(super) const FAULTS: &str = "Faults and latency";
/// Options about the outcome of extensions in a sandbox.
pub(super) const EXTENSIONS: &str = "Extensions and callbacks";
/// Options about API behaviour that is not documented.
pub(super) const QUIRKS: &str = "Undocumented behaviour of the API";
/// Options about output and logs.
pub(super) const OUTPUT: &str = "Output";

/// The argument of a sheet.
pub(super) const SHEET: &str =
    "The sheet of changes, as CSV, JSONL, XLSX or ODS; - reads standard input";

/// The options that a settings file can hold, which are those of `SettingsArgs`.
const IN_SETTINGS_FILES: &str = "\
Options under Rate limit, Retries and aborts and Billed extensions can also be set in ikbulk.toml;
so can --endpoint, --key-file, --max-bad, --clear-token, --literal, --null-means, --list-separator,
--locale, --duplicates and --accept.";

/// The text at the end of a command that reads a sheet: its examples, and what can be set elsewhere.
pub(super) fn with_settings_files(examples: &str) -> String {
    format!("{examples}\n\n{IN_SETTINGS_FILES}")
}

/// Text at the end of `ikbulk --help`.
pub(super) const TOP: &str = "\
A first session:
  ikbulk export -o sheet.csv           export the library, then edit the sheet
  ikbulk plan sheet.csv                show what would change
  ikbulk apply sheet.csv --limit 10    apply ten rows as a pilot
  ikbulk resume sheet.ikbulk/RUN       send the rest
  ikbulk undo sheet.ikbulk/RUN         revert the run

`ikbulk apply FILE --sandbox` tries a sheet on a local ImageKit: no account, no network.
The private key is read from IMAGEKIT_PRIVATE_KEY or --key-file.";

pub(super) const CHECK: &str = "\
Examples:
  ikbulk check sheet.csv               list every invalid cell
  ikbulk check - < sheet.csv           the same from standard input

Exit codes: 0 every row is valid, 1 some rows are invalid, 2 the input cannot be applied.";

pub(super) const PLAN: &str = "\
Examples:
  ikbulk plan sheet.csv                preview and save the plan
  ikbulk plan sheet.csv --diff         show every change, before → after
  ikbulk apply --plan sheet.ikbulk/RUN apply the saved plan, skip files that changed since";

pub(super) const APPLY: &str = "\
Examples:
  ikbulk apply sheet.csv               preview, ask, send
  ikbulk apply sheet.csv --limit 10    ten rows as a pilot; `ikbulk resume` sends the rest
  ikbulk apply sheet.csv --yes --continue --stop-at 06:00
                                       a nightly job

Exit codes: 0 all rows done; 1 rows need fixing; 2 refused, nothing sent; 3 aborted; 4 a file could
not be written; 5 rows failed or were not attempted; 6 unknown outcomes; 75 another run holds the
account; 129, 130, 143 stopped by a signal.";

pub(super) const RESUME: &str = "\
Examples:
  ikbulk resume sheet.ikbulk/RUN       preview what is left, ask, send it
  ikbulk resume --yes sheet.ikbulk/RUN
                                       without a terminal

The run sends its own copy of the sheet. To apply a sheet that has changed since, use
`ikbulk apply`.";

pub(super) const RETRY: &str = "\
Examples:
  ikbulk retry sheet.ikbulk/RUN        preview what failed, ask, send it again
  ikbulk retry --yes --max-units 100 sheet.ikbulk/RUN
                                       without a terminal

Of a row with a failed extension, only that extension runs again, and is charged again. Rejected rows
need fixing (`ikbulk apply sheet.ikbulk/RUN/failed.csv`). Rows of unknown outcome are never retried.";

pub(super) const SETTLE: &str = "\
Examples:
  ikbulk settle sheet.ikbulk/RUN       read the files until every extension has a final status
  ikbulk settle sheet.ikbulk/RUN --deadline 2h
                                       for at most two hours
  ikbulk settle sheet.ikbulk/RUN --listen 127.0.0.1:8090
                                       and receive the callbacks of a run with --public-url
  ikbulk settle sheet.ikbulk/RUN --from callbacks.jsonl
                                       by the callbacks that another receiver has saved

Changes no file. Can be stopped with Ctrl-C and repeated. A result that a file shows is `success`
with the code `inferred`; what shows no result stays as it is, because that proves nothing.";

pub(super) const UNDO: &str = "\
Examples:
  ikbulk undo sheet.ikbulk/RUN         preview, ask, restore the values from before the run

A file that was edited after the run is skipped and listed in not_undone.csv. Extension results,
removed AI tags and publication cannot be restored.";

pub(super) const REPORT: &str = "\
Example:
  ikbulk report sheet.ikbulk/RUN       rewrite report.csv, failed.csv, unknown.csv, summary.json";

pub(super) const EXPORT: &str = "\
Examples:
  ikbulk export -o library.csv
  ikbulk export --folder /products -o products.csv
  ikbulk export --search 'tags IN [\"sale\"]' --columns tags,description -o sale.csv

An exported sheet that is applied unedited changes nothing.";

pub(super) const CHARGES_LIST: &str = "\
Examples:
  ikbulk charges list                  counts, and what was spent by day (UTC)
  ikbulk charges list --file FILEID    and each charge of a file, with its run";

pub(super) const CHARGES_EXPORT: &str = "\
Example:
  ikbulk charges export -o charges.jsonl

Includes the charges of interrupted runs. Another machine, or another state directory, that imports
the file skips the extensions that ran from here, and counts what was spent against its daily limits.";

pub(super) const CHARGES_IMPORT: &str = "\
Example:
  ikbulk charges import charges.jsonl

Adds what is not recorded here; never removes a charge. A damaged file, or one of another service or
account, is refused as a whole, with the line. Can be repeated.";

pub(super) const USAGE: &str = "\
Examples:
  ikbulk usage                         the last 30 days
  ikbulk usage --since 2026-11-28      from that day on

Reads two reports of the account: the units that it was charged, and how often each extension ran.
If only one extension without a known price ran in these days, its units per run are measured: pass
the flag that is printed to `ikbulk apply`, or set `price` in ikbulk.toml.";

pub(super) const SANDBOX: &str = "\
Examples:
  ikbulk sandbox --port 8080           1,000 made-up files behind ImageKit's rate limits
  IMAGE_KIT_BASE_URL=http://127.0.0.1:8080 IMAGEKIT_PRIVATE_KEY=private_sandbox \\
      ikbulk export -o library.csv     use it from another terminal";

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command};

    use super::*;
    use crate::cli::settings_args::SettingsArgs;

    #[test]
    fn help_names_what_settings_files_can_hold() {
        let command = SettingsArgs::augment_args(Command::new("ikbulk"));
        let words: Vec<&str> = IN_SETTINGS_FILES.split([' ', '\n', ',', ';', '.']).collect();
        for argument in command.get_arguments() {
            let flag = argument.get_long().unwrap_or_default();
            let heading = argument.get_help_heading().unwrap_or_default();
            let is_named = words.contains(&format!("--{flag}").as_str())
                || [RATE_LIMIT, RETRIES, SPENDING].contains(&heading);
            // No setting is a table, so each key fails: a known one because of its value.
            let refused = toml::from_str::<SettingsArgs>(&format!("{flag} = {{}}"));
            let error = refused.expect_err("no setting is a table").to_string();
            assert_eq!(!error.contains("unknown field"), is_named, "{flag}: {error}");
        }
        for heading in [RATE_LIMIT, RETRIES, SPENDING] {
            assert!(IN_SETTINGS_FILES.contains(heading), "{heading}");
        }
    }
}
