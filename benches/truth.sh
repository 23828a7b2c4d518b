#!/usr/bin/env bash
# What ringshot says about a server in an open loop, beside what a plain blocking client sees of it:
# the median of `service`, in microseconds, in interleaved rounds on the same CPU.
#
#     benches/truth.sh ROUNDS SECONDS [PATH] [RATE]
#
# The server runs on the first CPU, the clients on the second. Needs jq. Nothing else may run
# meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5} seconds=${2:-5} path=${3:-/} rate=${4:-1000}
cargo build --release --quiet --workspace --examples
server=$(mktemp) document=$(mktemp)
target/release/bench-server --listen 127.0.0.1:0 --threads 1 --cpus 0 >"$server" &
trap 'kill %1; rm -f "$server" "$document"' EXIT
until grep -q http "$server"; do sleep 0.05; done
url=$(sed 's/.*http/http/; s,/$,,; q' "$server")
median() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }
blocking=() ringshot=() one=() slip=()
for _ in $(seq "$rounds"); do
    blocking+=("$(taskset -c 1 target/release/examples/blocking_client "${url#http://}" "$path" \
        "$rate" "$seconds" | cut -d' ' -f2)")
    target/release/ringshot -k -c 1 -t 1 --cpus 1 -R "$rate" -d "${seconds}s" --warmup 500ms \
        "$url$path" --json "$document" >/dev/null 2>&1
    one+=("$(jq .latency.service.p50_us "$document")")
    target/release/ringshot -k -t 1 --cpus 1 -R "$rate" -d "${seconds}s" --warmup 500ms \
        "$url$path" --json "$document" >/dev/null 2>&1
    ringshot+=("$(jq .latency.service.p50_us "$document")")
    slip+=("$(jq .schedule.slip.p99_us "$document")")
done
echo "blocking client, 1 connection   ${blocking[*]}"
echo "ringshot, 1 connection          ${one[*]}"
echo "ringshot, 64 connections        ${ringshot[*]}"
echo "ringshot's slip, p99            ${slip[*]}"
b=$(printf '%s\n' "${blocking[@]}" | median)
o=$(printf '%s\n' "${one[@]}" | median)
r=$(printf '%s\n' "${ringshot[@]}" | median)
awk -v b="$b" -v o="$o" -v r="$r" 'BEGIN {
    printf "medians: %s, %s, %s; ratios to the blocking client: %.2f, %.2f\n", b, o, r, o / b, r / b }'
