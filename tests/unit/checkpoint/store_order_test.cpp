// The order of the system calls of a commit, on which it depends what a loss of power leaves.
#include <rlhf/checkpoint/file.hpp>
#include <rlhf/checkpoint/store.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unit/checkpoint/temporary_directory.hpp>

namespace checkpoint = rlhf::checkpoint;

namespace {

/// Calls since recording began, each with its paths as seen from below this directory.
struct Recording {
  std::string below;
  std::vector<std::string> calls;

  [[nodiscard]] std::string short_name(std::string_view path) const {
    return path.starts_with(below)
               ? std::string(path == below ? "." : path.substr(below.size() + 1))
               : std::string(path);
  }
  void add(std::string_view what, std::string_view path, std::string_view second = "") {
    calls.push_back(std::string(what) + " " + short_name(path) +
                    (second.empty() ? "" : " " + short_name(second)));
  }
  [[nodiscard]] std::size_t first(std::string_view call, std::size_t from = 0) const {
    while (from < calls.size() && calls[from] != call) {
      ++from;
    }
    return from;
  }
  [[nodiscard]] bool has(std::string_view call) const { return first(call) < calls.size(); }
};
Recording* recording = nullptr;

std::string path_of(int descriptor) {
  std::array<char, PATH_MAX> path{};
  std::string const link = "/proc/self/fd/" + std::to_string(descriptor);
  ssize_t const size = ::readlink(link.c_str(), path.data(), path.size());
  return std::string(path.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
}

}  // namespace

// The program's own definitions come before those of the C library.
extern "C" {
int fsync(int descriptor) {
  if (recording != nullptr) {
    recording->add("flush", path_of(descriptor));
  }
  return static_cast<int>(::syscall(SYS_fsync, descriptor));
}
int rename(char const* from, char const* to) noexcept {
  if (recording != nullptr) {
    recording->add("rename", from, to);
  }
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}
int renameat2(int from_directory, char const* from, int to_directory, char const* to,
              unsigned flags) noexcept {
  if (recording != nullptr) {
    recording->add("exchange", from, to);
  }
  return static_cast<int>(::syscall(SYS_renameat2, from_directory, from, to_directory, to, flags));
}
int unlink(char const* path) noexcept {
  if (recording != nullptr) {
    recording->add("remove", path);
  }
  return static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}
int rmdir(char const* path) noexcept {
  if (recording != nullptr) {
    recording->add("remove", path);
  }
  return static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR));
}
}

namespace {

void save(checkpoint::Store const& store, std::int64_t step) {
  store.begin(step);
  store.write(step, "run", checkpoint::as_bytes("run"));
  store.write(step, "actor/rank-0", checkpoint::as_bytes("zero"));
  store.write(step, "actor/rank-1", checkpoint::as_bytes("one"));
  store.commit(step, 3);
}
/// The calls of saving a step.
Recording record(checkpoint::Store const& store, std::int64_t step) {
  Recording made{store.root(), {}};
  recording = &made;
  save(store, step);
  recording = nullptr;
  return made;
}
/// Everything in `step` was flushed before the call of this number: files, then what names them.
void check_flushed(Recording const& made, std::string const& partial, std::size_t rename) {
  std::size_t last_file = 0;
  for (std::string const file : {"run", ".run.entry", "actor/rank-0", "actor/.rank-0.entry",
                                 "actor/rank-1", "actor/.rank-1.entry", "MANIFEST"}) {
    std::size_t const at = made.first("flush " + partial + "/" + file);
    CHECK_MESSAGE(at < rename, file, " is flushed");
    last_file = file != "MANIFEST" && at > last_file ? at : last_file;
  }
  CHECK(made.first("flush " + partial + "/actor", last_file) < rename);
  std::size_t const list = made.first("flush " + partial + "/MANIFEST");
  CHECK(made.first("flush " + partial, list) < rename);
}
/// No call before that number takes anything of a complete step away.
void check_untouched(Recording const& made, std::string const& step, std::size_t until) {
  for (std::size_t i = 0; i < until && i < made.calls.size(); ++i) {
    CHECK_MESSAGE(made.calls[i].find(" " + step + "/") == std::string::npos, made.calls[i]);
    CHECK_MESSAGE(!made.calls[i].ends_with(" " + step), made.calls[i]);
    CHECK_MESSAGE(!made.calls[i].starts_with("rename " + step + " "), made.calls[i]);
  }
}

}  // namespace

