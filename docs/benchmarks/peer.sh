#!/usr/bin/env bash
# Measures `cqrsflow bench commands` beside a peer that does the same work another way, in turns, on one broker.
#
#   PEER=DIR CQRSFLOW_KAFKA_BROKERS=HOST:PORT docs/benchmarks/peer.sh [throughput|latency]
#
# PEER is a folder with a program run.sh that takes
#   run.sh load TOPIC COMMANDS ACCOUNTS      write that many 100-byte commands to TOPIC-commands
#   run.sh run TOPIC COMMANDS COMMIT_MS THREADS   process them exactly once; print "… N commands/s"
#   run.sh latency TOPIC COUNT COMMIT_MS     one command in flight; print "… p50 N ms, p99 N ms"
# and finds the broker in KAFKA_BROKERS. PEER_HEADERS is how many headers it puts on what it writes.
#
# Settings: ROUNDS (3), COMMANDS (1000000), ACCOUNTS (100000), SAMPLES (2000), COMMIT_MS (100), THREADS (2),
# PEER_HEADERS (8, as many as cqrsflow's events have).
set -euo pipefail
what=${1:-throughput}
case $what in throughput | latency) ;; *) echo "peer.sh: $what is neither throughput nor latency" >&2; exit 2 ;; esac
if [ ! -x "${PEER:-}/run.sh" ]; then
  echo "peer.sh: no peer: ${PEER:+$PEER/run.sh is not there; }set PEER to the folder of a peer's run.sh (see the top of this file)" >&2
  exit 2
fi
: "${CQRSFLOW_KAFKA_BROKERS:?peer.sh: set it to the broker, HOST:PORT}"
rounds=${ROUNDS:-3} commands=${COMMANDS:-1000000} accounts=${ACCOUNTS:-100000} samples=${SAMPLES:-2000} commit=${COMMIT_MS:-100} threads=${THREADS:-2}
export KAFKA_BROKERS=$CQRSFLOW_KAFKA_BROKERS PEER_HEADERS=${PEER_HEADERS:-8}

cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -o "$work/cqrsflow" ./cmd/cqrsflow
topic=cqrsflow-peer-$(date +%s)

field() { sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p"; } # of the report: first ours, then the bare loop's
median() { sort -n | awk '{ a[NR] = $1 } END { if (NR == 0) exit 1; print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }

if [ "$what" = throughput ]; then
  echo "publishing the peer's commands" >&2
  "$PEER/run.sh" load "$topic" "$commands" "$accounts"
fi
for round in $(seq "$rounds"); do
  echo "round $round of $rounds" >&2
  if [ "$what" = throughput ]; then
    "$PEER/run.sh" run "$topic" "$commands" "$commit" "$threads" | tee /dev/stderr | grep -oE '[0-9]+ commands/s' | cut -d' ' -f1 >>"$work/peer"
    "$work/cqrsflow" bench commands --commands "$commands" --streams "$accounts" --rounds 1 --json >"$work/report"
    field rate <"$work/report" | sed -n 1p >>"$work/ours"
    field rate <"$work/report" | sed -n 2p >>"$work/bare"
  else
    "$PEER/run.sh" latency "$topic-$round" "$samples" "$commit" | tee /dev/stderr | grep -oE 'p50 [0-9.]+' | cut -d' ' -f2 >>"$work/peer"
    "$work/cqrsflow" bench commands --latency "$samples" --json >"$work/report"
    field p50Ms <"$work/report" | sed -n 1p >>"$work/ours"
    field p50Ms <"$work/report" | sed -n 2p >>"$work/bare"
  fi
done

unit="commands/s" better="ours to the peer's"
[ "$what" = latency ] && unit="ms (p50, one in flight)" better="the peer's to ours"
for side in ours bare peer; do
  printf '%-5s median %s %s   rounds: %s\n' "$side" "$(median <"$work/$side")" "$unit" "$(tr '\n' ' ' <"$work/$side")"
done
awk -v o="$(median <"$work/ours")" -v p="$(median <"$work/peer")" -v w="$what" -v b="$better" \
  'BEGIN { printf "ratio, %s: %.2f\n", b, (w == "latency" ? p / o : o / p) }'
echo "The peer's topics ($topic…) are left on the broker." >&2
