//! Confirmation on a terminal: when the program asks, and what it accepts.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use ikbulk_sandbox::{Config, Hook, Phase};

use crate::harness::{OnTerminal, TestEnv, files, sheet};

/// Blocks the program at its first request.
struct BlockedRequest {
    arrived: Receiver<()>,
    unblock: SyncSender<()>,
}

impl BlockedRequest {
    fn new() -> (Self, Hook) {
        let (arrival, arrived) = sync_channel(1);
        let (unblock, waits) = sync_channel(1);
        let waits = Mutex::new(waits);
        let hook = Hook::new(move |event| {
            if event.n == 1 && event.phase == Phase::Arrived {
                arrival.send(()).expect("the test waits");
                let waits = waits.lock().unwrap_or_else(PoisonError::into_inner);
                waits.recv().expect("the test unblocks it");
            }
        });
        (Self { arrived, unblock }, hook)
    }

    /// Types while the program waits for a response, before it can have asked.
    fn types_ahead(&self, terminal: &mut OnTerminal, text: &str) {
        self.arrived.recv().expect("the program reads");
        terminal.types(text);
        // The terminal echoes what it has received.
        terminal.waits_for(text.trim_end());
        self.unblock.send(()).expect("the program waits");
    }
}

const REMOVE_BG: &str = r#"{"name":"remove-bg"}"#;
const TAG: &str = r#"{"name":"google-auto-tagging","minConfidence":50,"maxTags":5}"#;
const DESCRIBE: &str = r#"{"name":"ai-auto-description"}"#;

fn tags(env: &TestEnv) {
    env.write("sheet.csv", "fileId,tags\na,x\nb,x\n");
}

fn extensions(env: &TestEnv, configs: [&str; 2]) {
    let rows = ["a", "b"].iter().zip(configs);
    let rows = rows.map(|(id, config)| format!("{id},\"[{}]\"", config.replace('"', "\"\"")));
    env.write("sheet.csv", sheet("fileId,extensions", rows));
}

fn apply(env: &TestEnv, more: &[&str]) -> OnTerminal {
    let words = ["apply", "sheet.csv", "--rate", "unlimited", "--read-rate", "unlimited"];
    env.command(&[&words, more].concat()).on_terminal()
}

fn sent(env: &TestEnv) -> u64 {
    let calls = env.sandbox.stats().calls;
    calls.patch + calls.add_tags
}

#[test]
fn typeahead_does_not_confirm() {
    for (configs, ahead, question) in
        [(None, "y\n", "[y/N]"), (Some([REMOVE_BG; 2]), "260\n", "Type 260 ")]
    {
        let (blocked, hook) = BlockedRequest::new();
        let env = TestEnv::new(Config { hook: Some(hook), ..files(["a", "b"]) });
        match configs {
            Some(configs) => extensions(&env, configs),
            None => tags(&env),
        }
        let mut terminal = apply(&env, &[]);
        blocked.types_ahead(&mut terminal, ahead);
        terminal.waits_for(question);
        terminal.types("no\n");
        terminal.ends().exits(2);
        assert_eq!(sent(&env), 0);
        assert!(!env.path("sheet.ikbulk").exists());
    }
}

#[test]
fn billed_run_requires_typing_its_units() {
    let env = TestEnv::new(files(["a", "b"]));
    extensions(&env, [REMOVE_BG, TAG]);
    for (answer, code) in [("y\n", 2), ("2\n", 2), ("132\n", 0)] {
        assert_eq!(sent(&env), 0);
        let mut terminal = apply(&env, &[]);
        terminal.waits_for("Type 132 ");
        terminal.types(answer);
        terminal.ends().exits(code);
    }
    assert_eq!(sent(&env), 2);
}

#[test]
fn unknown_price_requires_typing_the_run_count() {
    let env = TestEnv::new(files(["a", "b"]));
    extensions(&env, [REMOVE_BG, DESCRIBE]);
    let mut terminal = apply(&env, &[]);
    terminal.waits_for("Type 2,");
    terminal.types("2\n");
    terminal.ends().exits(0);
    assert_eq!(sent(&env), 2);
}

