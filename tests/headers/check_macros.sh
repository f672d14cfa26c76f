#!/usr/bin/env bash
# check_macros.sh <compiler> <source dir>: no header leaves a macro behind, except RLHF_HOST_DEVICE and the version.
set -u
compiler=$1
root=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root/include" || exit 2
find rlhf -name '*.hpp' ! -path 'rlhf/adapters/*' ! -path 'rlhf/cuda/*' ! -path 'rlhf/nccl/*' | LC_ALL=C sort |
  sed 's/.*/#include <&>/' >"$work/all.cpp"
"$compiler" -std=c++20 -E -dD -I . "$work/all.cpp" >"$work/all.ii" || exit 1
awk '
  /^# [0-9]+ "/ { file = $3; gsub(/"/, "", file); ours = file ~ /(^|\/)rlhf\//; next }
  ours && /^#define / { name = $2; sub(/\(.*/, "", name); where[name] = file; next }
  /^#undef / { delete where[$2]; next }
  END {
    for (name in where)
      if (name !~ /^(RLHF_HOST_DEVICE|RLHF_VERSION_(MAJOR|MINOR|PATCH))$/) {
        printf "%s leaves the macro %s defined\n", where[name], name
        bad = 1
      }
    exit bad
  }' "$work/all.ii"
