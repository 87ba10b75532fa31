//! Limits of billed extensions: per run, per day, and without a person.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ikbulk_sandbox::{Config, ExtensionOutcome, Fault, Faults, Hook, Phase, Status};
use serde_json::json;

use crate::harness::{Cases, ChildHandle, TestEnv, assert_text, files, ids, script, sheet, status};

const REMOVE_BG: &str = r#""[{""name"":""remove-bg""}]""#;

/// A sheet that removes the background of these files.
fn remove_bg(ids: &[String]) -> String {
    sheet("fileId,extensions", ids.iter().map(|id| format!("{id},{REMOVE_BG}")))
}

fn env(config: Config, count: usize) -> TestEnv {
    let env = TestEnv::new(config);
    env.write("sheet.csv", remove_bg(&ids(count)));
    env
}

/// How often the sandbox ran extensions.
fn runs_of(env: &TestEnv) -> u64 {
    env.sandbox.stats().billed_runs.values().sum()
}

#[test]
fn units_of_a_run_are_not_exceeded_and_resume_sends_the_rest() {
    let env = env(files(ids(5)), 5);
    let stopped = env.apply("sheet.csv --max-units 300").exits(5);
    let stopped = stopped.output_contains("billed     2 remove-bg (260 units)");
    let stopped = stopped.output_contains(
        "the limit of 300 units per run is reached before the end; the rows beyond it are left",
    );
    let stopped = stopped.output_contains("3 × not_attempted budget (rows 4, 5, 6)");
    let stopped = stopped.output_contains("the limit of 300 units per run is reached");
    stopped.output_contains("with a higher --max-units; the recorded limit holds otherwise");
    let run = env.only_run("sheet");
    let statuses = ["updated", "updated", "not_attempted", "not_attempted", "not_attempted"];
    assert_eq!(run.statuses(), statuses);
    assert_eq!(run.row(4)["code"], "budget");
    assert_eq!(run.row(4)["message"], "the limit of 300 units per run is reached");
    assert_eq!(run.summary()["billed"], json!({"runs": {"remove-bg": 2}, "units": 260}));
    assert_eq!(runs_of(&env), 2);

    // The limit of the run holds until a flag raises it.
    let resume = format!("resume {} --yes", run.name());
    env.run(&resume).exits(5);
    assert_eq!(runs_of(&env), 2);
    env.run(&format!("{resume} --max-units 650")).exits(0);
    assert_eq!(runs_of(&env), 5);
    assert_eq!(run.count("updated"), 5);
}

#[test]
fn runs_of_an_extension_are_limited_and_others_go_on() {
    let env = TestEnv::new(files(["a", "b", "c"]));
    env.write(
        "sheet.csv",
        format!("fileId,addTags,extensions\na,,{REMOVE_BG}\nb,,{REMOVE_BG}\nc,x,\n"),
    );
    env.apply("sheet.csv --max-extension-runs remove-bg=1").exits(5);
    let run = env.only_run("sheet");
    assert_eq!(run.statuses(), ["updated", "not_attempted", "updated"]);
    assert_eq!(runs_of(&env), 1);
}

#[test]
fn later_rows_of_a_file_wait_for_the_row_over_the_limit() {
    let env = TestEnv::new(files(["a", "b"]));
    env.write(
        "sheet.csv",
        format!("fileId,description,extensions\na,,{REMOVE_BG}\nb,old,{REMOVE_BG}\nb,new,\n"),
    );
    env.apply_direct("sheet.csv --max-units 130").exits(5);
    let run = env.only_run("sheet");
    assert_eq!(run.statuses(), ["updated", "not_attempted", "not_attempted"]);
    assert_eq!(run.row(4)["code"], "budget");
    env.run(&format!("resume {} --yes --max-units 260", run.name())).exits(0);
    assert_eq!(env.file("b")["description"], "new");
}

#[test]
fn a_day_counts_all_runs_of_the_account() {
    let env = env(files(ids(4)), 4);
    env.write("first.csv", remove_bg(&ids(1)));
    env.apply("first.csv").exits(0);
    env.apply("sheet.csv --max-units-per-day 260").exits(5);
    let statuses = ["unchanged", "updated", "not_attempted", "not_attempted"];
    assert_eq!(env.only_run("sheet").statuses(), statuses);
    assert_eq!(runs_of(&env), 2);
}

#[test]
fn unknown_runs_count_as_spent() {
    // One request to connect, three files to plan, the snapshot, and then the billed request.
    let env = env(script(vec![(5, Fault::ResetAfter)], files(ids(3))), 3);
    env.apply("sheet.csv --max-units 260 --concurrency 1").exits(6);
    let run = env.only_run("sheet");
    assert_eq!(run.count("unknown"), 1);
    assert_eq!(run.count("not_attempted"), 1);
    assert_eq!(runs_of(&env), 2);
}

#[test]
fn without_a_person_more_units_need_a_limit() {
    let env = env(files(ids(8)), 8);
    let refused = env.apply("sheet.csv").exits(2);
    refused.output_contains("billed extensions for 1,040 units without a confirmation");
    assert_eq!(runs_of(&env), 0);
    env.apply("sheet.csv --max-units 130").exits(5);
    assert_eq!(runs_of(&env), 1);
}

#[test]
fn units_of_unknown_price_need_the_price() {
    let env = TestEnv::new(files(["a", "b"]));
    let describe = r#""[{""name"":""ai-auto-description""}]""#;
    env.write("sheet.csv", format!("fileId,extensions\na,{describe}\nb,{describe}\n"));
    let refused = env.apply("sheet.csv --max-units 5").exits(2);
    refused.output_contains("pass --price ai-auto-description=UNITS");
    env.apply("sheet.csv --max-units 5 --price ai-auto-description=3").exits(5);
    assert_eq!(runs_of(&env), 1);
}

