#!/usr/bin/env bash
# no_virtual_tables.sh <program>: no vtable and no type information of a class in namespace rlhf, except rlhf::Error's.
set -u
if ! command -v nm >/dev/null 2>&1; then
  echo "skipped: needs nm"
  exit 77
fi
tables=$(nm -C --defined-only "$1" | sed -n 's/.* \(\(vtable\|typeinfo\) for rlhf::.*\)/\1/p' | LC_ALL=C sort -u)
others=$(printf '%s\n' "$tables" | grep -vE '^((vtable|typeinfo) for rlhf::(v[0-9]+::)?Error)?$')
if [ -n "$others" ]; then
  printf '%s\n' "$others"
  exit 1
fi
echo "virtual tables of the library: ${tables:-none}"
