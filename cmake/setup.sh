# Set-up shared by tests/run.sh, examples/run.sh and benchmarks/run.sh; read with `.`, not run.
#
# Finds what a build needs, installs what is missing with the system's package manager where that is allowed (as root, or
# through sudo without a password), and otherwise prints the command to run. bash 3.2 is enough.
#
#   rlhf_need compiler cmake build_tool fmt json doctest clang clang_sanitizers
#   rlhf_want clang_format clang_tidy
#   rlhf_configure <preset> [option of cmake...]
#   rlhf_build <folder> [target...]

rlhf_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
rlhf_install=yes # --no-install sets it to no: CMake then downloads the libraries that are missing
rlhf_jobs=

rlhf_say() { printf '%s: %s\n' "$rlhf_script" "$*"; }
rlhf_fail() {
  printf '%s: %s\n' "$rlhf_script" "$*" >&2
  exit 1
}

rlhf_count_jobs() {
  if [ -z "$rlhf_jobs" ]; then
    rlhf_jobs=$( (nproc || sysctl -n hw.ncpu || echo 2) 2>/dev/null | head -n 1)
  fi
}

# rlhf_at_least 3.25.1 3.28: is the second version at least the first?
rlhf_at_least() {
  [ "$(printf '%s\n%s\n' "$1" "$2" | sort -t. -k1,1n -k2,2n -k3,3n | head -n 1)" = "$1" ]
}

# --- what is there -----------------------------------------------------------------------------------------------------

rlhf_compiler_is_new_enough() {
  local text version
  command -v "$1" >/dev/null 2>&1 || return 1
  text=$("$1" --version 2>/dev/null | head -n 1)
  version=$("$1" -dumpfullversion 2>/dev/null || "$1" -dumpversion 2>/dev/null) || return 1
  case $text in
    *clang*) rlhf_at_least 14 "$version" ;;
    *) rlhf_at_least 12 "$version" ;;
  esac
}

# Leaves the compiler in CXX, unless the first of PATH is right already. A CXX set by the user is used or refused.
rlhf_has_compiler() {
  local candidate
  if [ -n "${CXX:-}" ]; then
    rlhf_compiler_is_new_enough "${CXX%% *}"
    return
  fi
  for candidate in c++ g++ clang++ g++-14 g++-13 g++-12 clang++-18 clang++-17 clang++-16 clang++-15 clang++-14; do
    if rlhf_compiler_is_new_enough "$candidate"; then
      export CXX=$candidate
      return 0
    fi
  done
  return 1
}

rlhf_has_cmake() {
  command -v cmake >/dev/null 2>&1 &&
    rlhf_at_least 3.25.1 "$(cmake --version | sed -n '1s/[^0-9]*\([0-9.]*\).*/\1/p')"
}

rlhf_has_build_tool() {
  command -v ninja >/dev/null 2>&1 || command -v make >/dev/null 2>&1
}

# A library counts as present if its header is where the compiler looks, below a prefix that CMake searches, or named by
# the user as a local copy.
rlhf_has_header() {
  local prefix
  if printf '#include <%s>\n' "$1" | ${CXX:-c++} -std=c++20 -E -x c++ - >/dev/null 2>&1; then
    return 0
  fi
  local IFS=':;'
  for prefix in ${CMAKE_PREFIX_PATH:-} /usr/local /opt/homebrew; do
    if [ -e "$prefix/include/$1" ]; then
      return 0
    fi
  done
  return 1
}

rlhf_has_local_copy() {
  case " ${rlhf_cmake_options[*]:-} " in
    *" -DFETCHCONTENT_SOURCE_DIR_$1="* | *" -DCMAKE_PREFIX_PATH="* | *" -D$2_DIR="*) return 0 ;;
  esac
  return 1
}

rlhf_has_fmt() { rlhf_has_local_copy FMT fmt || rlhf_has_header fmt/format.h; }
rlhf_has_json() { rlhf_has_local_copy NLOHMANN_JSON nlohmann_json || rlhf_has_header nlohmann/json.hpp; }
rlhf_has_doctest() { rlhf_has_local_copy DOCTEST doctest || rlhf_has_header doctest/doctest.h; }
rlhf_has_clang() { rlhf_compiler_is_new_enough clang++; }
rlhf_has_clang_sanitizers() {
  printf 'int main() {}\n' | clang++ -fsanitize=address -x c++ - -o /dev/null >/dev/null 2>&1
}
# Version 14 of these two: others lay out differently and know other checks.
rlhf_has_version_14() {
  command -v "$1-14" >/dev/null 2>&1 || { command -v "$1" >/dev/null 2>&1 && "$1" --version | grep -q 'version 14\.'; }
}
rlhf_has_clang_format() { rlhf_has_version_14 clang-format; }
rlhf_has_clang_tidy() { rlhf_has_version_14 clang-tidy; }

