#!/usr/bin/env bash
# CPU time of `ikbulk check`, compared with the csv crate's serde loop over the same sheet
# (benches/yardstick.rs). One run takes milliseconds, so each sample is the sum of ten; samples are
# interleaved. Prints medians and the ratio of medians. Other binaries, such as that of an earlier
# commit, are measured with the same sheet:
#
#   benches/check.sh [ROWS] [SAMPLES] [BINARY…]
#
# Needs bash, awk.
set -euo pipefail
cd "$(dirname "$0")/.."
rows=${1:-100000}
samples=${2:-5}
shift $(($# < 2 ? $# : 2))

cargo build --release --quiet
yardstick=$(cargo bench --no-run --bench yardstick 2>&1 | sed -n 's/.*(\(.*yardstick-[0-9a-f]*\)).*/\1/p')
binaries=(target/release/ikbulk "$@")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_STATE_HOME=$work/state
awk -v rows="$rows" 'BEGIN {
    print "fileId,tags,description"
    srand(1)
    for (n = 1; n <= rows; n++)
        printf "%08x%08x%08x,\"red,sale,summer\",A product description %d\n", n, rand() * 2 ^ 31, rand() * 2 ^ 31, n
}' >"$work/rows.csv"

# sample NAME COMMAND…: appends the CPU milliseconds of one run to $work/NAME.
TIMEFORMAT='%3U %3S'
sample() {
    local name=$1
    shift
    { time for ((run = 0; run < 10; run++)); do "$@" >/dev/null; done; } 2>&1 |
        awk '{ print ($1 + $2) * 100 }' >>"$work/$name"
}

for ((taken = 0; taken < samples; taken++)); do
    sample serde_loop "$yardstick" "$work/rows.csv" read
    for number in "${!binaries[@]}"; do
        sample "check$number" "${binaries[number]}" -q check "$work/rows.csv"
    done
done

median() { sort -g "$work/$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
loop=$(median serde_loop)
echo "$rows rows: serde loop $loop ms"
for number in "${!binaries[@]}"; do
    awk -v a="$(median "check$number")" -v b="$loop" -v n="${binaries[number]}" \
        'BEGIN { printf "check %.1f ms, %.1f × the loop  (%s)\n", a, a / b, n }'
done
