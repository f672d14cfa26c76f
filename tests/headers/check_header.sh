#!/usr/bin/env bash
# check_header.sh <header> <stem> <command>...: runs the compiler and leaves <stem>.stamp, or <stem>.log with the errors.
# Succeeds either way, so that the build goes on to the other headers; check_headers.sh reports. Without its stamp, a
# header that failed is compiled again the next time.
set -u
header=$1
stem=$2
shift 2
rm -f "$stem.stamp"
if "$@" >"$stem.log" 2>&1; then
  rm -f "$stem.log"
  : >"$stem.stamp"
fi
[ -e "$stem.d" ] || : >"$stem.d"