# --- what to install ---------------------------------------------------------------------------------------------------

rlhf_package_manager() {
  local manager
  for manager in apt-get dnf zypper pacman brew; do
    if command -v "$manager" >/dev/null 2>&1; then
      echo "$manager"
      return
    fi
  done
}

# rlhf_package <need> <package manager>: the names of the packages.
rlhf_package() {
  case $2:$1 in
    apt-get:compiler) echo g++ ;;
    apt-get:build_tool) echo ninja-build ;;
    apt-get:fmt) echo libfmt-dev ;;
    apt-get:json) echo nlohmann-json3-dev ;;
    apt-get:doctest) echo doctest-dev ;;
    apt-get:clang_format | apt-get:clang_tidy) echo "$(echo "$1" | tr _ -)-14" ;;
    apt-get:clang_sanitizers) echo "libclang-rt-$(clang++ -dumpversion | cut -d. -f1)-dev" ;; # ask for clang first
    dnf:clang_sanitizers) echo compiler-rt ;;
    zypper:clang_sanitizers | pacman:clang_sanitizers) echo clang compiler-rt ;;
    brew:clang_sanitizers) echo llvm ;;
    dnf:compiler) echo gcc-c++ libasan libubsan libtsan ;;
    zypper:compiler) echo gcc-c++ ;;
    dnf:build_tool) echo ninja-build ;;
    dnf:fmt | zypper:fmt) echo fmt-devel ;;
    dnf:json | zypper:json) echo "$([ "$2" = dnf ] && echo json-devel || echo nlohmann_json-devel)" ;;
    dnf:doctest | zypper:doctest) echo doctest-devel ;;
    dnf:clang_format | dnf:clang_tidy) echo clang-tools-extra ;;
    zypper:clang_format | zypper:clang_tidy) echo clang-tools ;;
    pacman:compiler) echo gcc ;;
    brew:compiler) echo llvm ;;
    pacman:json | brew:json) echo nlohmann-json ;;
    brew:clang | brew:clang_tidy) echo llvm ;;
    pacman:clang_format | pacman:clang_tidy) echo clang ;;
    brew:clang_format) echo clang-format ;;
    *:build_tool) echo ninja ;;
    *) echo "$1" | tr _ - ;; # cmake, clang, fmt, doctest
  esac
}

rlhf_install_packages() {
  local manager=$1 as_root=
  shift
  if [ "$manager" != brew ] && [ "$(id -u)" != 0 ]; then
    as_root="sudo"
    if ! sudo -n true >/dev/null 2>&1 </dev/null; then
      return 1
    fi
    as_root="sudo -n"
  fi
  export DEBIAN_FRONTEND=noninteractive
  case $manager in
    apt-get)
      # The lists are fetched only when they do not know a package, or the packages they name have gone.
      local get="$as_root env DEBIAN_FRONTEND=noninteractive apt-get"
      $get install -y --no-install-recommends "$@" </dev/null >/dev/null 2>&1 ||
        { $get update </dev/null && $get install -y --no-install-recommends "$@" </dev/null; }
      ;;
    dnf) $as_root dnf install -y "$@" </dev/null ;;
    zypper) $as_root zypper --non-interactive install "$@" </dev/null ;;
    pacman) $as_root pacman -Sy --needed --noconfirm "$@" </dev/null ;;
    brew) brew install "$@" </dev/null ;;
  esac
}

rlhf_install_command() {
  local manager=$1
  shift
  case $manager in
    apt-get) echo "sudo apt-get update && sudo apt-get install -y --no-install-recommends $*" ;;
    dnf) echo "sudo dnf install -y $*" ;;
    zypper) echo "sudo zypper install $*" ;;
    pacman) echo "sudo pacman -S --needed $*" ;;
    brew) echo "brew install $*" ;;
  esac
}

rlhf_missing() {
  local need
  for need in "$@"; do
    "rlhf_has_$need" || echo "$need"
  done
}

