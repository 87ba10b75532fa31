# The commands of everyday work. `just` without a name lists them.

_list:
    @just --list

# the main job on a fixture, against the built-in sandbox
demo:
    cargo run --release -- apply fixtures/retag.csv --sandbox

# all tests
test:
    cargo test

# a thousand kills, chosen by a seed, in every state that a step can be in (Linux; minutes)
crash seed="1":
    CRASH_SEED={{seed}} cargo test --test crash -- --ignored --nocapture

# two thousand kills in every mode, chosen by a seed, against a server of its own (Linux; minutes)
attack seed="1":
    ATTACK_SEED={{seed}} cargo test --test attack -- --ignored --nocapture two_thousand_random_kills

# ten minutes of any bytes for a reader (csv, jsonl) or as answers (needs nightly and cargo-fuzz)
fuzz target seconds="600":
    TMPDIR=/dev/shm cargo +nightly fuzz run -s none {{target}} -- -max_total_time={{seconds}}

# the tests that take too long for every day (minutes)
slow:
    cargo test --release --test apply -- --ignored

# what CI runs
ci:
    .ci/run

# CPU and memory against the plain program, a server on its own core (Linux, 2 cores)
bench rows="100000" pairs="5":
    benches/cost.sh {{rows}} {{pairs}}

# usual jobs: requests, counted, and what planning costs
jobs files="100000":
    benches/jobs.sh {{files}}

# the run at a limit of 500 writes a second against the ideal time
limit:
    benches/limit.sh

# licences, advisories and duplicate dependencies (needs cargo-deny)
deny:
    cargo deny check
