#!/usr/bin/env bash
# run.sh <way> <source dir> <build dir> <cmake> <generator> <compiler>: builds and runs the consumer.
set -u
way=$1
source_dir=$2
build_dir=$3
cmake=$4
generator=$5
compiler=$6
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# configure <project> <option>...
configure() {
  local project=$1
  shift
  "$cmake" -S "$here/$project" -B "$work/build" -G "$generator" -DCMAKE_CXX_COMPILER="$compiler" "$@" \
    >"$work/log" 2>&1 </dev/null
}
show_log_and_fail() {
  tail -n 40 "$work/log"
  echo "consumer.$way: $*"
  exit 1
}
build_and_run() {
  "$cmake" --build "$work/build" >"$work/log" 2>&1 </dev/null || show_log_and_fail "does not build"
  "$work/build/consumer" || show_log_and_fail "does not run"
}
install_package() {
  # Configured again first, so that headers added since are known.
  { "$cmake" "$build_dir" && "$cmake" --install "$build_dir" --prefix "$work/prefix"; } >"$work/log" 2>&1 </dev/null ||
    show_log_and_fail "does not install"
  # Every header is installed, unchanged.
  (cd "$source_dir/include" && find rlhf -type f) | while IFS= read -r header; do
    cmp "$source_dir/include/$header" "$work/prefix/include/$header" || exit 1
  done || show_log_and_fail "installs other headers"
}
# No dependency but threads may be needed: as if neither fmt nor json nor CUDA were installed.
bare=(-DCMAKE_DISABLE_FIND_PACKAGE_fmt=ON -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON
  -DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=ON)

case $way in
  subdirectory)
    configure subdirectory -DRLHF_SOURCE_DIR="$source_dir" || show_log_and_fail "does not configure"
    build_and_run
    rm -rf "$work/build"
    configure subdirectory -DRLHF_SOURCE_DIR="$source_dir" "${bare[@]}" || show_log_and_fail "needs more than threads"
    ;;
  installed)
    install_package
    configure installed -DCMAKE_PREFIX_PATH="$work/prefix" "${bare[@]}" || show_log_and_fail "does not configure"
    build_and_run
    ;;
  refused)
    install_package
    for version in 0.0 0.99 1.0; do
      if configure installed -DCMAKE_PREFIX_PATH="$work/prefix" -DWANTED_VERSION=$version; then
        show_log_and_fail "version $version was accepted"
      fi
      grep -q 'considered but not accepted' "$work/log" || show_log_and_fail "failed for another reason"
      rm -rf "$work/build"
    done
    version=$(sed -n 's/^#define RLHF_VERSION_M[AI][JN]OR \([0-9]*\)$/\1/p' \
      "$source_dir/include/rlhf/version.hpp" | paste -sd.)
    configure installed -DCMAKE_PREFIX_PATH="$work/prefix" "-DWANTED_VERSION=$version" ||
      show_log_and_fail "version $version was refused"
    ;;
  components)
    install_package
    if configure installed -DCMAKE_PREFIX_PATH="$work/prefix" -DWANTED_COMPONENTS="COMPONENTS;none"; then
      show_log_and_fail "an unknown component was accepted"
    fi
    rm -rf "$work/build"
    if configure installed -DCMAKE_PREFIX_PATH="$work/prefix" -DWANTED_COMPONENTS="COMPONENTS;json" "${bare[@]}"; then
      show_log_and_fail "a component without its library was accepted"
    fi
    rm -rf "$work/build"
    if [ -e /usr/include/nlohmann/json.hpp ] && [ -e /usr/include/fmt/format.h ]; then
      configure installed -DCMAKE_PREFIX_PATH="$work/prefix" -DWANTED_COMPONENTS="COMPONENTS;fmt;json" ||
        show_log_and_fail "fmt and json are installed, but were refused"
    fi
    ;;
esac
echo "consumer.$way: passed"