# rlhf_need <need>...: after it, all of them are there, or the script has ended with the command to run. Libraries that
# CMake can download are left to it after --no-install.
rlhf_need() {
  local missing manager packages need
  if [ "$rlhf_install" = no ]; then
    local kept=()
    for need in "$@"; do
      case $need in fmt | json | doctest) ;; *) kept+=("$need") ;; esac
    done
    set -- "${kept[@]}"
  fi
  missing=$(rlhf_missing "$@")
  if [ -n "$missing" ]; then
    case " $(echo $missing) " in
      *" compiler "*) [ -z "${CXX:-}" ] || rlhf_fail "CXX=$CXX is not g++ 12, clang++ 14 or newer" ;;
    esac
    manager=$(rlhf_package_manager)
    [ -n "$manager" ] || rlhf_fail "missing: $(echo $missing); no package manager known to this script was found"
    packages=
    for need in $missing; do
      packages="$packages $(rlhf_package "$need" "$manager")"
    done
    if [ "$rlhf_install" = yes ]; then
      rlhf_say "installing$packages"
      # shellcheck disable=SC2086
      rlhf_install_packages "$manager" $packages ||
        rlhf_fail "could not install all of it; please run: $(rlhf_install_command "$manager" $packages)"
    fi
    missing=$(rlhf_missing "$@")
    if [ -n "$missing" ]; then
      rlhf_fail "missing or too old: $(echo $missing); needed are g++ >= 12 or clang++ >= 14, CMake >= 3.25.1, ninja or" \
        "make, fmt, nlohmann_json, and doctest for the tests. Please run: $(rlhf_install_command "$manager" $packages)"
    fi
  fi
  # Above, the checks ran in a subshell; this one leaves CXX set.
  rlhf_has_compiler || rlhf_fail "no C++20 compiler"
  if [ -z "${CMAKE_GENERATOR:-}" ] && command -v ninja >/dev/null 2>&1; then
    export CMAKE_GENERATOR=Ninja
  fi
  rlhf_count_jobs
}

# rlhf_want <need>...: installs what can be installed, quietly; what cannot, the tests that use it leave out.
rlhf_want() {
  local manager need
  manager=$(rlhf_package_manager)
  [ -n "$manager" ] && [ "$rlhf_install" = yes ] || return 0
  for need in $(rlhf_missing "$@"); do
    rlhf_install_packages "$manager" "$(rlhf_package "$need" "$manager")" >/dev/null 2>&1 ||
      rlhf_say "left out, because it could not be installed: $(rlhf_package "$need" "$manager")"
  done
}

# --- configure and build -----------------------------------------------------------------------------------------------

# Runs a command; shows what it printed only if it failed.
rlhf_quietly() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  if ! "$@" >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    rlhf_fail "this failed: $*"
  fi
}

# rlhf_configure <preset> [option...]: configures into $rlhf_build_root/<preset>, named in `rlhf_folder` afterwards.
rlhf_build_root=build
rlhf_configure() {
  local preset=$1
  shift
  rlhf_folder=$rlhf_build_root/$preset
  cd "$rlhf_root" || exit 1
  local log="$rlhf_folder/configure.log" options=()
  if [ "$rlhf_build_root" != build ]; then
    options=(-B "$rlhf_folder")
  fi
  # A build tree remembers its generator; another one in the environment must not break the second run.
  if [ -f "$rlhf_folder/CMakeCache.txt" ]; then
    CMAKE_GENERATOR=$(sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' "$rlhf_folder/CMakeCache.txt")
    export CMAKE_GENERATOR
  fi
  rlhf_say "configuring $rlhf_folder"
  rlhf_quietly "$log" cmake --preset "$preset" ${options[@]+"${options[@]}"} "$@" \
    ${rlhf_cmake_options[@]+"${rlhf_cmake_options[@]}"}
  grep -h '^-- rlhf' "$log" | sed "s/^-- /  /"
}

# rlhf_build <folder> [target...]: compiles what can be compiled; of errors, shows the first lines and names the log.
rlhf_build() {
  local folder=$1 targets=() keep_going=-k log=$1/build.log
  shift
  if [ $# -gt 0 ]; then
    targets=(--target "$@")
  fi
  case ${CMAKE_GENERATOR:-} in *Ninja*) keep_going="-k 0" ;; esac
  rlhf_say "building $folder"
  # shellcheck disable=SC2086
  set -- cmake --build "$folder" -j "$rlhf_jobs" ${targets[@]+"${targets[@]}"} -- $keep_going
  if [ -t 1 ]; then
    "$@" </dev/null || rlhf_fail "the build in $folder failed"
  elif ! "$@" >"$log" 2>&1 </dev/null; then
    grep -E '(^|[ :])(fatal )?error[: ]|^FAILED|\*\*\*|undefined reference|multiple definition' "$log" | head -n 60 >&2
    rlhf_fail "the build failed; all of its output is in $rlhf_root/$log"
  fi
}