#[test]
fn numbers_for_extensions_that_mean_nothing_are_refused() {
    let env = env(files(ids(3)), 3);
    let mut cases = Cases::default();
    for flag in [
        "--price remove-bg=1",
        "--price ai-tasks=9223372036854775808",
        "--max-extension-runs saved-extension=1",
    ] {
        cases.add(flag, env.apply(&format!("sheet.csv {flag}")).exits(2));
    }
    assert_text!(cases);
    env.apply("sheet.csv --price remove-bg=130 --max-units 130").exits(5);
    assert_eq!(runs_of(&env), 1);
}

#[test]
fn retry_keeps_the_limits_of_the_run() {
    let failing = ExtensionOutcome::Always(Status::Failed);
    let env = env(Config { extensions: failing, ..files(ids(3)) }, 3);
    env.apply("sheet.csv --max-units-per-day 400").exits(1);
    assert_eq!(runs_of(&env), 3);
    let run = env.only_run("sheet").name();
    env.run(&format!("retry {run} --yes")).exits(5).output_contains("400 units per day");
    assert_eq!(runs_of(&env), 3);
}

#[test]
fn lost_runs_stay_spent_whatever_becomes_of_the_rest_of_their_row() {
    // The first PATCH runs its extension, and its response is lost; then the rest of the row is refused.
    for rest in [status(429, "Slow."), status(400, "No.")] {
        let config = files(ids(3));
        let env = TestEnv::new(script(vec![(5, Fault::ResetAfter), (7, rest)], config));
        let rows = ids(3).into_iter().map(|id| format!("{id},{REMOVE_BG},Text"));
        env.write("sheet.csv", sheet("fileId,extensions,description", rows));
        env.apply("sheet.csv --max-units 130 --concurrency 1").exits(6);
        assert_eq!(runs_of(&env), 1, "130 units are one run");
        let summary = env.only_run("sheet").summary();
        assert_eq!(summary["billed"], json!({"runs": {"remove-bg": 1}, "units": 130}));
    }
}

/// Files of a seeded run.
const FILES: u64 = 24;

/// One run with faults at every point, concurrency 64, killed at chosen requests and resumed: never
/// more runs of the extension than allowed.
fn seeded_run(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let allowed = rng.u64(1..=FILES);
    let faults =
        [Fault::ResetBefore, Fault::ResetAfter, status(503, "Down."), status(429, "Slow.")];
    let random = faults.into_iter().map(|fault| (fault, 0.04)).collect();
    let (victim, kill_at) = (ChildHandle::default(), Arc::new(AtomicU64::new(0)));
    let (killed, at) = (victim.clone(), Arc::clone(&kill_at));
    let phase = if rng.bool() { Phase::Arrived } else { Phase::Processed };
    let hook = Hook::new(move |event| {
        if event.n == at.load(Ordering::SeqCst) && event.phase == phase {
            killed.kill();
        }
    });
    let config = files(ids(usize::try_from(FILES).expect("it fits")));
    let faults = Faults { random, seed, ..Faults::default() };
    let env = env(Config { hook: Some(hook), faults, ..config }, 24);
    if rng.bool() {
        // What remains of a lost request is sent without its extension.
        let rows = ids(24).into_iter().map(|id| format!("{id},{REMOVE_BG},Text"));
        env.write("sheet.csv", sheet("fileId,extensions,description", rows));
    }
    // A run of remove-bg costs 130 units; what is left of them is too little for another.
    let limit = if rng.bool() {
        ["--max-units".to_owned(), (allowed * 130 + rng.u64(..130)).to_string()]
    } else {
        ["--max-extension-runs".to_owned(), format!("remove-bg={allowed}")]
    };
    let flags = ["--yes", "--concurrency", "64", "--rate", "unlimited", "--read-rate", "unlimited"];
    let first = ["apply", "sheet.csv", &limit[0], &limit[1]];
    kill_at.store(rng.u64(2..FILES * 3), Ordering::SeqCst);
    env.command(&[&first[..], &flags].concat()).run_as(&victim);
    for is_last in [false, false, true] {
        // The run may have been killed before it began, and its directory removed.
        let runs = env.runs("sheet");
        let kill = env.sandbox.stats().requests + rng.u64(1..FILES * 2);
        kill_at.store(if is_last { 0 } else { kill }, Ordering::SeqCst);
        let name = runs.first().map(crate::harness::RunFiles::name).unwrap_or_default();
        let again = if runs.is_empty() { &first[..] } else { &["resume", &name] };
        env.command(&[again, &flags].concat()).run_as(&victim);
        let ran = runs_of(&env);
        assert!(ran <= allowed, "seed {seed}: {ran} runs, {allowed} allowed");
    }
    assert!(env.sandbox.stats().max_billed_runs_per_pair <= 1, "seed {seed}");
}

#[test]
fn limits_hold_with_faults_kills_and_resumes() {
    for seed in 0..6 {
        seeded_run(seed);
    }
}

#[test]
#[ignore = "it takes minutes; `just slow` runs it"]
fn limits_hold_in_1000_seeded_runs() {
    // Most of the time of a run is its backoff.
    const THREADS: usize = 8;
    std::thread::scope(|scope| {
        for first in 0..THREADS {
            scope.spawn(move || (0..1000).skip(first).step_by(THREADS).for_each(seeded_run));
        }
    });
}
