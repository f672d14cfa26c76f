#!/usr/bin/env bash
# check_itself.sh <compare.sh> <compiler>...: the comparison finds an extra instruction, another constant, another call.
set -u
compare=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# verdict <0|1> <what> <body of library_f> <body of by_hand_f>
verdict() {
  local compiler
  printf 'int g(int);\nint h(int);\nextern "C" int library_f(int x, int const* p) { %s }\nextern "C" int by_hand_f(int x, int const* p) { %s }\n' \
    "$3" "$4" >"$work/case.cpp"
  for compiler in "${compilers[@]}"; do
    bash "$compare" "$work/case.cpp" "$work" "$compiler" >"$work/log" 2>&1
    status=$?
    if [ $status -eq 77 ]; then
      cat "$work/log"
      exit 77
    elif [ $status -ne "$1" ]; then
      echo "$compiler: status $status instead of $1: $2"
      cat "$work/log"
      failures=$((failures + 1))
    fi
  done
}
compilers=("$@")

verdict 0 "the same" 'int s = 0; for (int i = 0; i < x; ++i) s += g(p[i]); return s;' \
  'int s = 0; int i = 0; while (i < x) { s += g(p[i]); ++i; } return s;'
verdict 0 "the same branches" 'if (x > 3 && *p) return g(x); return h(*p);' 'if (x > 3 && *p) { return g(x); } else { return h(*p); }'
verdict 1 "one more load" 'return x + p[0];' 'return x;'
verdict 1 "another constant" 'return x + 1;' 'return x + 2;'
verdict 1 "another call" 'return g(x);' 'return h(x);'
verdict 1 "a check" 'if (p == nullptr) return g(0); return *p;' 'return *p;'

printf 'extern "C" int library_f(int x) { return x; }\n' >"$work/case.cpp"
if bash "$compare" "$work/case.cpp" "$work" "$1" >"$work/log" 2>&1; then
  echo "accepted a missing by_hand_f"
  failures=$((failures + 1))
fi
[ "$failures" -eq 0 ]
