# Everyday commands. `just` without arguments lists them.

_list:
    @just --list

# the main job on a fixture, against the built-in sandbox
demo:
    cargo run --release -- apply fixtures/retag.csv --sandbox

# all tests
test:
    cargo test

# 1,000 kills, chosen by a seed, in every state of a step (Linux; minutes)
crash seed="1":
    CRASH_SEED={{seed}} cargo test --test crash -- --ignored --nocapture

# 2,000 kills of every command, chosen by a seed, against an independent server (Linux; minutes)
attack seed="1":
    ATTACK_SEED={{seed}} cargo test --test attack -- --ignored --nocapture two_thousand_random_kills

# fuzz a reader (csv, jsonl, xlsx) or the response parser (answers); needs nightly and cargo-fuzz
fuzz target seconds="600":
    TMPDIR=/dev/shm cargo +nightly fuzz run -s none {{target}} -- -max_total_time={{seconds}}

# the slow tests, ignored by default (minutes)
slow:
    cargo test --release --test apply -- --ignored --skip libreoffice

# the laws that compare the default planner with the direct one, with many cases (minutes)
laws cases="1000":
    LAW_CASES={{cases}} cargo test --release --lib planner_equivalence

# what CI runs
ci:
    .ci/run

# CPU and memory per row, compared with a plain loop (Linux, 2 cores)
bench rows="100000" pairs="5":
    benches/cost.sh {{rows}} {{pairs}}

# CPU of `check`, compared with the csv crate's serde loop
bench-check rows="100000" samples="5":
    benches/check.sh {{rows}} {{samples}}

# CPU and memory of reading a workbook, compared with calamine's own loop
bench-workbook rows="200000" runs="5":
    benches/workbook.sh {{rows}} {{runs}}

# requests and times of common jobs, and the cost of planning
jobs files="100000":
    benches/jobs.sh {{files}}

# time of a run at a limit of 500 writes/s, compared with the ideal
limit:
    benches/limit.sh

# licences, advisories and duplicate dependencies (needs cargo-deny)
deny:
    cargo deny check
