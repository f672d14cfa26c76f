#!/usr/bin/env bash
# check_captures_itself.sh PYTHON CHECK CLANG: the check finds a planted capture, in a template as well, and no other.
set -u
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/include"
cat > "$folder/include/planted.hpp" <<'CODE'
#pragma once
namespace rlhf {
struct Plain {
  int value;
  int wrong(int a) { return [&] { return value + a; }(); }
  int right(int a) { return [&, this] { return value + a; }(); }
  int without(int a) { return [&] { return a; }(); }
};
template <class T>
struct Template {
  T value;
  T wrong(T a) {
    return [&] { return a + value; }();
  }
  T right(T a) {
    return [this, &a] { return a + value; }();
  }
};
}  // namespace rlhf
CODE
found=$("$1" "$2" "$3" "$folder/include")
status=$?
lines=$(echo "$found" | grep -o 'planted.hpp:[0-9]*' | sort | tr '\n' ' ')
if [ "$status" != 1 ] || [ "$lines" != "planted.hpp:13 planted.hpp:5 " ]; then
  echo "expected lines 5 and 13 and status 1, got status $status and:"
  echo "$found"
  exit 1
fi
