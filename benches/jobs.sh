#!/usr/bin/env bash
# Requests that common jobs need, the time these take at the default rate limit compared with one PATCH
# per row, and the CPU time and memory of planning.
#
#   benches/jobs.sh [FILES]
#
# Needs curl, awk, GNU time.
set -euo pipefail
cd "$(dirname "$0")/.."
files=${1:-100000}

cargo build --release --quiet
ikbulk=$PWD/target/release/ikbulk
work=$(mktemp -d)
port=8077
export IMAGE_KIT_BASE_URL=http://127.0.0.1:$port IMAGEKIT_PRIVATE_KEY=private_sandbox
export XDG_STATE_HOME=$work/state
"$ikbulk" -q sandbox --port $port --files "$files" --no-limits --no-record &
servers=($!)
trap 'kill "${servers[@]}"; rm -rf "$work"' EXIT
until curl -sf "$IMAGE_KIT_BASE_URL/__sandbox/stats" >/dev/null; do :; done
cd "$work"

fast="--yes --rate unlimited --read-rate unlimited"

# number KEY FILE: the first number with this key in a JSON file.
number() { sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p" "$2" | head -1; }

# job NAME SHEET: plans and applies a sheet; prints its requests and times.
job() {
    local name=$1 sheet=$2
    # Forget the previous run's writes, as if it had been a day ago.
    rm -rf "$XDG_STATE_HOME/ikbulk"
    local rows=$(($(wc -l <"$sheet") - 1))
    "$ikbulk" plan --json --read-rate unlimited "$sheet" >plan.json || true
    "$ikbulk" -q apply $fast --max-rejected 100% "$sheet" || true
    local summary=$(ls -t "${sheet%.csv}".ikbulk/*/summary.json | head -1)
    local reads=$(sed -n '/"snapshots"/,/}/s/.*"requests": \([0-9]*\).*/\1/p' plan.json)
    awk -v name="$name" -v rows="$rows" -v reads="$reads" \
        -v patch="$(number patch "$summary")" -v publish="$(number publish "$summary")" \
        -v add="$(number add_tags "$summary")" -v remove="$(number remove_tags "$summary")" \
        -v ai="$(number remove_ai_tags "$summary")" \
        -v read="$(number read "$summary")" 'BEGIN {
            writes = patch + publish + add + remove + ai
            seconds = writes / 4.5
            if ((reads + read) / 36 > seconds) seconds = (reads + read) / 36
            printf "%-34s %7d writes (%d PATCH, %d addTags, %d removeTags, %d removeAITags) %6d reads  %s  one PATCH per row: %s\n",
                name, writes, patch, add, remove, ai, reads + read, span(seconds), span(rows / 4.5)
        }
        function span(s) { return s < 60 ? sprintf("%d s", s + 0.5) : s < 3600 ? sprintf("%d min", s / 60 + 0.5) : sprintf("%d h %02d min", s / 3600, s % 3600 / 60) }'
}

"$ikbulk" -q export -o library.csv --columns tags,description --read-rate unlimited
awk -F, 'NR == 1 { next } { print $1 }' library.csv | grep -E '^[0-9a-f]{24}$' >ids
count=$(wc -l <ids)

# A nightly sheet of the whole library: 2 % of the files changed, half of them in one tag only.
awk 'BEGIN { print "fileId,tags,description" } { print $1 ",\"base,red\",Text " NR }' ids >before.csv
"$ikbulk" -q apply --direct --no-snapshot $fast before.csv
awk 'BEGIN { print "fileId,tags,description" }
    NR % 100 == 7 { print $1 ",\"base,red\",New text " NR; next }
    NR % 100 == 57 { print $1 ",\"base,red,delta" int(NR / 100) % 10 "\",Text " NR; next }
    { print $1 ",\"base,red\",Text " NR }' ids >nightly.csv
job "nightly sheet, 2 % changed" nightly.csv
job "same sheet again, no changes" nightly.csv

awk 'BEGIN { print "fileId,addTags" } { print $1 ",sale" }' ids >sale.csv
job "addTags=sale for everything" sale.csv

# Replaced tags: 40 pairs of an old and a new tag, Zipf-distributed; 1 % of the files do not exist.
awk 'BEGIN { print "fileId,tags"; for (k = 1; k <= 40; k++) sum += 1 / k; srand(1) }
    { at = rand() * sum; for (k = 1; k < 40 && (at -= 1 / k) > 0; k++); print $1 ",\"base,old" k "\"" }' ids >pairs.csv
"$ikbulk" -q apply --direct --no-snapshot $fast pairs.csv
awk 'NR == 1 { print; next } NR % 100 == 3 { print "missing" NR ",\"base,new\""; next } { sub(/old/, "new"); print }' pairs.csv >replaced.csv
job "tags replaced, 40 pairs" replaced.csv

# Keywords: 4 of 40 for each file, in a sheet with one row per file and in one with one row per
# keyword; then a sheet that replaces all tags.
awk 'BEGIN { srand(2) }
    { out = ""; for (n = 0; n < 4;) { k = int(rand() * 40); if (index(out, "k" k ",")) continue; out = out "k" k ","; n++ }
      print $1, substr(out, 1, length(out) - 1) }' ids >keywords
awk 'BEGIN { print "fileId,addTags" } { print $1 ",\"" $2 "\"" }' keywords >keywords.csv
job "4 of 40 keywords for each file" keywords.csv
awk 'BEGIN { print "fileId,addTags" } { n = split($2, k, ","); for (i = 1; i <= n; i++) print $1 ",word-" k[i] }' keywords >long.csv
job "same, one row per keyword" long.csv
awk 'BEGIN { print "fileId,tags" } { print $1 ",\"base," $2 "\"" }' keywords | awk 'NR > 1 { sub(/k[0-9]+,/, "") } { print }' >replaced_all.csv
job "all tags replaced by keywords" replaced_all.csv

# Replaced tags again, but 4,000 pairs: few are common, most are rare.
awk 'BEGIN { print "fileId,tags"; srand(3); for (k = 1; k <= 4000; k++) upto[k] = sum += 1 / k }
    { at = rand() * sum; low = 1; high = 4000
      while (low < high) { k = int((low + high) / 2); if (upto[k] < at) low = k + 1; else high = k }
      print $1 ",\"base,old" low "\"" }' ids >many.csv
"$ikbulk" -q apply --direct --no-snapshot $fast many.csv
sed 's/old/new/' many.csv >many_replaced.csv
job "tags replaced, 4,000 pairs" many_replaced.csv

# Eight tags, of which the files have half.
awk 'BEGIN { print "fileId,tags"; srand(4) }
    { out = "base"; for (k = 1; k <= 8; k++) if (rand() < 0.5) out = out ",c" k; print $1 ",\"" out "\"" }' ids >half.csv
"$ikbulk" -q apply --direct --no-snapshot $fast half.csv
awk 'BEGIN { print "fileId,addTags" } { print $1 ",\"c1,c2,c3,c4,c5,c6,c7,c8\"" }' ids >eight.csv
job "eight tags added, files have half" eight.csv

# A library whose files have the AI tag "car".
awk -v files="$files" 'BEGIN { for (n = 1; n <= files; n++)
    printf "{\"fileId\":\"%024x\",\"filePath\":\"/%d.jpg\",\"AITags\":[{\"name\":\"car\",\"confidence\":90,\"source\":\"google-auto-tagging\"}]}\n", n, n }' >cars.jsonl
IMAGE_KIT_BASE_URL=http://127.0.0.1:$((port + 1))
"$ikbulk" -q sandbox --port $((port + 1)) --library cars.jsonl --no-limits --no-record &
servers+=($!)
until curl -sf "$IMAGE_KIT_BASE_URL/__sandbox/stats" >/dev/null; do :; done
awk -v files="$files" 'BEGIN { print "fileId,removeAITags"; for (n = 1; n <= files; n++) printf "%024x,car\n", n }' >cars.csv
job "removeAITags=car for everything" cars.csv
IMAGE_KIT_BASE_URL=http://127.0.0.1:$port

echo
for sheet in nightly before; do
    rm -rf $sheet.ikbulk
    /usr/bin/time -f "plan of $sheet.csv ($count rows): %U s user, %S s system, %M KB" \
        "$ikbulk" -q plan --read-rate unlimited $sheet.csv
done
