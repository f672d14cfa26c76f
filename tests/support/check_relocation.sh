#!/usr/bin/env bash
# Every name and header that examples/from_chatlearn.md mentions is there.
# usage: check_relocation.sh SOURCE_DIR CXX [DOCUMENT]
#
# Tables with the columns "here" and "header": what stands in backticks under "here" is declared in one of the row's headers
# (or what they include from a detail/ directory), and, but for members and headers that need other libraries, the compiler
# finds it in namespace rlhf. Elsewhere a qualified name is declared somewhere, and other words occur in some header.
# The first column speaks of the reference and is not looked at.
set -eu
source_dir=$1
cxx=$2
document=${3:-$source_dir/examples/from_chatlearn.md}
include=$source_dir/include/rlhf
title=$(basename "$document")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

wrong() {
  echo "$title:$1: $2" >>"$work/wrong"
}
: >"$work/wrong"

# "row LINE NAMES # HEADERS" and "text LINE WORDS", with what is in backticks, one to a field, blanks inside as \037.
awk '
  function quoted(text,    out, at) {
    out = ""
    while (match(text, /`[^`]+`/)) {
      at = substr(text, RSTART + 1, RLENGTH - 2)
      gsub(/[ \t]+/, "\037", at)
      out = out " " at
      text = substr(text, RSTART + RLENGTH)
    }
    return out
  }
  function trimmed(text) { gsub(/^[ \t]+|[ \t]+$/, "", text); return text }
  /^```/ { code = !code; here = 0; next }
  code {
    while (match($0, /rlhf(::[A-Za-z_][A-Za-z0-9_]*)+/)) {
      print "text " NR " " substr($0, RSTART + 6, RLENGTH - 6)
      $0 = substr($0, RSTART + RLENGTH)
    }
    next
  }
  /^\|-/ { next }
  /^\|/ {
    cells = split($0, cell, "|")
    if (!in_table) {
      in_table = 1
      here = header = 0
      for (i = 2; i < cells; ++i) {
        here = trimmed(cell[i]) == "here" ? i : here
        header = trimmed(cell[i]) == "header" ? i : header
      }
      columns = cells
      next
    }
    if (cells != columns) print "cells " NR
    for (i = 3; i < cells; ++i) {
      if (here && header && i == header) continue
      if (here && header && i == here) {
        nothing = trimmed(cell[here]) == "none" ? " none" : ""
        print "row " NR nothing quoted(cell[here]) " #" quoted(cell[header])
      } else {
        print "text " NR quoted(cell[i])
      }
    }
    next
  }
  { in_table = 0; print "text " NR quoted($0) }
' "$document" >"$work/mentioned"

# A header without comments, with what it includes from detail/.
plain() {
  local flat=$work/plain/${1//\//_}
  if [ ! -e "$flat" ]; then
    mkdir -p "$work/plain"
    sed 's://.*$::' "$include/$1" >"$flat"
    sed -n 's:^#include <rlhf/\(.*/detail/[^>]*\)>$:\1:p' "$include/$1" | while IFS= read -r part; do
      sed 's://.*$::' "$include/$part" >>"$flat"
    done
  fi
  echo "$flat"
}
declares() {  # NAME FILE...
  local name=$1
  shift
  grep -qE "(^|[^A-Za-z0-9_:.>])${name}[[:space:]]*([({;=,}<]|\$|:([^:]|\$)|final)" "$@"
}
# The part of a name that namespaces hold: up to the first type, which is written in CamelCase.
outer_of() {
  sed -E 's/^(([a-z0-9_]+::)*[A-Z][A-Za-z0-9]*)::.*$/\1/' <<<"$1"
}

find "$include" \( -name '*.hpp' -o -name '*.cuh' \) -exec sed 's://.*$::' {} + >"$work/everything"

rows=0
names=0
{
  echo '#include <rlhf/rlhf.hpp>'
  (cd "$include" && ls config/*.hpp) | sed 's:.*:#include <rlhf/&>:'
} >"$work/includes"
: >"$work/uses"
use() {  # LINE NAME: the compiler is asked, unless it would need other libraries.
  local outer
  outer=$(outer_of "$2")
  case $outer in
    adapters::* | cuda::* | nccl::*) ;;
    *) printf '#line %d "%s"\nnamespace use_%d { using rlhf::%s; }\n' "$1" "$title" "$names" "$outer" >>"$work/uses" ;;
  esac
}
while read -r kind line fields; do
  case $kind in
    cells) wrong "$line" "another number of cells than its table has" ;;
    row)
      rows=$((rows + 1))
      here=${fields%%#*}
      headers=${fields#*#}
      files=()
      for header in $headers; do
        if [ ! -f "$include/$header" ]; then
          wrong "$line" "there is no header $header"
          continue
        fi
        files+=("$(plain "$header")")
        case $header in
          adapters/* | cuda/* | nccl/*) ;;
          *) echo "#include <rlhf/$header>" >>"$work/includes" ;;
        esac
      done
      if [ "${here// /}" = none ]; then
        [ -z "${headers// /}" ] || wrong "$line" "says none, and names a header"
        continue
      fi
      [ -n "${here// /}" ] || wrong "$line" "names nothing of the library, and does not say none"
      [ -n "${headers// /}" ] || wrong "$line" "names no header"
      [ ${#files[@]} -gt 0 ] || continue
      for name in $here; do
        names=$((names + 1))
        if ! [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*(::[A-Za-z_][A-Za-z0-9_]*)*$ ]]; then
          wrong "$line" "$name is no name"
          continue
        fi
        outer=$(outer_of "$name")
        for part in "${outer##*::}" "${name##*::}"; do
          declares "$part" "${files[@]}" || wrong "$line" "$name: $part is not declared in$headers"
        done
        use "$line" "$name"
      done
      ;;
    text)
      for field in $fields; do
        words=${field//$'\037'/ }
        if [[ $words =~ ^[a-z_]+/[a-z_/]+\.(hpp|cuh)$ ]]; then
          [ -f "$include/$words" ] || wrong "$line" "there is no header $words"
          continue
        fi
        case $words in -*) continue ;; esac
        while IFS= read -r name; do
          case $name in
            rlhf | std::*) ;;
            *::*)
              names=$((names + 1))
              declares "${name##*::}" "$work/everything" || wrong "$line" "$name is not declared anywhere"
              use "$line" "$name"
              ;;
            *) grep -qw -- "$name" "$work/everything" || wrong "$line" "$name is in no header" ;;
          esac
        done < <(grep -oE '[A-Za-z_][A-Za-z0-9_]*(::[A-Za-z_][A-Za-z0-9_]*)*' <<<"$words")
      done
      ;;
  esac
done <"$work/mentioned"

[ "$rows" -gt 0 ] || wrong 1 'no table has the columns "here" and "header"'
sort -u "$work/includes" | cat - "$work/uses" >"$work/names.cpp"
if [ ! -s "$work/wrong" ] && ! "$cxx" -std=c++20 -fsyntax-only -I "$source_dir/include" "$work/names.cpp" 2>"$work/errors"; then
  { grep 'error:' "$work/errors" || cat "$work/errors"; } >>"$work/wrong"
fi
grep -oE '\]\([^)#:]+\)' "$document" | sed 's/^](//; s/)$//' | while IFS= read -r link; do
  [ -e "$source_dir/examples/$link" ] || wrong 1 "links $link, which is not there"
done
if [ -s "$work/wrong" ]; then
  cat "$work/wrong"
  exit 1
fi
echo "$title: $rows rows, $names names, all there"
