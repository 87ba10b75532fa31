//! What is printed after a command that sends, and its exit code.

use ikbulk::engine::{Executed, RunReport};
use ikbulk::exit_codes;
use ikbulk::internals::path_argument;

use super::Screen;
use super::render::render_summary;
use super::settle::print_settled;
use super::terminal_ui::unknown_not_retried;

/// Prints how a command ended, and returns its exit code.
pub(super) fn print_executed(executed: &Executed, screen: &Screen) -> u8 {
    match executed {
        Executed::Ran(report) => print_run(report, screen),
        Executed::NothingLeft { run, exit_code, to_settle } => {
            let path = path_argument(run.path());
            let (left, next) = if *to_settle {
                (
                    "send",
                    format!(
                        "`ikbulk settle {path}` finds out what became of its pending and unknown requests"
                    ),
                )
            } else {
                ("do", format!("`ikbulk report {path}` regenerates its reports"))
            };
            screen.print(&format!("nothing is left to {left}\nnext       {next}\n"));
            *exit_code
        }
        Executed::Settled(settled) => print_settled(settled, screen),
        Executed::NothingToRetry { run, rows, exit_code } => {
            screen.print("no failed row is left to retry\n");
            if rows.unknown > 0 {
                screen.error(&unknown_not_retried(run, rows.unknown));
            }
            *exit_code
        }
        Executed::AlreadyFinished { run, exit_code, to_settle } => {
            let path = path_argument(run.path());
            let settle = if *to_settle {
                format!("settle     ikbulk settle {path}\n")
            } else {
                String::new()
            };
            screen.print(&format!(
                "run        {path}  already finished; nothing was sent\n\
                 next       `ikbulk report {path}` regenerates its reports; without --continue the \
                 sheet is sent again\n{settle}"
            ));
            *exit_code
        }
    }
}

/// Prints the summary of a run, and returns its exit code.
pub(super) fn print_run(report: &RunReport, screen: &Screen) -> u8 {
    let RunReport { run, reports, ending, are_charges_recorded } = report;
    screen.print(&render_summary(reports, ending, run.path(), screen.width()));
    if *are_charges_recorded { reports.summary.exit_code } else { exit_codes::NOT_WRITTEN }
}
