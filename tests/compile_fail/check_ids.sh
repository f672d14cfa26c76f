#!/usr/bin/env bash
# check_ids.sh <include dir> <folder of cases>: every identifier of a compile-time message has a case that expects it and
# one row in the table of README.md, and there are no others.
set -u
include=$1
cases=$2
LC_ALL=C
export LC_ALL
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

grep -rhoE '\[rlhf:[a-z_.]+\]' "$include/rlhf" | sed 's/^\[rlhf://; s/\]$//' | sort -u >"$work/ids"
sed -n 's/^\/\/ expected-error: *\[rlhf:\([a-z_.]*\)\].*/\1/p' "$cases"/*.cpp | sort -u >"$work/tried"
sed -n 's/^| `\([a-z_.]*\)` |.*/\1/p' "$cases/README.md" | sort >"$work/rows"

if ! [ -s "$work/ids" ]; then
  echo "no identifier was found in $include/rlhf"
  exit 1
fi
# report <what> <list>: complains about each line of a list.
report() {
  while IFS= read -r id; do
    echo "$id: $1"
    failed=1
  done <"$2"
}
comm -23 "$work/ids" "$work/tried" >"$work/list"
report "no program in tests/compile_fail expects it" "$work/list"
comm -13 "$work/ids" "$work/tried" >"$work/list"
report "a program expects it, but no header says it" "$work/list"
sort -u "$work/rows" >"$work/documented"
comm -23 "$work/ids" "$work/documented" >"$work/list"
report "no row in tests/compile_fail/README.md" "$work/list"
comm -13 "$work/ids" "$work/documented" >"$work/list"
report "a row in tests/compile_fail/README.md, but no header says it" "$work/list"
uniq -d "$work/rows" >"$work/list"
report "several rows in tests/compile_fail/README.md" "$work/list"
echo "$(wc -l <"$work/ids") identifiers"
exit $failed
