//! A person at a terminal: what they are asked, and what counts as their answer.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use ikbulk::sandbox::{Config, Hook, Phase};

use crate::harness::{OnTerminal, TestEnv, files, sheet};

/// A program that stands at its first request until it may go on.
struct Held {
    came: Receiver<()>,
    goes_on: SyncSender<()>,
}

impl Held {
    fn new() -> (Self, Hook) {
        let (comes, came) = sync_channel(1);
        let (goes_on, waits) = sync_channel(1);
        let waits = Mutex::new(waits);
        let hook = Hook::new(move |event| {
            if event.n == 1 && event.phase == Phase::Arrived {
                comes.send(()).expect("the test waits for it");
                let waits = waits.lock().unwrap_or_else(PoisonError::into_inner);
                waits.recv().expect("the test lets it go on");
            }
        });
        (Self { came, goes_on }, hook)
    }

    /// Types while the program reads, before it can have asked anything.
    fn types_ahead(&self, terminal: &mut OnTerminal, text: &str) {
        self.came.recv().expect("the program reads");
        terminal.types(text);
        // The terminal shows what is typed as soon as it holds it.
        terminal.waits_for(text.trim_end());
        self.goes_on.send(()).expect("the program waits");
    }
}

const REMOVE_BG: &str = r#"{"name":"remove-bg"}"#;
const TAG: &str = r#"{"name":"google-auto-tagging","minConfidence":50,"maxTags":5}"#;
const DESCRIBE: &str = r#"{"name":"ai-auto-description"}"#;

fn tags(world: &TestEnv) {
    world.write("sheet.csv", "fileId,tags\na,x\nb,x\n");
}

fn extensions(world: &TestEnv, configs: [&str; 2]) {
    let rows = ["a", "b"].iter().zip(configs);
    let rows = rows.map(|(id, config)| format!("{id},\"[{}]\"", config.replace('"', "\"\"")));
    world.write("sheet.csv", sheet("fileId,extensions", rows));
}

fn apply(world: &TestEnv, more: &[&str]) -> OnTerminal {
    let words = ["apply", "sheet.csv", "--rate", "unlimited", "--read-rate", "unlimited"];
    world.command(&[&words, more].concat()).on_terminal()
}

fn sent(world: &TestEnv) -> u64 {
    let calls = world.sandbox.stats().calls;
    calls.patch + calls.add_tags
}

#[test]
fn what_was_typed_before_a_question_does_not_answer_it() {
    for (configs, ahead, question) in [
        (None, "y\n", "Send this? [y/N]"),
        (Some([REMOVE_BG; 2]), "260\n", "Type 260 to send it, anything else to stop:"),
    ] {
        let (held, hook) = Held::new();
        let world = TestEnv::new(Config { hook: Some(hook), ..files(["a", "b"]) });
        match configs {
            Some(configs) => extensions(&world, configs),
            None => tags(&world),
        }
        let mut terminal = apply(&world, &[]);
        held.types_ahead(&mut terminal, ahead);
        terminal.waits_for(question);
        terminal.types("no\n");
        terminal.ends().exits(2).output_contains("nothing was sent");
        assert_eq!(sent(&world), 0);
        assert!(!world.path("sheet.ikbulk").exists());
    }
}

#[test]
fn billed_work_is_sent_once_its_units_are_typed() {
    let world = TestEnv::new(files(["a", "b"]));
    extensions(&world, [REMOVE_BG, TAG]);
    for (answer, code) in [("y\n", 2), ("2\n", 2), ("132\n", 0)] {
        assert_eq!(sent(&world), 0);
        let mut terminal = apply(&world, &[]);
        terminal.waits_for("remove-bg once and google-auto-tagging once (132 units). Type 132");
        terminal.types(answer);
        terminal.ends().exits(code);
    }
    assert_eq!(sent(&world), 2);
}

#[test]
fn where_a_price_is_unknown_the_number_of_runs_is_typed() {
    let world = TestEnv::new(files(["a", "b"]));
    extensions(&world, [REMOVE_BG, DESCRIBE]);
    let mut terminal = apply(&world, &[]);
    terminal.waits_for("Type 2, the number of runs, to send it");
    terminal.types("2\n");
    terminal.ends().exits(0);
    assert_eq!(sent(&world), 2);
}

#[test]
fn without_a_person_to_ask_nothing_is_read() {
    let world = TestEnv::new(files(["a", "b"]));
    tags(&world);
    world.run("apply sheet.csv --yes --limit 1").exits(5);
    let run = world.only_run("sheet").name();
    world.write("other.csv", "fileId,tags\na,y\n");
    world.run("plan other.csv").exits(0);
    let plan = world.only_run("other").name();
    world.write("third.csv", "fileId,tags\na,y\n");
    let requests = world.sandbox.stats().requests;
    let undo = format!("undo {run}");
    for words in [
        "apply third.csv",
        "apply --direct --no-snapshot third.csv",
        &undo,
        &format!("apply --plan {plan}"),
    ] {
        world.run(words).exits(2).output_contains("--yes sends without asking");
    }
    let unread = world.command(&["apply", "-"]).input("no sheet at all").run();
    unread.exits(2).output_contains("--yes sends without asking");
    assert_eq!(world.sandbox.stats().requests, requests);
    assert!(!world.path("third.ikbulk").exists());
    assert_eq!(world.only_run("sheet").name(), run);
}

#[test]
fn where_nothing_is_to_be_sent_or_only_to_a_sandbox_nothing_is_asked() {
    let world = TestEnv::new(files(["a", "b"]));
    tags(&world);
    let mut terminal = apply(&world, &[]);
    terminal.waits_for("Send this? [y/N]");
    terminal.types("y\n");
    terminal.ends().exits(0);
    apply(&world, &[]).ends().exits(0).output_contains("2 unchanged");
    extensions(&world, [REMOVE_BG; 2]);
    apply(&world, &["--sandbox"]).ends().exits(0).output_contains("2 updated");
}
