#!/usr/bin/env bash
# Makes the reports of this gallery anew, by real runs on this box.
#
#   reports/regenerate.sh               all of them: about ten minutes; as root, as the port wall has a
#                                       network namespace of its own
#   reports/regenerate.sh NAME...       some: run, new-connections, keep-alive, pipelined, port-wall,
#                                       search
#   ROUNDS=3 SECONDS_EACH=2 reports/regenerate.sh ...    shorter
#   OUT=DIR reports/regenerate.sh ...                    elsewhere
#   PROFILE=dev reports/regenerate.sh ...                by a program that is built faster, and is slow
#
# Uses whatever of wrk, ab, hey, oha and h2load is there. Nothing else should run on the box.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-5} seconds=${SECONDS_EACH:-5}
out=$(realpath "${OUT:-reports}")
# A release, unless somebody only wants to see whether it works.
profile=${PROFILE:-release} built=${PROFILE:-release}
[ "$profile" = dev ] && built=debug
cargo build --profile "$profile" --quiet --workspace --bins --example client_closes
export PATH=$PWD/target/$built:$PWD/target/$built/examples:$PATH
cd "$out"
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null' EXIT

# A limit that was broken (3) and a run in which nothing succeeded (4) are results, too.
result() { "$@" || [ $? = 3 ] || [ $? = 4 ]; }
each() { result ringshot compare --rounds "$rounds" -d "${seconds}s" -c 64 -t 1 "$@"; }

# The main job: what one run says.
run() { result ringshot -d "$((seconds * 4))s" -c 64 -t 1 --json run.json --report run.md; }

new_connections() {
    each --with wrk,ab,hey,oha --json new-connections.json --report new-connections.md
}

keep_alive() { each -k --with wrk,ab,hey,oha,h2load --json keep-alive.json --report keep-alive.md; }

pipelined() { each -p 16 --with wrk,h2load --json pipelined.json --report pipelined.md; }

# The same load twice in a fresh network namespace, on which nothing takes TIME_WAIT over, as on
# every network but the loopback: with source ports in rotation, and with the kernel's choice.
port_wall() {
    local name ports
    for name in rotation kernel; do
        ports=auto
        [ $name = rotation ] || ports=kernel
        # shellcheck disable=SC2016 # the inner shell expands them
        result unshare -n bash -euc '
            ip link set lo up
            sysctl -qw net.ipv4.tcp_tw_reuse=0
            taskset -c 0 client_closes 127.0.0.1:8080 >/dev/null &
            trap "kill $!" EXIT
            sleep 0.3
            ringshot http://127.0.0.1:8080/ "$@"' - \
            -d "$((seconds * 4))s" -c 64 -t 1 --close client --cpus 1 --source-ports $ports \
            --json port-wall-$name.json --report port-wall-$name.md
    done
    ringshot report port-wall-rotation.json port-wall-kernel.json --report port-wall.md
}

# A server that lets 2,300 requests per second through.
search() {
    local url
    coproc bench-server --listen 127.0.0.1:0 --threads 1 --cpus 0
    server=$COPROC_PID
    read -r _ _ url <&"${COPROC[0]}"
    result ringshot search --slo 'p99<50ms' --slo 'errors<1%' -t 1 --cpus 1 \
        "${url}limited/2300" --json search.json --report search.md
    kill "$server"
    server=
}

[ $# -gt 0 ] || set -- run new-connections keep-alive pipelined port-wall search
for name in "$@"; do
    case $name in
    run | new-connections | keep-alive | pipelined | port-wall | search) "${name//-/_}" ;;
    *) echo "there is no report $name" >&2; exit 2 ;;
    esac
done
