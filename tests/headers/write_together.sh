#!/usr/bin/env bash
# write_together.sh <output> [--traps] <header>...: a source with every foreign header that the headers include, then
# (--traps) the traps, then all the headers twice. Runs in include/.
set -eu
output=$1
shift
traps=
if [ "${1:-}" = --traps ]; then
  traps=yes
  shift
fi
{
  cat "$@" | sed -n 's/^# *include *\(<[^>]*>\).*/\1/p' | grep -v '^<rlhf/' | LC_ALL=C sort -u | sed 's/^/#include /'
  [ -z "$traps" ] || printf '#include "traps.hpp"\n#include "traps_after.hpp"\n'
  printf '#include <%s>\n' "$@" "$@"
} >"$output"
