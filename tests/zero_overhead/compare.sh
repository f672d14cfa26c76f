#!/usr/bin/env bash
# compare.sh <source> <include dir> <compiler>...: the instructions of library_<what> and by_hand_<what> are the same.
set -u
source=$1
include=$2
shift 2
if ! command -v objdump >/dev/null 2>&1 || [ "$(uname -m)" != x86_64 ]; then
  echo "skipped: needs objdump, on x86_64"
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
only=$(sed -n '1s|^// only: *||p' "$source")
flags=$(sed -n 's|^// flags: *||p' "$source")
failed=0
compared=0

# instructions <object> <function>: one a line, without addresses. A jump inside the function keeps its distance from the
# start; the names and places of constants in the object do not count, and neither does padding behind the last one.
instructions() {
  objdump -dr --no-show-raw-insn --no-addresses "$1" | awk -v wanted="<$2>:" '
    $1 == wanted { inside = 1; next }
    /^$/ || /^Disassembly/ { inside = 0 }
    inside' |
    sed -e "s/<$2\(+0x[0-9a-f]*\)\{0,1\}>/<start\1>/g" -e "s/\.text\.$2/.text.function/g" \
      -e 's/^\(\s*R_X86_64_[A-Z0-9_]*\s*\)\.\(rodata\|LC\)[^ ]*/\1constant/' -e 's/#.*//' -e 's/[ \t][ \t]*/ /g' -e 's/ $//' |
    awk '{ line[NR] = $0 }
      END { last = NR; while (last > 0 && line[last] ~ /^ ?(nop|data16|cs nop|xchg %ax,%ax)/) --last
            for (i = 1; i <= last; ++i) print line[i] }'
}

for compiler in "$@"; do
  name=$(basename "$compiler")
  kind=g++
  if "$compiler" --version | grep -q clang; then kind=clang++; fi
  if [ -n "$only" ] && [ "$only" != "$kind" ]; then
    continue
  fi
  # g++ would otherwise notice that the two are the same and let one jump to the other, or merge or split parts of them.
  options="-std=c++20 -O2 -ffunction-sections -fno-asynchronous-unwind-tables -fcf-protection=none"
  [ $kind = clang++ ] || options="$options -fno-ipa-icf -fno-reorder-blocks-and-partition"
  # shellcheck disable=SC2086
  "$compiler" $options $flags -I "$include" -c "$source" -o "$work/object.o" || exit 1
  pairs=$(objdump -t "$work/object.o" | sed -n 's/.* F .*[ \t]library_\([A-Za-z0-9_]*\)$/\1/p' | LC_ALL=C sort)
  if [ -z "$pairs" ]; then
    echo "$source defines no function library_<what>"
    exit 1
  fi
  for pair in $pairs; do
    instructions "$work/object.o" "library_$pair" >"$work/library"
    instructions "$work/object.o" "by_hand_$pair" >"$work/by_hand"
    if [ ! -s "$work/by_hand" ]; then
      echo "$name: $pair: by_hand_$pair is missing"
      failed=1
    elif ! difference=$(diff -y -W 150 "$work/library" "$work/by_hand"); then
      echo "$name: $pair: library $(wc -l <"$work/library") lines (left), by hand $(wc -l <"$work/by_hand") lines (right)"
      printf '%s\n' "$difference" | head -n 60
      failed=1
    else
      compared=$((compared + 1))
      echo "$name: $pair: the same $(wc -l <"$work/library") lines"
    fi
  done
done
if [ "$compared" -eq 0 ] && [ "$failed" -eq 0 ]; then
  echo "skipped: the compiler this source is for is not present"
  exit 77
fi
exit $failed
