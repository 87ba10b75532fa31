#!/usr/bin/env bash
# CPU time and memory of reading a workbook: `ikbulk check`, compared with calamine's own loop over the
# cells in benches/yardstick.rs. The runs are interleaved. Prints medians, and the ratios of the medians
# and of the minima: other programs on the machine only add to the time of a run.
#
#   benches/workbook.sh [ROWS] [RUNS]
#
# Needs Linux, GNU time, awk.
set -euo pipefail
cd "$(dirname "$0")/.."
rows=${1:-200000}
runs=${2:-5}

cargo build --release --quiet
yardstick=$(cargo bench --no-run --bench yardstick 2>&1 | sed -n 's/.*(\(.*yardstick-[0-9a-f]*\)).*/\1/p')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TMPDIR=$work XDG_STATE_HOME=$work/state

"$yardstick" "$work/sheet.xlsx" write "$rows"

# measure NAME COMMAND…: appends user and system CPU seconds and peak memory in KB to $work/NAME.
measure() {
    local name=$1
    shift
    /usr/bin/time -a -o "$work/$name" -f "%U %S %M" "$@" >/dev/null
}

for ((run = 0; run < runs; run++)); do
    measure calamine "$yardstick" "$work/sheet.xlsx" read
    measure check target/release/ikbulk -q check --no-schema "$work/sheet.xlsx"
done

median() { awk "{ print $2 }" "$work/$1" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
for name in calamine check; do
    awk -v n=$name -v u="$(median $name '$1')" -v s="$(median $name '$2')" -v r="$rows" -v m="$(median $name '$3')" \
        'BEGIN { printf "%-10s %6.2f s user  %6.2f s system  %6.2f µs/row  %6.1f MB\n", n, u, s, (u + s) * 1e6 / r, m / 1024 }'
done
minimum() { awk '{ print $1 }' "$work/$1" | sort -g | head -1; }
awk -v a="$(median check '$1')" -v b="$(median calamine '$1')" -v c="$(minimum check)" -v d="$(minimum calamine)" \
    'BEGIN { printf "check / calamine, user  %5.2f by medians, %5.2f by minima\n", a / b, c / d }'
