#!/usr/bin/env bash
# expect.sh PASSED PROGRAM FILE: the program must pass exactly so many entries of the file, and refuse the file where it is
# cut, changed or missing, each in its own way.
set -u
passed=$1 program=$2 file=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
status=0
# run STATUS LAST_LINE FILE
run() {
  local output code
  output=$("$program" "$3" 2>&1)
  code=$?
  if [ "$code" -ne "$1" ] || [[ "$(tail -n 1 <<<"$output")" != $2 ]]; then
    printf '%s\n' "$output"
    echo "expected status $1 and last line '$2', got $code"
    status=1
  fi
}
run 0 "$passed passed, 0 failed" "$file"
head -c 2000 "$file" >"$folder/cut.json"
run 2 "*cut.json is no JSON: *" "$folder/cut.json"
run 2 "*missing.json: it cannot be read" "$folder/missing.json"
echo '[]' >"$folder/list.json"
run 2 "*list.json: expected an object of sections" "$folder/list.json"
echo '{"randperm": [{"seed": 0, "n": 2, "perm": [1, 0]}, {"seed": 0, "n": 2, "perm": [0, 1]}]}' >"$folder/wrong.json"
run 1 "1 passed, 1 failed" "$folder/wrong.json"
echo '{"randperm": [{"seed": 0, "n": 2, "perm": "ten"}]}' >"$folder/type.json"
run 2 "*type.json: randperm\[0\]: *" "$folder/type.json"
echo '{"of_no_library": [1]}' >"$folder/unknown.json"
run 0 "0 passed, 0 failed" "$folder/unknown.json"
exit $status
