#!/usr/bin/env bash
# The port wall: load generators with a new connection per request against a server that leaves
# closing to the client, on a network on which nothing takes TIME_WAIT over (tcp_tw_reuse=0, what
# every target but the loopback gets by default).
#
#   benches/port-wall.sh [SECONDS] [CONNECTIONS]        as root; runs whatever of wrk, oha, hey is
#                                                       there, each in a fresh network namespace
#
# Connections are counted by the kernel (Tcp PassiveOpens), the same way for all: per second in the
# first and in the last quarter of the run. CPU is the whole client process's, per connection.
set -euo pipefail
cd "$(dirname "$0")/.."
quarter=$((${1:-20} / 4)) connections=${2:-64}
seconds=$((quarter * 4))
[ "$quarter" -ge 1 ] || { echo "give 4 seconds or more" >&2; exit 2; }
# The server serves as many connections at a time; beyond that its queue would be measured.
[ "$connections" -le 256 ] || { echo "give at most 256 connections" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "network namespaces need root" >&2; exit 1; }
command -v jq >/dev/null || { echo "jq is needed" >&2; exit 1; }
cargo build --release --quiet --bin ringshot --example client_closes
export server=target/release/examples/client_closes url=http://127.0.0.1:8080/ quarter
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export out=$scratch/out err=$scratch/err times=$scratch/times

opens() { awk '$1 == "Tcp:" && $7 ~ /^[0-9]+$/ { print $7 }' /proc/net/snmp; }
# Runs inside of the namespace: prints "opened-first-quarter opened-last-quarter all user+sys_s".
inside() {
    ip link set lo up
    sysctl -qw net.ipv4.tcp_tw_reuse=0
    taskset -c 0 "$server" 127.0.0.1:8080 >/dev/null &
    local pid=$! begin first third all
    sleep 0.3
    begin=$(opens)
    TIMEFORMAT='%U %S'
    { time taskset -c 1 "$@" >"$out" 2>"$err" || true; } 2>"$times" &
    sleep "$quarter"
    first=$(($(opens) - begin))
    sleep $((quarter * 2))
    third=$(opens)
    sleep "$quarter"
    all=$(($(opens) - begin))
    wait $!
    kill $pid
    echo "$first $((begin + all - third)) $all $(cat "$times")"
}
export -f inside opens

row() {
    local name=$1 failed=$2
    shift 2
    unshare -n bash -euc 'inside "$@"' - "$@" >"$scratch/row"
    read -r first last all user sys <"$scratch/row"
    awk -v name="$name" -v first="$first" -v last="$last" -v all="$all" -v cpu="$user $sys" \
        -v quarter="$quarter" -v failed="$(eval "$failed" || true)" 'BEGIN {
            split(cpu, s, " ")
            printf "| %-28s | %7d | %7d | %5.2f | %8.1f | %s |\n", name, first / quarter,
                last / quarter, first ? last / first : 0, all ? (s[1] + s[2]) * 1e6 / all : 0, failed
        }'
}
has() { command -v "$1" >/dev/null || { echo "(no $1 here)" >&2; false; }; }

printf '| client | first %ss, /s | last %ss, /s | ratio | us CPU each | its own words |\n' $quarter $quarter
echo '|---|---|---|---|---|---|'
ours="jq -r '\"\\(.requests.failed) failed; \" + ([.kernel.findings[].id] | join(\", \"))' \$out"
shot=(target/release/ringshot "$url" -t1 -c"$connections" -d"${seconds}s" --close client --json -)
row 'ringshot' "$ours" "${shot[@]}"
row 'ringshot --source-ports kernel' "$ours" "${shot[@]}" --source-ports kernel
if has wrk; then row wrk "grep -h 'Socket errors' \$out || echo '(no errors reported)'" \
    wrk -t1 -c"$connections" -d"${seconds}s" -H 'Connection: close' "$url"; fi
if has oha; then row oha "grep -A9 'Error distribution' \$out | grep '\\[' | head -2 | xargs" \
    oha --no-tui -c "$connections" -z "${seconds}s" --disable-keepalive "$url"; fi
if has hey; then row hey "grep -A9 'Error distribution' \$out | grep '\\[' | head -1 | cut -c1-90" \
    hey -c "$connections" -z "${seconds}s" -cpus 1 -disable-keepalive "$url"; fi
