#!/usr/bin/env bash
# check_layers_itself.sh <cmake> <CheckLayers.cmake>: the checker accepts a clean tree and finds each kind of violation.
set -u
cmake=$1
script=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# header <path> <text>: adds one header to the tree.
header() {
  mkdir -p "$(dirname "$work/include/rlhf/$1")"
  printf '#pragma once\n%b\n' "$2" >"$work/include/rlhf/$1"
}
clean_tree() {
  rm -rf "$work/include"
  header rlhf.hpp '#include <rlhf/core/a.hpp>'
  header version.hpp ''
  header core/a.hpp '#include <rlhf/version.hpp>\n#include <string>'
  header core/b.hpp '// virtual is only mentioned; #include <random>\nstatic const char* s = "virtual";'
  header core/detail/d.hpp ''
  header tensor/a.hpp '#include <rlhf/core/a.hpp>'
  header sync/a.hpp '#include <rlhf/core/a.hpp>'
  header cuda/a.hpp '#include <rlhf/tensor/a.hpp>\n#include <cuda_runtime_api.h>'
  header adapters/fmt.hpp '#include <rlhf/sync/a.hpp>\n#include <fmt/format.h>'
}
run() { "$cmake" -D "SOURCE_DIR=$work" -P "$script" 2>&1; }

# refused <what> <path> <text>: a clean tree with this header must be refused, and the header named.
refused() {
  clean_tree
  header "$2" "$3"
  local output
  if output=$(run); then
    echo "not found: $1"
    failures=$((failures + 1))
  elif ! printf '%s' "$output" | grep -qF "$2"; then
    echo "header not named: $1: $output"
    failures=$((failures + 1))
  fi
}

clean_tree
run || {
  echo "the clean tree was refused"
  failures=$((failures + 1))
}
refused "a higher layer" core/c.hpp '#include <rlhf/tensor/a.hpp>'
refused "data includes sync" data/c.hpp '#include <rlhf/sync/a.hpp>'
refused "indented include" core/c.hpp '#if 1\n#  include <rlhf/tensor/a.hpp>\n#endif'
refused "a leaf is included" sync/c.hpp '#include <rlhf/cuda/a.hpp>'
refused "an adapter is included" sync/c.hpp '#include <rlhf/adapters/fmt.hpp>'
refused "the umbrella has a leaf" rlhf.hpp '#include <rlhf/cuda/a.hpp>'
refused "the umbrella is included" sync/c.hpp '#include <rlhf/rlhf.hpp>'
refused "fmt in a layer" sync/c.hpp '#include <fmt/core.h>'
refused "json in a layer" sync/c.hpp '#include <nlohmann/json.hpp>'
refused "CUDA in a layer" sync/c.hpp '#include <cuda_runtime_api.h>'
refused "an expensive header in core" core/c.hpp '#include <functional>'
refused "another layer's detail" tensor/c.hpp '#include <rlhf/core/detail/d.hpp>'
refused "quotes" core/c.hpp '#include "a.hpp"'
refused "a missing header" core/c.hpp '#include <rlhf/core/none.hpp>'
refused "virtual" sync/c.hpp 'struct S { virtual void f(); };'
refused "typeid" sync/c.hpp 'auto const& t = typeid(int);'
refused "dynamic_cast" sync/c.hpp 'auto* p = dynamic_cast<int*>(q);'
refused "std::function" sync/c.hpp 'std::function<void()> f;'
refused "an unknown layer" utils/c.hpp ''
refused "a .cuh without #error" cuda/c.cuh ''

[ "$failures" -eq 0 ]
