#include <rlhf/comm/local_world.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/core/clock.hpp>

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <unistd.h>

namespace comm = rlhf::comm;
using comm::Local;
using comm::LocalWorld;
using rlhf::Errc;
using rlhf::Error;

namespace {

/// The Error that a call throws.
template <class Call>
Error error_of(Call&& call) {
  try {
    call();
  } catch (Error const& error) {
    return error;
  }
  return {Errc::io, "nothing was thrown", -99};
}

}  // namespace

TEST_CASE("run_local runs the function once a rank and returns when all have ended") {
  std::atomic<int> calls{0};
  std::vector<int> sizes(5);
  comm::run_local(5, [&](Local world) {
    ++calls;
    sizes[static_cast<std::size_t>(world.rank())] = world.size();
  });
  CHECK(calls == 5);
  CHECK(sizes == std::vector<int>(5, 5));
}

TEST_CASE("a world needs a rank") {
  CHECK(error_of([] { comm::run_local(0, [](Local) {}); }).code() == Errc::invalid_argument);
  CHECK_THROWS_AS(LocalWorld(-1), Error);
}

TEST_CASE("a world for threads of the caller: take, work, leave") {
  LocalWorld world(3, {rlhf::Milliseconds{30'000}});
  CHECK(world.size() == 3);
  std::vector<int> sums(3);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 3; ++rank) {
    threads.emplace_back([&world, &sums, rank] {
      Local mine = world.communicator(rank);
      std::vector<int> sum{rank + 1};
      comm::all_reduce(mine, std::span(sum));
      sums[static_cast<std::size_t>(rank)] = sum[0];
      world.leave(rank);
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(sums == std::vector<int>{6, 6, 6});
  CHECK_NOTHROW(world.rethrow());
}

TEST_CASE("a communicator is taken once, of a rank that exists") {
  LocalWorld world(2);
  Local const first = world.communicator(1);
  CHECK(first.rank() == 1);
  CHECK_THROWS_AS(static_cast<void>(world.communicator(1)), Error);
  CHECK_THROWS_AS(static_cast<void>(world.communicator(2)), Error);
  CHECK_THROWS_AS(static_cast<void>(world.communicator(-1)), Error);
  Local const other = world.communicator(0);
  CHECK(other.size() == 2);
}

TEST_CASE("communicators may outlive their world object, and a world its communicators") {
  Local kept;
  {
    LocalWorld world(1);
    kept = world.communicator(0);
  }
  int value = 4;
  kept.broadcast(&value, 1, rlhf::DType::i32, 0);
  kept.barrier();
  CHECK(kept.size() == 1);
  LocalWorld world(2);
  { Local const gone = world.communicator(0); }
  world.leave(0);
  world.fail(1, Errc::io, "after everybody has gone");
  CHECK(error_of([&] { world.rethrow(); }).rank() == 1);
}

TEST_CASE("fail ends the calls of every rank and keeps the first cause") {
  LocalWorld world(2);
  Local mine = world.communicator(0);
  world.fail(1, Errc::cuda, "rank 1 lost its device");
  world.fail(0, Errc::io, "later");
  Error const seen = error_of([&] { mine.barrier(); });
  CHECK(seen.code() == Errc::aborted);
  CHECK(seen.rank() == 1);
  CHECK(std::string(seen.what()).find("lost its device") != std::string::npos);
  Error const cause = error_of([&] { world.rethrow(); });
  CHECK(cause.code() == Errc::cuda);
  CHECK(cause.rank() == 1);
}

TEST_CASE("a rank that has left is named at once by whoever waits for it") {
  LocalWorld world(2);
  Local mine = world.communicator(0);
  world.leave(1);
  Error const seen = error_of([&] { mine.barrier(); });
  CHECK(seen.code() == Errc::aborted);
  CHECK(seen.rank() == 1);
}

TEST_CASE("waiting has a deadline, and the error says who, what and how long") {
  LocalWorld world(3, {rlhf::Milliseconds{30}});
  Local mine = world.communicator(1);
  std::vector<float> data(5);
  Error const seen = error_of([&] { comm::all_reduce(mine, std::span(data)); });
  CHECK(seen.code() == Errc::timeout);
  CHECK(seen.rank() == 0);
  std::string const what = seen.what();
  for (char const* const part :
       {"rank 1/3", "all_reduce(5 x f32, sum)", "30 ms", "rank 0/3", "rank 2/3", "no call"}) {
    CHECK_MESSAGE(what.find(part) != std::string::npos, what);
  }
}

TEST_CASE("a moved communicator goes on counting its calls") {
  comm::run_local(3, [](Local world) {
    for (int i = 0; i < world.rank(); ++i) {  // ranks move a different number of times
      Local moved(std::move(world));
      world = std::move(moved);
    }
    std::vector<int> sum{1};
    for (int round = 0; round < 20; ++round) {
      Local moved(std::move(world));
      sum = {1};
      comm::all_reduce(moved, std::span(sum));
      CHECK(sum[0] == 3);
      world = std::move(moved);
    }
  });
}

TEST_CASE("the library's communicators model Communicator") {
  CHECK(comm::Communicator<Local>);
  CHECK_FALSE(comm::Communicator<int>);
}

namespace {

/// Takes what is written to stderr, and gives it back at the end.
class StandardError {
 public:
  StandardError() : file_(std::tmpfile()), before_(::dup(2)) {
    REQUIRE(file_ != nullptr);
    ::dup2(::fileno(file_), 2);
  }
  StandardError(StandardError const&) = delete;
  StandardError& operator=(StandardError const&) = delete;
  ~StandardError() {
    ::dup2(before_, 2);
    ::close(before_);
    std::fclose(file_);
  }
  [[nodiscard]] std::string text() const {
    std::string out(4096, ' ');
    ssize_t const size = ::pread(::fileno(file_), out.data(), out.size(), 0);
    out.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return out;
  }

 private:
  std::FILE* file_;
  int before_;
};

}  // namespace

TEST_CASE("a rank that is stuck in code of its own is named while the others' failure waits") {
  StandardError const captured;
  std::atomic<bool> released{false};
  std::thread watcher([&] {  // lets the stuck rank go once it was named
    rlhf::Deadline const deadline = rlhf::Deadline::after(rlhf::Milliseconds{20'000});
    while (captured.text().find("has not returned") == std::string::npos && !deadline.passed()) {
      std::this_thread::yield();
    }
    released = true;
  });
  Error const error = error_of([&] {
    comm::run_local(3,
                    [&](Local world) {
                      while (world.rank() == 1 && !released) {
                        std::this_thread::yield();
                      }
                      if (world.rank() != 1) {
                        world.barrier();
                      }
                    },
                    {.timeout = rlhf::Milliseconds{50}});
  });
  watcher.join();
  CHECK(error.code() == Errc::timeout);
  CHECK(error.rank() == 1);
  std::string const said = captured.text();
  CHECK_MESSAGE(said.find("rlhf: rank 1 of 3 has not returned 50 ms after a failure") == 0, said);
  CHECK_MESSAGE(said.find("no answer within 50 ms") != std::string::npos, said);
}

TEST_CASE("ranks that return in time are not named") {
  StandardError const captured;
  CHECK(error_of([&] {
          comm::run_local(3, [&](Local world) {
            if (world.rank() == 1) {
              throw Error(Errc::io, "the test wants it");
            }
            world.barrier();
          });
        }).rank() == 1);
  CHECK(captured.text().empty());
}
