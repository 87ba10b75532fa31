#!/usr/bin/env bash
# How close a run gets to the rate limit: 10,000 rows at a sandbox limit of 500 writes/s, burst 500,
# with no share left to other clients. The ideal time is (rows - burst) / rate.
#
#   benches/limit.sh [ROWS] [RATE]
#
# Needs curl and awk.
set -euo pipefail
cd "$(dirname "$0")/.."
rows=${1:-10000}
rate=${2:-500}

cargo build --release --quiet
ikbulk=target/release/ikbulk
work=$(mktemp -d)
port=8079
export IMAGE_KIT_BASE_URL=http://127.0.0.1:$port IMAGEKIT_PRIVATE_KEY=private_sandbox
export XDG_STATE_HOME=$work/state

"$ikbulk" -q sandbox --port $port --files "$rows" --rate "$rate" --burst "$rate" --no-record &
server=$!
trap 'kill $server; rm -rf "$work"' EXIT
until curl -sf "$IMAGE_KIT_BASE_URL/__sandbox/stats" >/dev/null; do :; done

echo "fileId,tags" >"$work/rows.csv"
for ((skip = 0; skip < rows; skip += 1000)); do
    curl -sf --retry 9 --retry-all-errors --retry-delay 1 -u $IMAGEKIT_PRIVATE_KEY: \
        "$IMAGE_KIT_BASE_URL/v1/files?limit=1000&skip=$skip"
done | grep -o '"fileId":"[^"]*"' | cut -d'"' -f4 | awk '{ print $1 ",\"red,sale\"" }' >>"$work/rows.csv"

began=$(date +%s.%N)
"$ikbulk" -q apply --direct --yes --rate "$rate" --burst "$rate" --leave 0 "$work/rows.csv"
ended=$(date +%s.%N)
grep -E '"(updated|throttled)"' "$work"/rows.ikbulk/*/summary.json
awk -v a="$began" -v b="$ended" -v n="$rows" -v r="$rate" \
    'BEGIN { ideal = (n - r) / r; printf "%.2f s, ideal %.2f s: %.3f times the ideal\n", b - a, ideal, (b - a) / ideal }'
