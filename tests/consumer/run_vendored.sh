#!/usr/bin/env bash
# run_vendored.sh <source dir> <compiler>...: include/ copied into another tree and compiled with -I and nothing else.
set -u
source_dir=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$source_dir/include" "$work/inc"
cp "$source_dir/tests/consumer/main.cpp" "$work/main.cpp"
cd "$work" || exit 1
for compiler in "$@"; do
  "$compiler" -std=c++20 -I inc main.cpp -pthread -o consumer || exit 1
  ./consumer || exit 1
done
