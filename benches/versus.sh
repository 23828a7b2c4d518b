#!/usr/bin/env bash
# ringshot against wrk, over io_uring and over epoll: the same server, the same connections, one
# client CPU, interleaved rounds. Prints, for each mode, the medians over the rounds of the whole
# process's CPU time per request, the median and the range of the ratio to wrk within a round, and
# the same of io_uring to epoll, which is the same program but for its driver.
#
#   benches/versus.sh [ROUNDS] [SECONDS]        starts bench-server on CPU 0, clients on CPU 1
#   URL=http://... benches/versus.sh ...        measures another server, which you have pinned
#
# Needs wrk. Nothing else should run on the box meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-7} seconds=${2:-3}
cargo build --release --workspace --bins --quiet
ringshot=target/release/ringshot
scratch=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null; rm -rf "$scratch"' EXIT

if [ -z "${URL:-}" ]; then
    target/release/bench-server --listen 127.0.0.1:18080 --threads 1 --cpus 0 >/dev/null &
    server=$!
    URL=http://127.0.0.1:18080/
    sleep 0.5
fi
cat >"$scratch/pipeline.lua" <<'LUA'
init = function() local r = {} for i = 1, 16 do r[i] = wrk.format() end batch = table.concat(r) end
request = function() return batch end
LUA

# name, then a command: appends "name user_s sys_s requests" to the table
TIMEFORMAT='%U %S'
measure() {
    local name=$1 times requests
    shift
    times=$({ time "$@" >"$scratch/out" 2>"$scratch/err"; } 2>&1)
    if [[ $1 == taskset ]]; then
        requests=$(sed -n 's/^ *\([0-9]*\) requests in .*/\1/p' "$scratch/out")
    else
        requests=$(sed -n 's/^    "ok": \([0-9]*\),/\1/p' "$scratch/out" | head -n 1)
    fi
    echo "$name $times $requests" >>"$scratch/table"
}
wrk_() { measure "$1" taskset -c 1 wrk -t1 -c64 -d"${seconds}s" "${@:2}" "$URL"; }
shot() {
    for engine in io_uring epoll; do
        measure "$1/$engine" "$ringshot" "$URL" -t1 -c64 -d"${seconds}s" --cpus 1 --json - \
            --engine $engine "${@:2}"
    done
}

for ((round = 0; round < rounds; round++)); do
    wrk_ new/wrk -H 'Connection: close'
    shot new/server
    shot new/rst --close rst
    shot new/client --close client
    wrk_ keep/wrk
    shot keep/kept -k
    wrk_ pipe16/wrk -s "$scratch/pipeline.lua"
    shot pipe16/16 -p 16
done

awk '
function sort(a, n,    i, j, t) {
    for (i = 2; i <= n; i++) { t = a[i]; for (j = i - 1; j > 0 && a[j] > t; j--) a[j+1] = a[j]; a[j+1] = t }
}
function median(values, n) { sort(values, n); return n % 2 ? values[(n+1)/2] : (values[n/2] + values[n/2+1]) / 2 }
{
    n = ++count[$1]; if (n == 1) order[++names] = $1
    user[$1, n] = $2 * 1e6 / $4; all[$1, n] = ($2 + $3) * 1e6 / $4
}
function spread(values, n,    m) { m = median(values, n); return sprintf("%.2f %.2f-%.2f", m, values[1], values[n]) }
END {
    printf "%-24s %12s %12s %16s %16s\n", "mode", "us CPU/req", "us user/req", "of wrk", "of epoll"
    for (k = 1; k <= names; k++) {
        name = order[k]; split(name, part, "/"); base = part[1] "/wrk"; n = count[name]
        twin = name; sub("io_uring", "epoll", twin)
        for (i = 1; i <= n; i++) {
            a[i] = all[name, i]; u[i] = user[name, i]
            r[i] = all[name, i] / all[base, i]; e[i] = all[name, i] / (all[twin, i] ? all[twin, i] : 1)
        }
        printf "%-24s %12.3f %12.3f %16s %16s\n", name, median(a, n), median(u, n), \
            name == base ? "" : spread(r, n), name == twin ? "" : spread(e, n)
    }
}' "$scratch/table"
