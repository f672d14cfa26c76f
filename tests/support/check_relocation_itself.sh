#!/usr/bin/env bash
# check_relocation.sh notices each kind of mistake.
# usage: check_relocation_itself.sh SOURCE_DIR CXX
set -eu
source_dir=$1
cxx=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

refuses() {  # WHAT DOCUMENT EXPECTED
  printf '%b' "$2" >"$work/table.md"
  if bash "$source_dir/tests/support/check_relocation.sh" "$source_dir" "$cxx" "$work/table.md" >"$work/out" 2>&1; then
    echo "check_relocation.sh lets pass: $1"
    exit 1
  fi
  grep -qF "$3" "$work/out" || {
    echo "check_relocation.sh refuses $1, but says:"
    cat "$work/out"
    exit 1
  }
}

table='| reference | here | header | how |\n|---|---|---|---|\n'
printf '%b' "$table| \`gone\` | \`sync::Link::verify\` | \`sync/link.hpp\` | \`Version\` |\n| b | none | | why |\n" >"$work/table.md"
bash "$source_dir/tests/support/check_relocation.sh" "$source_dir" "$cxx" "$work/table.md"

refuses 'no table' 'text\n' 'no table has'
refuses 'a header that is not there' "$table| a | \`sync::Link\` | \`sync/lynk.hpp\` | |\n" 'there is no header sync/lynk.hpp'
refuses 'a type that is not there' "$table| a | \`sync::Lynk\` | \`sync/link.hpp\` | |\n" 'Lynk is not declared'
refuses 'another namespace' "$table| a | \`data::Link\` | \`sync/link.hpp\` | |\n" 'error:'
refuses 'a member that is not there' "$table| a | \`sync::Link::verifi\` | \`sync/link.hpp\` | |\n" 'verifi is not declared'
refuses 'another header' "$table| a | \`sync::Link\` | \`sync/policies.hpp\` | |\n" 'Link is not declared'
refuses 'no header' "$table| a | \`sync::Link\` | | |\n" 'names no header'
refuses 'a row of nothing' "$table| a | | | |\n" 'names nothing'
refuses 'a word that is in a comment only' "$table| a | none | | \`Balinski\` |\n" 'Balinski is in no header'
refuses 'a name elsewhere' "$table| a | none | | |\n\n\`data::Loder\`\n" 'data::Loder is not declared'
refuses 'a link' "$table| a | none | | |\n\n[x](nowhere.md)\n" 'links nowhere.md'
refuses 'a row that is cut' "$table| a | none | |\n" 'another number of cells'
echo "check_relocation.sh notices every kind of mistake"
