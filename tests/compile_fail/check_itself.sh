#!/usr/bin/env bash
# check_itself.sh <run_case.sh> <include dir> <compiler>: the harness accepts a right case and refuses wrong ones.
set -u
run_case=$1
include=$2
compiler=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# verdict <accepted|refused> <what> <text of the case>
verdict() {
  printf '%b\n' "$3" >"$work/case.cpp"
  if bash "$run_case" "$work/case.cpp" "$include" - "$compiler" >"$work/log" 2>&1; then result=accepted; else result=refused; fi
  if [ "$result" != "$1" ]; then
    echo "$result, but should be $1: $2"
    cat "$work/log"
    failures=$((failures + 1))
  fi
}

function='template <class T> void f() { static_assert(sizeof(T) == SIZE, "[rlhf:test.size] too large"); }'
use='#ifdef RLHF_CONTROL\n#define SIZE 4\n#else\n#define SIZE 3\n#endif\n'"$function"'\nint main() { f<float>(); }'
verdict accepted "a right case" "// expected-error: [rlhf:test.size]\n$use"
verdict accepted "two texts" "// expected-error: [rlhf:test.size]\n// expected-error: too large\n// max-errors: 1\n$use"
verdict refused "another text" "// expected-error: [rlhf:test.other]\n$use"
verdict refused "a second text that is missing" "// expected-error: [rlhf:test.size]\n// expected-error: too small\n$use"
verdict refused "no expected error" "$use"
verdict refused "a case that compiles" "// expected-error: [rlhf:test.size]\nint main() {}"
verdict refused "a missing include" "// expected-error: [rlhf:test.size]\n#include <none.hpp>\n$use"
verdict refused "a control that fails" "// expected-error: [rlhf:test.size]\n#define SIZE 3\n$function\nint main() { f<float>(); }"
verdict refused "too many errors" "// expected-error: [rlhf:test.size]\n// max-errors: 1\n$use\n#ifndef RLHF_CONTROL\nint x = y;\n#endif"

[ "$failures" -eq 0 ]
