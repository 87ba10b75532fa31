#!/usr/bin/env bash
# CPU time and memory per row: `ikbulk apply` with all features, compared with the plain program in
# benches/yardstick.rs. Server and client are pinned to one core each, and the runs are interleaved.
# Prints medians and ratios of medians.
#
#   benches/cost.sh [ROWS] [RUNS]
#
# Needs Linux with two cores, GNU time, curl, awk.
set -euo pipefail
cd "$(dirname "$0")/.."
rows=${1:-100000}
runs=${2:-5}

cargo build --release --quiet
yardstick=$(cargo bench --no-run --bench yardstick 2>&1 | sed -n 's/.*(\(.*yardstick-[0-9a-f]*\)).*/\1/p')
ikbulk=target/release/ikbulk
work=$(mktemp -d)
port=8078
export IMAGE_KIT_BASE_URL=http://127.0.0.1:$port IMAGEKIT_PRIVATE_KEY=private_sandbox
export XDG_STATE_HOME=$work/state

taskset -c 1 "$ikbulk" -q sandbox --port $port --files "$rows" --no-limits --no-record &
server=$!
trap 'kill $server; rm -rf "$work"' EXIT
until curl -sf "$IMAGE_KIT_BASE_URL/__sandbox/stats" >/dev/null; do :; done

echo "fileId,tags,description" >"$work/rows.csv"
for ((skip = 0; skip < rows; skip += 1000)); do
    curl -sf -u $IMAGEKIT_PRIVATE_KEY: "$IMAGE_KIT_BASE_URL/v1/files?limit=1000&skip=$skip"
done | grep -o '"fileId":"[^"]*"' | cut -d'"' -f4 |
    awk '{ print $1 ",\"red,sale,summer\",A product description " NR }' >>"$work/rows.csv"

# measure NAME COMMAND…: appends user and system CPU seconds and peak memory in KB to $work/NAME.
measure() {
    local name=$1
    shift
    /usr/bin/time -a -o "$work/$name" -f "%U %S %M" taskset -c 0 "$@" >/dev/null
}

for ((run = 0; run < runs; run++)); do
    measure plain_current_thread "$yardstick" "$work/rows.csv" $IMAGE_KIT_BASE_URL current_thread
    measure ikbulk "$ikbulk" -q apply --direct --no-snapshot --yes --rate unlimited --read-rate unlimited "$work/rows.csv"
    measure plain_multi_thread "$yardstick" "$work/rows.csv" $IMAGE_KIT_BASE_URL multi_thread
    rm -rf "$work/rows.ikbulk"
done

median() { awk "{ print $2 }" "$work/$1" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
for name in plain_current_thread plain_multi_thread ikbulk; do
    cpu=$(median $name '$1 + $2')
    memory=$(median $name '$3')
    awk -v n=$name -v c="$cpu" -v r="$rows" -v m="$memory" \
        'BEGIN { printf "%-22s %7.2f s CPU  %6.2f µs/row  %6.1f MB\n", n, c, c * 1e6 / r, m / 1024 }'
done
ratio() { awk -v a="$(median "$1" '$1 + $2')" -v b="$(median "$2" '$1 + $2')" -v n="$1 / $2" 'BEGIN { printf "%-32s %5.2f\n", n, a / b }'; }
ratio ikbulk plain_current_thread
ratio ikbulk plain_multi_thread
