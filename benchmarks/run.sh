#!/usr/bin/env bash
# Installs what is missing, builds the benchmarks and runs them. benchmarks/run.sh --help tells more.
set -u
rlhf_script=benchmarks/run.sh
. "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/../cmake/setup.sh"

usage() {
  cat <<'TEXT'
usage: benchmarks/run.sh [option...] [name...] [-- argument of the benchmarks...]

  (no name)         runs every benchmark; a name is <layer>/<what>, or <layer> for all of that layer
  --list            list the benchmarks and stop
  --results DIR     write DIR/<layer>_<what>.jsonl: a line with machine, compiler and commit, then the
                    benchmark's own lines that start with {
  -D NAME=VALUE     passed to cmake (also -DNAME=VALUE)
  --jobs N          compile with N processes (default: one per core)
  --no-install      install no package; cmake downloads the libraries that are missing
  -h, --help        this text

compile_time/include measures what the headers cost to include; it needs no build.
The build tree is build/release; a second run builds only what changed.
TEXT
}

results=
list=no
names=()
arguments=()
rlhf_cmake_options=()
while [ $# -gt 0 ]; do
  case $1 in
    --results)
      results=${2:?benchmarks/run.sh: --results needs a directory}
      shift
      ;;
    --results=*) results=${1#*=} ;;
    --list) list=yes ;;
    -D)
      rlhf_cmake_options+=("-D${2:?benchmarks/run.sh: -D needs NAME=VALUE}")
      shift
      ;;
    -D*) rlhf_cmake_options+=("$1") ;;
    --jobs)
      rlhf_jobs=${2:?benchmarks/run.sh: --jobs needs a number}
      shift
      ;;
    --no-install) rlhf_install=no ;;
    -h | --help)
      usage
      exit 0
      ;;
    --)
      shift
      arguments=("$@")
      break
      ;;
    -*) rlhf_fail "unknown option $1 (benchmarks/run.sh --help)" ;;
    *) names+=("${1%/}") ;;
  esac
  shift
done

# <layer>/<what> of every source, and the one that is a script.
known=$(cd "$rlhf_root/benchmarks" && for path in */*.cpp */*.cu */*.sh; do
  [ ! -e "$path" ] || echo "${path%.*}"
done | LC_ALL=C sort -u)
if [ "$list" = yes ]; then
  printf '%s\n' "$known"
  exit 0
fi
if [ ${#names[@]} -eq 0 ]; then
  chosen=$known
else
  chosen=
  for name in "${names[@]}"; do
    matching=$(printf '%s\n' "$known" | grep -E "^$name(/|\$)") ||
      rlhf_fail "there is no benchmark $name (benchmarks/run.sh --list)"
    chosen="$chosen $matching"
  done
fi

if [ -n "$results" ]; then
  mkdir -p "$results" || exit 1
  results=$(cd "$results" && pwd)
fi

rlhf_need compiler cmake build_tool fmt json
targets=()
for name in $chosen; do
  [ -e "$rlhf_root/benchmarks/$name.sh" ] || targets+=("bench_$(printf %s "$name" | tr / _)")
done
rlhf_folder=build/release
left_out=
if [ ${#targets[@]} -gt 0 ]; then
  rlhf_configure release
  # A source for which something is missing here (nvcc, NCCL) has no target, and cmake has said why.
  available=$(cmake --build "$rlhf_folder" --target help 2>/dev/null)
  built=()
  for target in "${targets[@]}"; do
    if printf '%s\n' "$available" | grep -qE "(^|[ /])$target(:|\$)"; then
      built+=("$target")
    else
      left_out="$left_out $target"
    fi
  done
  [ -z "$left_out" ] || rlhf_say "left out, because something they include was not found:$left_out"
  [ ${#built[@]} -eq 0 ] || rlhf_build "$rlhf_folder" "${built[@]}"
fi
cd "$rlhf_root" || exit 1

# JSON text without quotes or backslashes in it.
plain() { tr -d '"\\' | tr '\n' ' ' | sed 's/  */ /g; s/ *$//'; }
cached() { sed -n "s/^$1:[A-Z]*=//p" "$rlhf_folder/CMakeCache.txt" 2>/dev/null; }
header() {
  local compiler cpu gpu commit
  compiler=$(cached CMAKE_CXX_COMPILER)
  compiler=$("${compiler:-${CXX:-c++}}" --version 2>/dev/null | head -n 1 | plain)
  cpu=$( (sed -n 's/^model name[^:]*: //p' /proc/cpuinfo || sysctl -n machdep.cpu.brand_string) 2>/dev/null | head -n 1 | plain)
  gpu=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | plain)
  commit=$(git rev-parse --short HEAD 2>/dev/null)
  [ -z "$(git status --porcelain --untracked-files=no 2>/dev/null)" ] || commit="$commit+changes"
  printf '{"benchmark":"%s","cpu":"%s","cores":%s,"gpu":"%s","system":"%s","compiler":"%s","build_type":"%s","commit":"%s","date":"%s"}\n' \
    "$1" "$cpu" "$( (nproc || sysctl -n hw.ncpu || echo 0) 2>/dev/null | head -n 1)" "$gpu" "$(uname -sr)" "$compiler" \
    "$(cached CMAKE_BUILD_TYPE)" "$commit" "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
}

total=0
failed=
skipped=0
for name in $chosen; do
  target=bench_$(printf %s "$name" | tr / _)
  case " $left_out " in *" $target "*) continue ;; esac
  total=$((total + 1))
  rlhf_say "running $name"
  if [ -e "benchmarks/$name.sh" ]; then
    command=(bash "benchmarks/$name.sh")
  else
    command=("$rlhf_folder/benchmarks/$target")
  fi
  output=$(mktemp)
  "${command[@]}" ${arguments[@]+"${arguments[@]}"} </dev/null | tee "$output"
  status=${PIPESTATUS[0]}
  if [ "$status" -eq 77 ]; then
    skipped=$((skipped + 1))
  elif [ "$status" -ne 0 ]; then
    failed="$failed $name"
  elif [ -n "$results" ]; then
    { header "$name" && grep '^{' "$output"; } >"$results/$(printf %s "$name" | tr / _).jsonl"
  fi
  rm -f "$output"
done

rlhf_say "$((total - skipped - $(echo $failed | wc -w))) of $total benchmarks ran, $skipped skipped${failed:+; failed:$failed}${results:+ (results in $results)}"
[ -z "$failed" ]
