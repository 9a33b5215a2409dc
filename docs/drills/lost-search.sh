#!/usr/bin/env bash
# The search index is lost. It is made of the log again, without anybody being asked.
. "$(dirname "$0")/common.sh"
start
for id in a b c; do order $id; done
verify a b c
stop
rm -rf "$dir/search"; say "the search index is gone"
start
verify a b c
