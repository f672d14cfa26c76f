#!/usr/bin/env bash
# check_format.sh <root>: the sources are as clang-format 14 lays them out; 77 (skipped) without that version, because
# others differ. Compares the output: `--dry-run` of version 14 warns of comments after `namespace a::inline b` that it
# then leaves as they are.
set -u
cd "$1" || exit 2
tool=
for candidate in clang-format-14 clang-format; do
  if command -v "$candidate" >/dev/null 2>&1 && "$candidate" --version | grep -q 'version 14\.'; then
    tool=$candidate
    break
  fi
done
if [ -z "$tool" ]; then
  echo "skipped: clang-format 14 is not installed"
  exit 77
fi
total=0
failed=0
while IFS= read -r file; do
  [ -e "$file" ] || continue
  total=$((total + 1))
  if ! difference=$("$tool" --style=file "$file" | diff -u "$file" - 2>&1); then
    failed=$((failed + 1))
    printf '%s is not formatted (%s -i %s):\n' "$file" "$tool" "$file"
    printf '%s\n' "$difference" | sed -n '3,12p'
  fi
done < <(git ls-files -- '*.hpp' '*.cpp' '*.cu' '*.cuh' 2>/dev/null | grep . ||
  find include tests examples benchmarks -name '*.[hc]pp' -o -name '*.cu' -o -name '*.cuh')
echo "$((total - failed)) of $total files are formatted"
[ "$failed" -eq 0 ]
