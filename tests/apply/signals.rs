//! Signals before anything is sent, and a terminal that goes away.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::time::Duration;

use ikbulk::sandbox::{Config, Fault, Hook, Phase};
use serde_json::json;

use crate::harness::{ChildHandle, CmdResult, TestEnv, files, script, tagged};

const SIGNALS: [(&str, i32); 3] = [("INT", 130), ("TERM", 143), ("HUP", 129)];

/// A library whose n-th request brings a signal and no answer.
fn world(n: u64, name: &'static str) -> (TestEnv, ChildHandle) {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        if event.n == n && event.phase == Phase::Arrived {
            hand.signal(name);
        }
    });
    let never = Fault::HangBefore(Duration::from_mins(10));
    let config = Config { hook: Some(hook), ..files(["a", "b"]) };
    let world = TestEnv::new(script(vec![(n, never)], config));
    world.write("sheet.csv", "fileId,customMetadata.brand\na,Acme\nb,Acme\n");
    (world, victim)
}

fn run_as(world: &TestEnv, victim: &ChildHandle, words: &str) -> CmdResult {
    world.command(&words.split_whitespace().collect::<Vec<_>>()).run_as(victim)
}

#[test]
fn a_signal_while_a_sheet_is_read_sends_nothing_and_leaves_no_run_behind() {
    for (name, code) in SIGNALS {
        for (words, n) in [
            ("apply sheet.csv --yes", 1),
            ("apply sheet.csv --yes", 2),
            ("apply --direct --no-snapshot sheet.csv --yes", 1),
            ("plan sheet.csv", 2),
            ("check sheet.csv", 1),
        ] {
            let (world, victim) = world(n, name);
            let done = run_as(&world, &victim, words).exits(code);
            done.output_contains("stopped by a signal; nothing was sent");
            assert_eq!(world.sandbox.stats().calls.patch, 0, "{words}");
            assert!(!world.path("sheet.ikbulk").exists(), "{words}");
        }
    }
}

#[test]
fn a_signal_while_the_files_of_a_run_are_read_to_undo_it_leaves_it_as_it_is() {
    let apply = |world: &TestEnv| world.run("apply sheet.csv --yes --rate unlimited").exits(0);
    let (undisturbed, _) = world(u64::MAX, "INT");
    apply(&undisturbed);
    let requests = undisturbed.sandbox.stats().requests;
    for (name, code) in SIGNALS {
        let (world, victim) = world(requests + 1, name);
        apply(&world);
        let run = world.only_run("sheet").name();
        let done = run_as(&world, &victim, &format!("undo {run} --yes")).exits(code);
        done.output_contains("stopped by a signal; nothing was sent");
        assert_eq!(world.only_run("sheet").name(), run);
        assert_eq!(world.file("a")["customMetadata"]["brand"], json!("Acme"));
    }
}

#[test]
fn a_signal_at_a_question_is_a_no() {
    for (name, code) in SIGNALS {
        let world = TestEnv::new(files(["a"]));
        world.write("sheet.csv", "fileId,tags\na,x\n");
        let terminal = world.command(&["apply", "sheet.csv"]).on_terminal();
        terminal.waits_for("Send this? [y/N]");
        terminal.signal(name);
        terminal.ends().exits(code).output_contains("stopped by a signal; nothing was sent");
        assert!(!world.path("sheet.ikbulk").exists());
    }
}

#[test]
fn a_signal_while_standard_input_is_awaited_ends_that() {
    let world = TestEnv::new(files(["a"]));
    let (theirs, mut ours) = std::io::pipe().expect("a pipe can be made");
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let sender = std::thread::spawn(move || {
        // More than a pipe holds, so that the program has read of it when all is written.
        let rows = format!("fileId,tags\n{}", "a,x\n".repeat(100_000));
        ours.write_all(rows.as_bytes()).expect("the program reads");
        hand.signal("TERM");
        ours
    });
    let input = File::from(OwnedFd::from(theirs));
    let call =
        world.command(&["apply", "--direct", "--no-snapshot", "-", "--yes"]).input_file(input);
    call.run_as(&victim).exits(143).output_contains("stopped by a signal; nothing was sent");
    drop(sender.join().expect("the signal was sent"));
    assert!(!world.path("state/ikbulk/stdin.ikbulk").exists());
}

#[test]
fn under_nohup_a_run_survives_its_terminal() {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        if event.n == 2 && event.phase == Phase::Arrived {
            hand.signal("HUP");
        }
    });
    let world = tagged(5, |config| Config { hook: Some(hook), ..config });
    let words = ["apply", "--direct", "--no-snapshot", "sheet.csv", "--yes", "--rate", "unlimited"];
    world
        .command_after("trap '' HUP", &words)
        .run_as(&victim)
        .exits(0)
        .output_contains("5 updated");
}
