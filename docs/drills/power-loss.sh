#!/usr/bin/env bash
# Everything ends at once in the middle of an import (PURCHASES names a file of the CDNOW data set), twice. The import is repeated: what was
# there is not there a second time.
. "$(dirname "$0")/common.sh"
file=${PURCHASES:-$(cd "$(dirname "$0")/../.." && pwd)/integration/testdata/cdnow.txt.gz}
head=$dir/purchases.txt
gzip -cdf "$file" | head -n "${LINES_OF_FILE:-4000}" >"$head" || true   # gzip is told that nobody reads on
start --import "$head"
until_there order/cdnow-300; kill9
start --import "$head"
until_there order/cdnow-2000; kill9
start
do_ import cdnow "$head" >/dev/null; say "imported to the end"
order a
verify cdnow-1 a
do_ import cdnow "$head" | grep -q 'nothing changed'; say "a repeated import changes nothing"
du -sk "$dir"/{kafka,command,postgres,search} | sed "s|$dir/||" | while read -r kib what; do say "$what: $kib KiB"; done
