# Sourced by the drills beside it. CQRSFLOW is the program to try (default: cqrsflow of the PATH). Each works on a cqrsflow dev of its own,
# in a folder of its own, on free ports, and removes it at the end.
set -euo pipefail
cqrsflow=${CQRSFLOW:-cqrsflow}
dir=$(mktemp -d) dev=

say() { printf '%s %s\n' "$(date -u +%H:%M:%S)" "$*"; }
do_() { "$cqrsflow" "$@" --data "$dir"; }         # a client command that finds this dev
start() {
  "$cqrsflow" dev --data "$dir" --http 127.0.0.1:0 --ops 127.0.0.1:0 --kafka 127.0.0.1:0 --partitions 4 "$@" >"$dir.log" 2>&1 & dev=$!
  until do_ ready >/dev/null 2>&1; do kill -0 $dev || { cat "$dir.log"; exit 1; }; sleep 0.5; done
  say "ready"
}
stop() { kill -TERM $dev; wait $dev; say "stopped in order"; }
kill9() { kill -KILL $dev; { wait $dev || true; } 2>/dev/null; say "killed"; }
tidy() { if [ -n "$dev" ]; then kill -TERM $dev; wait $dev; fi 2>/dev/null || true; rm -rf "$dir" "$dir.log"; }
trap tidy EXIT

until_there() { until do_ stream show "$1" >/dev/null 2>&1; do sleep 0.2; done; }
order() { # ID: places and pays an order, under IDs that can be repeated
  do_ publish "order/$1" place '{"customer":"ada","lines":[{"sku":"cd","name":"CD","quantity":1,"total":{"amount":"11.77","currency":"USD"}}]}' --id "place-$1" >/dev/null
  do_ publish "order/$1" pay --id "pay-$1" >/dev/null
}
repeat() { # ID: the same commands again must be answered as before, and do nothing
  do_ publish --json "order/$1" pay --id "pay-$1" | grep -q '"replayed": true' || { say "order $1 was paid a second time"; exit 1; }
}
verify() { # everything that is derived agrees with the log
  do_ projection verify >/dev/null && do_ topology verify >/dev/null && for id; do do_ stream verify "order/$id" >/dev/null; done
  say "everything agrees with the log"
}
