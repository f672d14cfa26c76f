#!/usr/bin/env bash
# Installs what is missing, builds the tests and runs them. tests/run.sh --help tells more.
set -u
rlhf_script=tests/run.sh
. "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/../cmake/setup.sh"

usage() {
  cat <<'TEXT'
usage: tests/run.sh [option...] [-- option of ctest...]

  (no option)          every test: unit, property, ranks, static, headers, compile_fail, odr, consumer, zero_overhead,
                       style, example; single files also with a second compiler and with nvcc, where present
  --quick              one compiler, no CUDA
  --sanitize LIST      unit, property and ranks tests under sanitizers: address,undefined or thread
  --all                everything: the default and clang-tidy, then clang++ with address,undefined (fuzz, too) and with thread
  -D NAME=VALUE        passed to cmake (also -DNAME=VALUE)
  --jobs N             compile and test with N processes (default: one per core)
  --no-install         install no package; cmake downloads the libraries that are missing
  --list               list the tests and stop
  -h, --help           this text

  after --             options of ctest, for example: tests/run.sh --quick -- -R unit.core

Build trees are build/<preset> (dev, cpu, asan, tsan, clang-asan, clang-tsan); a second run builds only what changed.
TEXT
}

mode=default
sanitize=
list=no
rlhf_cmake_options=()
ctest_options=()
while [ $# -gt 0 ]; do
  case $1 in
    --quick) mode=quick ;;
    --all) mode=all ;;
    --sanitize)
      mode=sanitize
      sanitize=${2:?tests/run.sh: --sanitize needs a list such as address,undefined}
      shift
      ;;
    --sanitize=*)
      mode=sanitize
      sanitize=${1#*=}
      ;;
    -D)
      rlhf_cmake_options+=("-D${2:?tests/run.sh: -D needs NAME=VALUE}")
      shift
      ;;
    -D*) rlhf_cmake_options+=("$1") ;;
    --jobs | -j)
      rlhf_jobs=${2:?tests/run.sh: --jobs needs a number}
      shift
      ;;
    --no-install) rlhf_install=no ;;
    --list) list=yes ;;
    -h | --help)
      usage
      exit 0
      ;;
    --)
      shift
      ctest_options=("$@")
      break
      ;;
    *) rlhf_fail "unknown option $1 (tests/run.sh --help)" ;;
  esac
  shift
done

passed_in_all=0
total_in_all=0
folders=
status=0

# ThreadSanitizer of older compilers does not start on kernels that randomise addresses widely; without randomisation it
# does.
tsan_wrapper() {
  local compiler=$1 probe
  probe=$(mktemp -d)
  printf 'int main() {}\n' >"$probe/main.cpp"
  if "$compiler" -fsanitize=thread "$probe/main.cpp" -o "$probe/main" 2>/dev/null && ! "$probe/main" >/dev/null 2>&1 &&
    command -v setarch >/dev/null 2>&1 && setarch "$(uname -m)" -R "$probe/main" >/dev/null 2>&1; then
    echo "setarch $(uname -m) -R"
  fi
  rm -rf "$probe"
}

# run_tests <preset> <wrapper> <option of ctest...>
run_tests() {
  local folder=$1 wrapper=$2 log passed total
  shift 2
  log=$folder/ctest.log
  if [ "$list" = yes ]; then
    ctest --test-dir "$folder" -N "$@" ${ctest_options[@]+"${ctest_options[@]}"}
    return
  fi
  rlhf_say "testing $folder"
  # shellcheck disable=SC2086
  $wrapper ctest --test-dir "$folder" --output-on-failure --no-tests=error -j "$rlhf_jobs" "$@" \
    ${ctest_options[@]+"${ctest_options[@]}"} </dev/null 2>&1 | tee "$log"
  if [ "${PIPESTATUS[0]}" -ne 0 ]; then
    status=1
  fi
  # ctest counts skipped tests as passed; so do we, and name them.
  total=$(sed -n 's/^[0-9]*% tests passed, [0-9]* tests failed out of \([0-9]*\)$/\1/p' "$log" | tail -n 1)
  passed=$((${total:-0} - $(sed -n 's/^[0-9]*% tests passed, \([0-9]*\) tests failed out of [0-9]*$/\1/p' "$log" |
    tail -n 1 | grep . || echo 0)))
  passed_in_all=$((passed_in_all + passed))
  total_in_all=$((total_in_all + ${total:-0}))
  folders="$folders${folders:+, }$folder"
}

# Programs whose tests start threads: what ThreadSanitizer is for. (Laws run the same code as they do, for longer.)
threaded="ranks_tests"
for threaded_layer in comm checkpoint sync data runtime engine; do
  threaded="$threaded unit_$threaded_layer"
done

# stage <preset> <regular expression of labels, or empty> <wrapper> [option of cmake...]
stage() {
  local preset=$1 labels=$2 wrapper=$3
  shift 3
  rlhf_configure "$preset" "$@"
  rlhf_build "$rlhf_folder"
  run_tests "$rlhf_folder" "$wrapper" ${labels:+-L "$labels"}
}

case $mode in
  default)
    rlhf_need compiler cmake build_tool fmt json doctest
    stage dev "" ""
    ;;
  quick)
    rlhf_need compiler cmake build_tool fmt json doctest
    stage cpu "" ""
    ;;
  sanitize)
    rlhf_need compiler cmake build_tool fmt json doctest
    preset=asan
    wrapper=
    case $sanitize in
      *thread*)
        preset=tsan
        wrapper=$(tsan_wrapper "${CXX:-c++}")
        ;;
    esac
    stage $preset '^(unit|property|replay|ranks)$' "$wrapper" "-DRLHF_SANITIZE=$sanitize"
    ;;
  all)
    # clang++ compiles and runs everything under the sanitizers, and nothing without: it is the quicker of the two there.
    rlhf_need compiler cmake build_tool fmt json doctest clang
    rlhf_need clang_sanitizers
    rlhf_want clang_format clang_tidy
    stage dev "" "" -DRLHF_TEST_TIDY=ON
    stage clang-asan '^(unit|property|replay|ranks|static|fuzz)$' "" -DRLHF_BUILD_EXAMPLES=OFF
    rlhf_configure clang-tsan -DRLHF_BUILD_EXAMPLES=OFF
    # shellcheck disable=SC2086
    rlhf_build "$rlhf_folder" $threaded
    run_tests "$rlhf_folder" "$(tsan_wrapper clang++)" \
      -R '^(ranks|unit\.(comm|checkpoint|sync|data|runtime|engine)$)'
    ;;
esac

if [ "$list" = no ]; then
  rlhf_say "$passed_in_all of $total_in_all tests passed ($folders)"
fi
exit $status
