//! Signals before the first write, and a terminal that is closed.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::time::Duration;

use ikbulk_sandbox::{Config, Fault, Hook, Phase};
use serde_json::json;

use crate::harness::{ChildHandle, CmdResult, TestEnv, assert_text, files, script, tagged};

const SIGNALS: [(&str, i32); 3] = [("INT", 130), ("TERM", 143), ("HUP", 129)];

/// A sandbox that sends a signal at the n-th request and never responds to that request.
fn env_signalled_at(n: u64, name: &'static str) -> (TestEnv, ChildHandle) {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        if event.n == n && event.phase == Phase::Arrived {
            hand.signal(name);
        }
    });
    let never = Fault::HangBefore(Duration::from_mins(10));
    let config = Config { hook: Some(hook), ..files(["a", "b"]) };
    let env = TestEnv::new(script(vec![(n, never)], config));
    env.write("sheet.csv", "fileId,customMetadata.brand\na,Acme\nb,Acme\n");
    (env, victim)
}

fn run_as(env: &TestEnv, victim: &ChildHandle, words: &str) -> CmdResult {
    env.command(&words.split_whitespace().collect::<Vec<_>>()).run_as(victim)
}

#[test]
fn signal_before_first_write_creates_no_run() {
    for (name, code) in SIGNALS {
        for (words, n) in [
            ("apply sheet.csv --yes", 1),
            ("apply sheet.csv --yes", 2),
            ("apply --direct --no-snapshot sheet.csv --yes", 1),
            ("plan sheet.csv", 2),
            ("check sheet.csv", 1),
        ] {
            let (env, victim) = env_signalled_at(n, name);
            let done = run_as(&env, &victim, words).exits(code);
            assert_text!("signal_before_first_write", done.err);
            assert_eq!(env.sandbox.stats().calls.patch, 0, "{words}");
            assert!(!env.path("sheet.ikbulk").exists(), "{words}");
        }
    }
}

#[test]
fn signal_while_undo_reads_creates_no_run() {
    let apply = |env: &TestEnv| env.run("apply sheet.csv --yes --rate unlimited").exits(0);
    let (undisturbed, _) = env_signalled_at(u64::MAX, "INT");
    apply(&undisturbed);
    let requests = undisturbed.sandbox.stats().requests;
    for (name, code) in SIGNALS {
        let (env, victim) = env_signalled_at(requests + 1, name);
        apply(&env);
        let run = env.only_run("sheet").name();
        let done = run_as(&env, &victim, &format!("undo {run} --yes")).exits(code);
        assert_text!("signal_before_first_write", done.err);
        assert_eq!(env.only_run("sheet").name(), run);
        assert_eq!(env.file("a")["customMetadata"]["brand"], json!("Acme"));
    }
}

#[test]
fn signal_at_confirmation_sends_nothing() {
    for (name, code) in SIGNALS {
        let env = TestEnv::new(files(["a"]));
        env.write("sheet.csv", "fileId,tags\na,x\n");
        let terminal = env.command(&["apply", "sheet.csv"]).on_terminal();
        terminal.waits_for("[y/N]");
        terminal.signal(name);
        terminal.ends().exits(code);
        assert_eq!(env.sandbox.stats().calls.patch, 0);
        assert!(!env.path("sheet.ikbulk").exists());
    }
}

#[test]
fn signal_while_reading_stdin_exits() {
    let env = TestEnv::new(files(["a"]));
    let (theirs, mut ours) = std::io::pipe().expect("a pipe can be made");
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let sender = std::thread::spawn(move || {
        // More than a pipe holds, so that the program has started to read when all is written.
        let rows = format!("fileId,tags\n{}", "a,x\n".repeat(100_000));
        ours.write_all(rows.as_bytes()).expect("the program reads");
        hand.signal("TERM");
        ours
    });
    let input = File::from(OwnedFd::from(theirs));
    let call = env.command(&["apply", "-", "--yes"]).input_file(input);
    assert_text!("signal_before_first_write", call.run_as(&victim).exits(143).err);
    drop(sender.join().expect("the signal was sent"));
    assert!(!env.path("state/ikbulk/stdin.ikbulk").exists());
}

#[test]
fn run_survives_hangup_under_nohup() {
    let victim = ChildHandle::default();
    let hand = victim.clone();
    let hook = Hook::new(move |event| {
        if event.method != "GET" && event.phase == Phase::Arrived {
            hand.signal("HUP");
        }
    });
    let env = tagged(5, |config| Config { hook: Some(hook), ..config });
    let words = ["apply", "sheet.csv", "--yes", "--rate", "unlimited"];
    env.command_after("trap '' HUP", &words).run_as(&victim).exits(0);
    assert_eq!(env.only_run("sheet").count("updated"), 5);
}
