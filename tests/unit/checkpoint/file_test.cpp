#include <rlhf/checkpoint/file.hpp>
#include <rlhf/core/error.hpp>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unit/checkpoint/temporary_directory.hpp>

namespace checkpoint = rlhf::checkpoint;

namespace {
void write(std::string const& path, std::string const& content) {
  checkpoint::write_atomically(path, checkpoint::as_bytes(content));
}
std::string read(std::string const& path) {
  return std::string(checkpoint::as_text(checkpoint::read_file(path)));
}
}  // namespace

TEST_CASE("a file reads back, and is replaced as a whole") {
  test::TemporaryDirectory const directory;
  std::string const path = directory / "file";
  for (std::string const& content :
       {std::string("first"), std::string(), std::string(3'000'000, 'x'), std::string("a\0b", 3)}) {
    write(path, content);
    CHECK(read(path) == content);
  }
  CHECK(std::distance(std::filesystem::directory_iterator(directory.path()), {}) == 1);
}

TEST_CASE("readers see the old content or the new one, never a mixture") {
  test::TemporaryDirectory const directory;
  std::string const path = directory / "file";
  write(path, std::string(100'000, 'a'));
  std::thread writer([&] {
    for (int i = 0; i < 40; ++i) {
      write(path, std::string(i % 2 == 0 ? 70'000U : 100'000U, i % 2 == 0 ? 'b' : 'a'));
    }
  });
  int mixed = 0;
  for (int i = 0; i < 200; ++i) {
    std::string const content = read(path);
    mixed += content != std::string(70'000, 'b') && content != std::string(100'000, 'a') ? 1 : 0;
  }
  writer.join();
  CHECK(mixed == 0);
}

TEST_CASE("errors name the path and the system's reason, and leave nothing behind") {
  test::TemporaryDirectory const directory;
  CHECK_THROWS_WITH_AS(
      read(directory / "none"),
      doctest::Contains(("cannot open " + directory / "none" + ": No such file").c_str()),
      rlhf::Error);
  CHECK_THROWS_WITH_AS(read(directory.path()), doctest::Contains("Is a directory"), rlhf::Error);
  CHECK_THROWS_WITH_AS(write(directory / "none/file", "x"), doctest::Contains("cannot create"),
                       rlhf::Error);
  std::filesystem::create_directory(directory / "folder");
  try {
    write(directory / "folder", "x");
    FAIL("a directory was replaced");
  } catch (rlhf::Error const& error) {
    CHECK(error.code() == rlhf::Errc::io);
    CHECK(error.native_code() == EISDIR);
  }
  CHECK(std::distance(std::filesystem::directory_iterator(directory.path()), {}) == 1);
}

TEST_CASE("short reads and writes and signals are handled") {
  test::TemporaryDirectory const directory;
  std::string const path = directory / "pipe";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  // A pipe takes 64 KiB at a time, and the reader's system calls are interrupted all along.
  struct sigaction action {};
  action.sa_handler = [](int) {};  // without SA_RESTART: calls end with EINTR
  struct sigaction before {};
  ::sigaction(SIGUSR1, &action, &before);
  std::string const content(1'000'000, 'x');
  std::thread writer([&] {
    checkpoint::detail::Descriptor const pipe(path, O_WRONLY, "open");
    checkpoint::detail::write_all(pipe, checkpoint::as_bytes(content), path);
  });
  pthread_t const reader = ::pthread_self();
  std::atomic<bool> done{false};
  std::thread disturber([&] {
    while (!done) {
      ::pthread_kill(reader, SIGUSR1);
      std::this_thread::yield();
    }
  });
  std::string const got = read(path);
  done = true;
  disturber.join();
  writer.join();
  ::sigaction(SIGUSR1, &before, nullptr);
  CHECK(got == content);
}
