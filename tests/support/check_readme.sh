#!/usr/bin/env bash
# The README's first program is examples/quickstart.cpp, and the error it shows is what the compiler prints.
# usage: check_readme.sh SOURCE_DIR CXX
set -eu
source_dir=$1
cxx=$2
readme=$source_dir/README.md
quickstart=$source_dir/examples/quickstart.cpp
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

awk '/^```cpp$/ {inside = 1; next} /^```$/ {if (inside) exit} inside' "$readme" >"$work/readme.cpp"
diff -u "$quickstart" "$work/readme.cpp" || {
  echo "README.md: its first program differs from examples/quickstart.cpp"
  exit 1
}

sed 's/Layout{.tensor = 4}/Layout{.tensor = 3}/' "$quickstart" >"$work/wrong.cpp"
if "$cxx" -std=c++20 -fsyntax-only -I "$source_dir/include" "$work/wrong.cpp" 2>"$work/errors"; then
  echo "the wrong layout that README.md shows compiles"
  exit 1
fi
[ "$(grep -c 'error:' "$work/errors")" = 1 ] || {
  echo "README.md promises one error, the compiler prints:"
  grep 'error' "$work/errors"
  exit 1
}
# Compared without line breaks: the README folds the sentence.
printed=$(grep -o '\[rlhf:[^"]*' "$work/errors" | head -1 | tr -s ' \n' ' ' | sed 's/ $//')
tr -s ' \n' ' ' <"$readme" | grep -qF "$printed" || {
  echo "README.md does not show what the compiler prints: $printed"
  exit 1
}
# Relative links lead somewhere.
grep -oE '\]\([^)#:]+\)' "$readme" | sed 's/^](//; s/)$//' | while IFS= read -r link; do
  [ -e "$source_dir/$link" ] || {
    echo "README.md links $link, which is not there"
    exit 1
  }
done
echo "README.md: program and error are real"
