#!/usr/bin/env bash
# Makes the reports of this gallery anew, by real runs on this box.
#
#   reports/regenerate.sh               all of them: about a quarter of an hour; as root, as the port
#                                       wall has a network namespace of its own
#   reports/regenerate.sh NAME...       some: run, new-connections, keep-alive, pipelined, port-wall,
#                                       search
#   ROUNDS=3 SECONDS_EACH=2 reports/regenerate.sh ...    shorter
#
# Uses whatever of wrk, ab, hey, oha and h2load is there. Nothing else should run on the box.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-5} seconds=${SECONDS_EACH:-5}
cargo build --release --quiet --workspace --bins --example client_closes
export PATH=$PWD/target/release:$PATH
cd reports
tools=wrk,ab,hey,oha

each() { ringshot compare --rounds "$rounds" -d "${seconds}s" -c 64 -t 1 "$@"; }

# The main job: what one run says.
run() { ringshot -d "$((seconds * 4))s" -c 64 -t 1 --json run.json --report run.md; }

new_connections() {
    each --with "$tools" --json new-connections.json --report new-connections.md
}

keep_alive() { each -k --with "$tools,h2load" --json keep-alive.json --report keep-alive.md; }

pipelined() { each -p 16 --with wrk,h2load --json pipelined.json --report pipelined.md; }

# The same load twice in a fresh network namespace, on which nothing takes TIME_WAIT over, as on
# every network but the loopback: with source ports in rotation, and with the kernel's choice.
port_wall() {
    local flags="http://127.0.0.1:8080/ -d $((seconds * 4))s -c 64 -t 1 --close client"
    local name
    for name in rotation kernel; do
        local ports=auto
        [ $name = rotation ] || ports=kernel
        unshare -n bash -euc '
            ip link set lo up
            sysctl -qw net.ipv4.tcp_tw_reuse=0
            taskset -c 0 client_closes 127.0.0.1:8080 >/dev/null &
            sleep 0.3
            ringshot '"$flags"' --cpus 1 --source-ports '$ports' \
                --json port-wall-'$name'.json --report port-wall-'$name'.md || true
            kill $!'
    done
    ringshot report port-wall-rotation.json port-wall-kernel.json --report port-wall.md
}

# A server that lets 2,300 requests per second through.
search() {
    bench-server --listen 127.0.0.1:8099 --threads 1 --cpus 0 >/dev/null &
    local server=$!
    sleep 0.3
    ringshot search --slo 'p99<50ms' --slo 'errors<1%' -t 1 --cpus 1 \
        http://127.0.0.1:8099/limited/2300 --json search.json --report search.md || true
    kill $server
}

for name in "${@:-run new-connections keep-alive pipelined port-wall search}"; do
    for one in $name; do "${one//-/_}"; done
done
