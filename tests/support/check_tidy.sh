#!/usr/bin/env bash
# check_tidy.sh <root> <work folder> <jobs>: clang-tidy over every header that is C++ alone: the layers in one run, the
# adapters, as far as what they include is installed, in another.
set -u
root=$1
work=$2/tidy
jobs=$3
tidy=
for candidate in clang-tidy-14 clang-tidy; do
  if command -v "$candidate" >/dev/null 2>&1 && "$candidate" --version | grep -q 'version 14\.'; then
    tidy=$candidate
    break
  fi
done
if [ -z "$tidy" ]; then
  echo "skipped: clang-tidy 14 is not installed, and others know other checks"
  exit 77
fi
rm -rf "$work"
mkdir -p "$work"
cd "$root/include/rlhf" || exit 2
find . -name '*.hpp' | sed 's|^\./||' | grep -vE '^(cuda|nccl)/' | LC_ALL=C sort | while IFS= read -r header; do
  case $header in
    adapters/*)
      foreign=$(sed -n 's/^# *include *<\(\(fmt\|nlohmann\)[^>]*\)>.*/\1/p' "$header" | head -n 1)
      if [ -n "$foreign" ] && [ -e "/usr/include/$foreign" ]; then
        printf '#include <rlhf/%s>\n' "$header" >>"$work/adapters.cpp"
      fi
      ;;
    *) printf '#include <rlhf/%s>\n' "$header" >>"$work/layers.cpp" ;;
  esac
done
cd "$work" || exit 2
cp "$root/.clang-tidy" .
ls ./*.cpp | xargs -P "$jobs" -I{} sh -c \
  '"$1" --quiet {} -- -std=c++20 -I"$0/include" >{}.log 2>{}.err || touch {}.failed' "$root" "$tidy"
# The adapters read the layers too; each finding is shown once.
findings=$(cat ./*.log | grep -E ': (error|warning): ' | sed "s|$root/||" | LC_ALL=C sort -u)
if [ -n "$findings" ]; then
  printf '%s\n' "$findings" | head -n 80
  echo "clang-tidy: $(printf '%s\n' "$findings" | wc -l) findings"
  exit 1
fi
if ls ./*.failed >/dev/null 2>&1; then
  cat ./*.err | tail -n 20
  exit 1
fi
echo "clang-tidy: nothing found in $(cat ./*.cpp | wc -l) headers"
