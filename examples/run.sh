#!/usr/bin/env bash
# Installs what is missing, builds an example and runs it. examples/run.sh --help tells more.
set -u
rlhf_script=examples/run.sh
. "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/../cmake/setup.sh"

usage() {
  cat <<'TEXT'
usage: examples/run.sh [option...] [--] [argument of the example...]

  (no option)       builds and runs the main example, examples/grpo
  --example NAME    another one: the folder or the file below examples/, without .cpp
  --list            list the examples and stop
  -D NAME=VALUE     passed to cmake (also -DNAME=VALUE)
  --jobs N          compile with N processes (default: one per core)
  --no-install      install no package; cmake downloads the libraries that are missing
  -h, --help        this text; `examples/run.sh -- --help` is the example's own

Every other argument goes to the example: examples/run.sh --short --check
The build tree is build/release; a second run builds only what changed.
TEXT
}

example=grpo
rlhf_cmake_options=()
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --example)
      example=${2:?examples/run.sh: --example needs a name}
      shift
      ;;
    --example=*) example=${1#*=} ;;
    --list)
      cd "$rlhf_root/examples" || exit 1
      for path in *.cpp */*.cpp; do
        [ -e "$path" ] && dirname "$path" | sed "s|^\.\$|$(basename "$path" .cpp)|"
      done | LC_ALL=C sort -u
      exit 0
      ;;
    -D)
      rlhf_cmake_options+=("-D${2:?examples/run.sh: -D needs NAME=VALUE}")
      shift
      ;;
    -D*) rlhf_cmake_options+=("$1") ;;
    --jobs)
      rlhf_jobs=${2:?examples/run.sh: --jobs needs a number}
      shift
      ;;
    --no-install) rlhf_install=no ;;
    -h | --help)
      usage
      exit 0
      ;;
    --)
      shift
      arguments+=("$@")
      break
      ;;
    *) arguments+=("$1") ;;
  esac
  shift
done

if [ -d "$rlhf_root/examples/$example" ]; then
  target=rlhf_$example
elif [ -e "$rlhf_root/examples/$example.cpp" ]; then
  target=example_$example
else
  rlhf_fail "there is no example $example (examples/run.sh --list)"
fi

called_from=$PWD
rlhf_need compiler cmake build_tool fmt json
rlhf_configure release
rlhf_build "$rlhf_folder" "$target"

rlhf_say "running $example ${arguments[*]:-}"
cd "$called_from" || exit 1
"$rlhf_root/$rlhf_folder/examples/$target" ${arguments[@]+"${arguments[@]}"}
status=$?
if [ $status -eq 0 ]; then
  rlhf_say "$example finished ($rlhf_folder/examples/$target)"
else
  rlhf_say "$example ended with status $status ($rlhf_folder/examples/$target)"
fi
exit $status
