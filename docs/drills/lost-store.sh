#!/usr/bin/env bash
# The volume of the command processor is lost. Its store is a cache of the log: it is made again, knows what was decided, and goes on.
. "$(dirname "$0")/common.sh"
start
for id in a b c; do order $id; done
stop
rm -rf "$dir/command"; say "the local stores are gone"
start
for id in a b c; do repeat $id; done
do_ publish order/a ship >/dev/null; say "an order goes on"
verify a b c