TEST_CASE("a commit flushes everything, renames, flushes the root, and only then prunes") {
  test::TemporaryDirectory const directory("/dev/shm");
  checkpoint::Store const store(directory.path(), 1);
  save(store, 1);
  Recording const made = record(store, 2);
  std::size_t const rename = made.first("rename step-000000002.partial step-000000002");
  REQUIRE(rename < made.calls.size());
  check_flushed(made, "step-000000002.partial", rename);
  REQUIRE(rename + 1 < made.calls.size());
  CHECK(made.calls[rename + 1] == "flush .");
  check_untouched(made, "step-000000001", rename + 2);
  CHECK(made.first("rename step-000000001 step-000000001.partial") > rename + 1);
  CHECK(made.has("rename step-000000001 step-000000001.partial"));
  CHECK(made.has("remove step-000000001.partial/run"));
}

TEST_CASE("a commit that replaces a step flushes, exchanges, flushes the root, and then deletes") {
  test::TemporaryDirectory const directory("/dev/shm");
  checkpoint::Store const store(directory.path(), 1);
  save(store, 1);
  Recording const made = record(store, 1);
  std::size_t const exchange = made.first("exchange step-000000001.partial step-000000001");
  REQUIRE(exchange < made.calls.size());
  // The rename that is tried first finds the old one in its place and does nothing.
  std::size_t const tried = made.first("rename step-000000001.partial step-000000001");
  check_flushed(made, "step-000000001.partial", tried);
  CHECK(exchange == tried + 1);
  CHECK(made.calls[exchange + 1] == "flush .");
  check_untouched(made, "step-000000001", tried);
  CHECK(made.first("remove step-000000001.partial/run", exchange) < made.calls.size());
}

TEST_CASE("a commit after going back sets newer ones aside after it is safe, oldest first") {
  test::TemporaryDirectory const directory("/dev/shm");
  checkpoint::Store const store(directory.path(), 2);
  save(store, 8);
  save(store, 9);
  Recording const made = record(store, 4);
  std::size_t const rename = made.first("rename step-000000004.partial step-000000004");
  REQUIRE(rename < made.calls.size());
  check_flushed(made, "step-000000004.partial", rename);
  check_untouched(made, "step-000000008", rename + 2);
  check_untouched(made, "step-000000009", rename + 2);
  REQUIRE(made.calls.size() > rename + 5);
  CHECK(made.calls[rename + 1] == "flush .");
  CHECK(made.calls[rename + 2] == "rename step-000000008 step-000000008.abandoned");
  CHECK(made.calls[rename + 3] == "flush .");
  CHECK(made.calls[rename + 4] == "rename step-000000009 step-000000009.abandoned");
  CHECK(made.calls[rename + 5] == "flush .");
}

TEST_CASE("replacing a file flushes it, renames, and flushes its directory") {
  test::TemporaryDirectory const directory("/dev/shm");
  Recording made{directory.path(), {}};
  recording = &made;
  checkpoint::write_atomically(directory / "file", checkpoint::as_bytes("content"));
  recording = nullptr;
  REQUIRE(made.calls.size() == 3);
  CHECK(made.calls[0].starts_with("flush file."));
  std::string const partial = made.calls[0].substr(6);
  CHECK(made.calls[1] == "rename " + partial + " file");
  CHECK(made.calls[2] == "flush .");
}
