#!/usr/bin/env bash
# A long run of new connections against a server whose faults are switched on and off, watched for
# drift: memory, descriptors, threads, slots in use and rate; and every failure has to be a fault that
# the server made. Exit code 1 when a check fails; the report is reports/soak.md.
#
#   benches/soak.sh [MINUTES] [FLAGS]              30 minutes
#   benches/soak.sh 3                              the short form
#   benches/soak.sh --requests 10000000 --switch 0s     so many requests, faults all the time
#   benches/soak.sh 3 --keepalive                  kept connections
#   benches/soak.sh 3 -- --engine epoll            further flags of ringshot
#   benches/soak.sh --help                         all flags
#
# Nothing else should run on the box.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --quiet --bin ringshot --example soak
target=${CARGO_TARGET_DIR:-target}
case ${1:-} in
*[!0-9]* | '') ;;
*) set -- --duration "${1}m" "${@:2}" ;;
esac
exec "$target/release/examples/soak" --ringshot "$target/release/ringshot" "$@"
