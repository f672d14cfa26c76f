#!/usr/bin/env bash
# run_case.sh <source> <include dir> <precompiled library or -> <compiler>...: see CMakeLists.txt beside it.
set -u
source=$1
include=$2
library=$3
shift 3
failed=0
control=yes

complain() {
  failed=1
  printf '%s: %s\n' "$(basename "$compiler")" "$*"
}

expected=$(sed -n 's|^// expected-error: *||p' "$source")
most=$(sed -n 's|^// max-errors: *||p' "$source")
case $(head -n 1 "$source") in
  '// expected-error: '*) ;;
  *)
    echo "$source: the first line must be a comment: // expected-error: [rlhf:some.id]"
    exit 1
    ;;
esac

for compiler in "$@"; do
  command=("$compiler" -std=c++20 -fsyntax-only -I "$include" "$source")
  precompiled=()
  if [ "$library" != - ]; then
    if "$compiler" --version | grep -q clang; then
      precompiled=(-include-pch "$library.pch")
    else
      precompiled=(-include "$library.hpp")
    fi
  fi
  output=$("${command[@]}" ${precompiled[@]+"${precompiled[@]}"} 2>&1)
  result=$?
  if printf '%s\n' "$output" | grep -q 'since the precompiled header'; then
    output=$("${command[@]}" 2>&1) # someone edits a header while the tests run
    result=$?
  fi
  if [ $result -eq 0 ]; then
    complain "compiles, but should not"
    continue
  fi
  errors=$(printf '%s\n' "$output" | grep -cE '(^|: )(fatal )?error: ')
  while IFS= read -r text; do
    if ! printf '%s\n' "$output" | grep -qF -- "$text"; then
      complain "fails without saying: $text"
    fi
  done <<<"$expected"
  if [ -n "$most" ] && [ "$errors" -gt "$most" ]; then
    complain "prints $errors errors, at most $most are allowed"
  fi
  first=$(printf '%s\n' "$output" | grep -E '(^|: )(fatal )?error: ' | head -n 1)
  printf '%s: %d error(s), first: %s\n' "$(basename "$compiler")" "$errors" "${first#*error: }"
  if [ "$failed" -ne 0 ]; then
    printf '%s\n' "$output" | head -n 40
  fi
  if [ $control = yes ] && ! output=$("${command[@]}" -DRLHF_CONTROL 2>&1); then
    complain "the control (-DRLHF_CONTROL) does not compile:"
    printf '%s\n' "$output" | head -n 40
  fi
  control=no
done
exit $failed
