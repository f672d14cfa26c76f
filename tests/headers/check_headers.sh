#!/usr/bin/env bash
# check_headers.sh <compiler name> <list of stamps> <build command>...: compiles what changed, then names each header that
# does not compile and shows the first lines of its errors.
set -u
compiler=$1
list=$2
shift 2
if ! output=$("$@" 2>&1); then
  printf '%s\n' "$output" | tail -n 30
  exit 1
fi
total=0
failed=0
while read -r stamp; do
  total=$((total + 1))
  if [ ! -e "$stamp" ]; then
    failed=$((failed + 1))
    printf '\n%s: %s does not compile\n' "$compiler" "$(basename "$stamp" .stamp)"
    head -n 15 "${stamp%.stamp}.log"
  fi
done <"$list"
printf '%s: %d of %d sources compile\n' "$compiler" $((total - failed)) "$total"
[ "$failed" -eq 0 ] && [ "$total" -gt 0 ]
