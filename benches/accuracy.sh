#!/usr/bin/env bash
# How far latencies can be believed: ringshot, wrk and oha against servers of which it is known how
# long they take. The tables of docs/accuracy.md come from here.
#
#     benches/accuracy.sh [ROUNDS] [SECONDS]
#
# The server runs on the first CPU, the clients on the second. Needs jq, curl and wrk; OHA=path to
# oha, else the one on the PATH. Medians over the rounds. Nothing else may run meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3} seconds=${2:-5} oha=${OHA:-oha}
cargo build --release --quiet --workspace --bins
scratch=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null; rm -rf "$scratch"' EXIT

start() {
    : >"$scratch/server"
    target/release/bench-server --listen 127.0.0.1:0 --threads 1 --cpus 0 >"$scratch/server" &
    server=$!
    until grep -q http "$scratch/server"; do sleep 0.05; done
    url=$(sed 's/.*http/http/; s,/$,,; q' "$scratch/server")
}
stop() { kill "$server"; wait "$server" 2>/dev/null || true; }

# Each prints p50, p90, p99 and max in milliseconds, one latency a line, its name before it.
latencies='[.p50_us, .p90_us, .p99_us, .max_us] | map(. / 1000 | tostring) | join(" ")'
ringshot() {
    taskset -c 1 target/release/ringshot --cpus 1 -t 1 "$@" --json "$scratch/out" >/dev/null 2>&1
    for latency in service total uncorrected; do
        jq -r --arg name "$latency" ".latency[\$name] // empty | \"ringshot,\" + \$name + \" \" + ($latencies)" \
            "$scratch/out"
    done
}
oha() {
    local name=$1
    shift
    taskset -c 1 "$oha" --no-tui --output-format json "$@" >"$scratch/out" 2>/dev/null
    jq -r --arg name "$name" '.latencyPercentiles as $p | $name + " "
        + ([$p.p50, $p.p90, $p.p99, .summary.slowest] | map(. * 1000 | tostring) | join(" "))' "$scratch/out"
}
wrk() {
    taskset -c 1 wrk -t 1 --latency "$@" >"$scratch/out"
    awk 'function ms(t) { return t ~ /us$/ ? t / 1000 : t ~ /ms$/ ? t + 0 : t * 1000 }
        $1 == "Latency" && $4 ~ /s$/ { max = ms($4) }
        $1 == "50%" { a = ms($2) } $1 == "90%" { b = ms($2) } $1 == "99%" { c = ms($2) }
        END { print "wrk", a, b, c, max }' "$scratch/out"
}
record() {
    curl -s "$url/stats" | jq -r ".delays | \"the server itself \" + ($latencies)" | sed 's/r i/r_i/; s/e s/e_s/'
}

# Medians over the rounds of each column, for each name, in the order of appearance.
table() {
    echo "| what | p50 | p90 | p99 | max |"
    echo "|---|---|---|---|---|"
    awk '{ if (!($1 in n)) order[++names] = $1
           n[$1]++; for (i = 2; i <= 5; i++) v[$1, i, n[$1]] = $i + 0 }
        function median(name, i,   k, m, x, j, t, s) {
            m = n[name]; for (k = 1; k <= m; k++) s[k] = v[name, i, k]
            for (k = 1; k <= m; k++) for (j = k + 1; j <= m; j++)
                if (s[j] < s[k]) { t = s[k]; s[k] = s[j]; s[j] = t }
            return s[int((m + 1) / 2)]
        }
        END { for (k = 1; k <= names; k++) {
            name = order[k]; shown = name; gsub("_", " ", shown); gsub(",", " ", shown)
            printf "| %s |", shown
            for (i = 2; i <= 5; i++) printf " %.3f |", median(name, i)
            print "" } }'
}


echo "== 20% of the answers after 50 ms, the others after 5 ms; 64 kept connections; in ms"
for _ in $(seq "$rounds"); do
    start
    ringshot -k -d "${seconds}s" "$url/mix/5/50/20" | grep -v total
    wrk -c 64 -d "$seconds" "$url/mix/5/50/20"
    oha oha -c 64 -z "${seconds}s" "$url/mix/5/50/20"
    record
    stop
done | table

echo "== the same, a new connection for every request"
for _ in $(seq "$rounds"); do
    start
    ringshot -d "${seconds}s" "$url/mix/5/50/20"
    wrk -c 64 -d "$seconds" -H 'Connection: close' "$url/mix/5/50/20"
    oha oha -c 64 -z "${seconds}s" --disable-keepalive "$url/mix/5/50/20"
    record
    stop
done | table

# A server that is stopped for a second, two seconds after the client began.
stalled() {
    start
    (sleep 2; kill -STOP "$server"; sleep 1; kill -CONT "$server") &
    "$@"
    wait $!
    stop
}
echo "== 200 requests/s for 5 s over 4 kept connections, server stopped for 1 s: by arithmetic"
echo "== p50 as without, p90 500, p99 950, max 1000; in ms"
for _ in $(seq "$rounds"); do
    stalled eval 'ringshot -k -c 4 -R 200 -d 5s "$url/"'
    stalled eval 'oha oha -c 4 -q 200 -z 5s "$url/"'
    stalled eval 'oha oha_--latency-correction -c 4 -q 200 -z 5s --latency-correction "$url/"'
    stalled eval 'wrk -c 4 -d 5 "$url/"'
done | table

echo "== 1000 requests/s over 64 kept connections to an idle server, which answers at once; in ms"
for _ in $(seq "$rounds"); do
    start
    ringshot -k -R 1000 --warmup 500ms -d "${seconds}s" "$url/"
    oha oha_--latency-correction -c 64 -q 1000 -z "${seconds}s" --latency-correction "$url/"
    stop
done | table
