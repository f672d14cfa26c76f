#!/usr/bin/env bash
# What including the library costs: the least processor time of several runs of `$CXX -std=c++20 -fsyntax-only`, for each
# layer and for rlhf.hpp, beside an empty file and standard headers. One JSON line each, with the ratio to <string>.
#
#   include.sh [--runs N] [--budget-ratio R] [header...]      default 7 runs; a header is written like rlhf/rlhf.hpp
#
# With --budget-ratio it fails when rlhf/rlhf.hpp costs more than R times <string>. Processor time and the ratio are used
# because they depend less on the machine and on what else it does than seconds.
set -u
export LC_ALL=C
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
compiler=${CXX:-g++}
runs=7
budget=
headers=()
while [ $# -gt 0 ]; do
  case $1 in
    --runs)
      runs=$2
      shift
      ;;
    --budget-ratio)
      budget=$2
      shift
      ;;
    *) headers+=("$1") ;;
  esac
  shift
done
if [ ${#headers[@]} -eq 0 ]; then
  headers=("" string vector memory)
  for header in rlhf/core/error.hpp rlhf/core/text.hpp rlhf/parallel/grid.hpp rlhf/plan/plan.hpp rlhf/data/mixture.hpp \
    rlhf/module/module.hpp rlhf/rlhf.hpp; do
    [ ! -e "$root/include/$header" ] || headers+=("$header")
  done
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
TIMEFORMAT='%U %S'

# milliseconds <header>: user plus system time of the best run.
milliseconds() {
  if [ -n "$1" ]; then printf '#include <%s>\n' "$1"; fi >"$work/main.cpp"
  "$compiler" -std=c++20 -I "$root/include" -fsyntax-only "$work/main.cpp" >&2 || return 1 # errors, and a warm cache
  for _ in $(seq "$runs"); do
    { time "$compiler" -std=c++20 -I "$root/include" -fsyntax-only "$work/main.cpp" >/dev/null 2>&1; } 2>&1
  done | awk '{ ms = ($1 + $2) * 1000; if (NR == 1 || ms < least) least = ms } END { printf "%.0f\n", least }'
}

string_ms=$(milliseconds string) || exit 1
status=0
for header in "${headers[@]}"; do
  ms=$(milliseconds "$header") || {
    status=1
    continue
  }
  ratio=$(awk -v a="$ms" -v b="$string_ms" 'BEGIN { printf "%.2f", a / b }')
  printf '{"include":"%s","cpu_ms":%s,"ratio_to_string":%s,"runs":%s}\n' "${header:-(nothing)}" "$ms" "$ratio" "$runs"
  if [ "$header" = rlhf/rlhf.hpp ] && [ -n "$budget" ] &&
    awk -v a="$ratio" -v b="$budget" 'BEGIN { exit !(a > b) }'; then
    echo "include.sh: rlhf/rlhf.hpp costs $ratio times <string>; the budget is $budget" >&2
    status=1
  fi
done
exit $status