#[test]
fn stated_price_is_shown_and_typed() {
    let env = TestEnv::new(files(["a", "b"]));
    extensions(&env, [DESCRIBE; 2]);
    let price = ["--price", "ai-auto-description=500"];
    let plan = env.run(&format!("plan sheet.csv --json {}", price.join(" "))).exits(0);
    plan.output_contains(r#""units": 1000"#);
    let mut terminal = apply(&env, &price);
    terminal.waits_for("ai-auto-description 2 runs (1,000 units)");
    terminal.waits_for("Type 1000 ");
    terminal.types("1000\n");
    terminal.ends().exits(0);
    assert_eq!(sent(&env), 2);
}

#[test]
fn resumed_run_shows_the_price_that_it_was_started_with() {
    let env = TestEnv::new(files(["a", "b"]));
    extensions(&env, [DESCRIBE; 2]);
    env.apply("sheet.csv --limit 1 --max-units 2000 --price ai-auto-description=500").exits(5);
    let run = env.only_run("sheet").name();
    let mut terminal = env.command(&["resume", &run]).on_terminal();
    terminal.waits_for("Type 500 ");
    terminal.types("500\n");
    terminal.ends().exits(0);
}

#[test]
fn without_terminal_nothing_is_read() {
    let env = TestEnv::new(files(["a", "b"]));
    tags(&env);
    env.run("apply sheet.csv --yes --limit 1").exits(5);
    let run = env.only_run("sheet").name();
    env.write("other.csv", "fileId,tags\na,y\n");
    env.run("plan other.csv").exits(0);
    let plan = env.only_run("other").name();
    env.write("third.csv", "fileId,tags\na,y\n");
    let requests = env.sandbox.stats().requests;
    let undo = format!("undo {run}");
    for words in [
        "apply third.csv",
        "apply --direct --no-snapshot third.csv",
        &undo,
        &format!("apply --plan {plan}"),
    ] {
        env.run(words).exits(2).output_contains("--yes");
    }
    let unread = env.command(&["apply", "-"]).input("no sheet at all").run();
    unread.exits(2).output_contains("--yes");
    assert_eq!(env.sandbox.stats().requests, requests);
    assert!(!env.path("third.ikbulk").exists());
    assert_eq!(env.only_run("sheet").name(), run);
}

#[test]
fn no_confirmation_without_changes_or_on_sandbox() {
    let env = TestEnv::new(files(["a", "b"]));
    tags(&env);
    let mut terminal = apply(&env, &[]);
    terminal.waits_for("[y/N]");
    terminal.types("y\n");
    terminal.ends().exits(0);
    apply(&env, &[]).ends().exits(0);
    let unchanged = env.runs("sheet").pop().expect("it is the second");
    assert_eq!(unchanged.count("unchanged"), 2);
    extensions(&env, [REMOVE_BG; 2]);
    apply(&env, &["--sandbox"]).ends().exits(0);
    let on_sandbox = env.runs("sheet").pop().expect("it is the third");
    assert_eq!(on_sandbox.count("updated"), 2);
}

#[test]
fn messages_are_coloured_only_on_a_terminal_that_wants_colours() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,tags\na,50%\n");
    let check = || env.command(&["check", "sheet.csv"]);
    let on_terminal = check().on_terminal().ends().exits(1);
    assert!(on_terminal.out.contains("\u{1b}[31m×"), "{}", on_terminal.out.escape_debug());
    let plain = check().env("NO_COLOR", "1").on_terminal().ends().exits(1);
    let piped = check().run().exits(1);
    for plain in [plain.out, piped.out] {
        assert!(plain.contains("×") && !plain.contains('\u{1b}'), "{}", plain.escape_debug());
    }
}

#[test]
fn cells_cannot_colour_messages() {
    let env = TestEnv::new(files(["a"]));
    env.write("sheet.csv", "fileId,tags,\u{1b}[2Jx\na,50%,\u{1b}[2J\n\u{1b}[31m/,x,\n");
    let checked = env.command(&["check", "sheet.csv"]).on_terminal().ends().exits(1);
    assert!(!checked.out.contains("\u{1b}[2J"), "{}", checked.out.escape_debug());
}
