//! What became of the callbacks of a run.

use ikbulk::engine::CallbackReport;
use ikbulk::internals::{plural, thousands};

/// The text of a note.
pub(in crate::cli) fn callbacks_text(report: &CallbackReport) -> String {
    let received = report.received.unwrap_or_default();
    let parts = [
        (report.settled, "settled an extension".to_owned()),
        (report.repeated + received.repeated, "repeated what was known".to_owned()),
        (received.contradicting, "contradicted an earlier one, which counts".to_owned()),
        (report.unrelated, unrelated(report)),
        (report.ambiguous, "could belong to several rows of a file, which stay pending".to_owned()),
        (
            report.of_other_runs,
            "could be about another run of the extension on the file: not used".to_owned(),
        ),
        (received.unsigned, "refused: not signed with the secret within 5 minutes".to_owned()),
        (received.malformed, "refused: not a callback".to_owned()),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let mut parts: Vec<String> =
        parts.map(|(count, what)| format!("{} {what}", thousands(count))).collect();
    if parts.is_empty() {
        parts.push("none".to_owned());
    }
    let mut text = format!("callbacks: {}", parts.join("; "));
    if let Some(error) = &report.not_stored {
        text += &format!("\ncallbacks could not be stored: {error}; ImageKit sends them again");
    }
    if report.unusable > 0 {
        let bodies = plural(report.unusable, "saved body", "saved bodies");
        text += &format!("\n{bodies} cannot be used: {}", report.first_unusable.join("; "));
    }
    text
}

fn unrelated(report: &CallbackReport) -> String {
    let what = "belong to no extension that this run waits for";
    if report.unknown_services.is_empty() {
        return what.to_owned();
    }
    let services: Vec<&str> = report.unknown_services.iter().map(|name| &**name).collect();
    format!("{what} (unknown services: {})", services.join(", "))
}

#[cfg(test)]
mod tests {
    use ikbulk::engine::Counts;

    use super::*;

    #[test]
    fn every_count_is_named() {
        let received = Counts {
            new: 9,
            repeated: 1,
            contradicting: 2,
            unsigned: 3,
            malformed: 4,
            elsewhere: 5,
        };
        let report = CallbackReport {
            settled: 10_000,
            repeated: 1,
            unrelated: 6,
            ambiguous: 7,
            of_other_runs: 8,
            unknown_services: ["upscale".into()].into(),
            received: Some(received),
            not_stored: Some("no space left on device".to_owned()),
            unusable: 1,
            first_unusable: vec![
                "body 3 is not JSON (line 3); what follows is not read".to_owned(),
            ],
        };
        insta::assert_snapshot!(callbacks_text(&report), @"
        callbacks: 10,000 settled an extension; 2 repeated what was known; 2 contradicted an earlier one, which counts; 6 belong to no extension that this run waits for (unknown services: upscale); 7 could belong to several rows of a file, which stay pending; 8 could be about another run of the extension on the file: not used; 3 refused: not signed with the secret within 5 minutes; 4 refused: not a callback
        callbacks could not be stored: no space left on device; ImageKit sends them again
        1 saved body cannot be used: body 3 is not JSON (line 3); what follows is not read
        ");
        let nothing = CallbackReport { received: Some(Counts::default()), ..Default::default() };
        assert_eq!(callbacks_text(&nothing), "callbacks: none");
    }
}
