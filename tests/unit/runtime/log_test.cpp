#include <rlhf/comm/local_world.hpp>
#include <rlhf/runtime/log.hpp>
#include <rlhf/runtime/memory_report.hpp>
#include <rlhf/runtime/progress.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "ranks/world.hpp"
#include "support/allocations.hpp"
#include "unit/runtime/still_clock.hpp"
#include <unistd.h>

namespace {

namespace runtime = rlhf::runtime;
using runtime::kv;
using runtime::LogLevel;

struct Lines {
  std::string* all = nullptr;
  void operator()(std::string_view line) const { all->append(line); }
};
using Log = runtime::BasicLog<Lines>;
using Progress = runtime::BasicProgress<Lines, StillClock>;

std::size_t count_of(std::string const& words, char letter) {
  std::size_t count = 0;
  for (char const one : words) {
    count += one == letter ? 1 : 0;
  }
  return count;
}

TEST_CASE("log: levels, rank, name, values") {
  std::string all;
  Log log({.rank = 3, .ranks = 8, .name = "policy", .time = false}, {&all});
  log.debug("hidden");
  log.info("saved", kv("step", 40), kv("path", "/runs/a"), kv("loss", 0.25), kv("last", true));
  log.log_rank_0(LogLevel::error, "not from rank 3");
  log.set_level(LogLevel::error);
  log.warning("hidden");
  log.error("bad", kv("why", "two words"), kv("empty", ""), kv("odd", "a=\"b\"\\\n"));
  log.set_level(LogLevel::off);
  log.error("hidden");
  CHECK(all ==
        "info    rank 3/8 policy: saved step=40 path=/runs/a loss=0.25 last=true\n"
        "error   rank 3/8 policy: bad why=\"two words\" empty=\"\" odd=\"a=\\\"b\\\"\\\\\\n\"\n");
}

TEST_CASE("log: one line a message, with a time") {
  std::string all;
  Log log({}, {&all});
  log.log_rank_0(LogLevel::info, "first\nsecond\r\x01");
  REQUIRE(all.size() > 33);
  CHECK(all.substr(4, 1) == "-");
  CHECK(all.substr(10, 1) == "T");
  CHECK(all.substr(19, 1) == ".");
  CHECK(all.substr(23) == "Z info    first\\nsecond\\r?\n");
}

TEST_CASE("log: levels by name") {
  CHECK(runtime::log_level_of("warning") == LogLevel::warning);
  CHECK(runtime::log_level_of("off") == LogLevel::off);
  CHECK_THROWS_WITH_AS(static_cast<void>(runtime::log_level_of("Info")),
                       doctest::Contains("\"Info\" is no level of a log; use debug, info"),
                       rlhf::Error);
}

TEST_CASE("log: a descriptor gets whole lines; steady lines allocate nothing") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  runtime::Log log({.rank = 0, .ranks = 1, .name = "a", .time = true}, {ends[1]});
  log.info("warm up with as many letters as the longest", kv("step", 100'000));
  std::int64_t const before = allocations();
  for (int i = 0; i < 5; ++i) {
    log.info("a line", kv("step", i));
  }
  CHECK(allocations() == before);
  ::close(ends[1]);
  std::string all;
  char room[512];
  for (ssize_t n = 0; (n = ::read(ends[0], room, sizeof room)) > 0;) {
    all.append(room, static_cast<std::size_t>(n));
  }
  ::close(ends[0]);
  CHECK(count_of(all, '\n') == 6);
  CHECK(all.find("rank 0/1 a: a line step=4\n") != std::string::npos);
}

TEST_CASE("progress: a line that is written over, cut to the width") {
  std::string all;
  StillClock::time = 0;
  Progress progress(200, {.terminal = true, .width = 60, .interval = {100}, .name = "episode"}, 0,
                    {&all});
  progress.update(10, "loss 0.25");
  CHECK(all == "\repisode 10/200 [=>                  ]   5 % 0:00:00 left 0:");
  all.clear();
  StillClock::time += 50'000'000;
  progress.update(11, "too early");
  CHECK(all.empty());
  StillClock::time += 19'950'000'000;
  progress.update(100);
  CHECK(all == "\repisode 100/200 [==========>         ]  50 % 0:00:20 left 0");
  all.clear();
  progress.finish("done");
  progress.finish();
  CHECK(all == "\repisode 100/200 [==========>         ]  50 % 0:00:20 left 0\n");
}

TEST_CASE("progress: letters of several bytes are not cut, shorter lines blank longer ones") {
  std::string all;
  StillClock::time = 0;
  Progress progress(4, {.terminal = true, .width = 58, .interval = {0}, .name = "s"}, 0, {&all});
  progress.update(1, "\xC3\xA4\xC3\xB6\xC3\xBC");  // three letters, one fits
  std::string const first = "\rs 1/4 [=====>              ]  25 % 0:00:00 left 0:00:00 ";
  CHECK(all == first + "\xC3\xA4");
  all.clear();
  progress.update(4);
  CHECK(all == std::string("\rs 4/4 [====================] 100 % 0:00:00") + std::string(15, ' '));
}

TEST_CASE("progress: plain lines, not more often than the interval, the last one always") {
  std::string all;
  StillClock::time = 0;
  Progress progress(100, {.terminal = false, .interval = {10'000}, .name = "step"}, 50, {&all});
  for (int done = 51; done <= 100; ++done) {
    StillClock::time += 1'000'000'000;
    progress.update(done, "a\nb");
  }
  progress.finish();
  CHECK(count_of(all, '\n') == 6);
  CHECK(all.substr(0, all.find('\n')) == "step 51/100  51 % 0:00:01 left 0:00:49 a b");
  CHECK(all.find("step 61/100  61 % 0:00:11 left 0:00:39 a b\n") != std::string::npos);
  CHECK(all.find("step 100/100 100 % 0:00:50 a b\n") != std::string::npos);
}

TEST_CASE("memory: this process, and named bytes over ranks") {
  runtime::ProcessMemory const before = runtime::ProcessMemory::now();
  CHECK(before.resident > 100'000);
  CHECK(before.peak >= before.resident);
  {
    std::vector<char> touched(std::size_t{64} << 20, 1);
    CHECK(touched[12345] == 1);
    CHECK(runtime::ProcessMemory::now().resident > before.resident + (std::int64_t{48} << 20));
  }
  CHECK(runtime::ProcessMemory::now().peak > before.resident + (std::int64_t{48} << 20));
  std::string table;
  auto const end = ranks::run_world(3, [&](rlhf::comm::Local& comm) {
    runtime::MemoryReport report;
    report.add("weights", 1024 * (comm.rank() + 1));
    report.add("weights", 512);
    if (comm.rank() == 1) {
      report.add("cache", 100);
    }
    auto const rows = report.reduce(comm);
    if (comm.rank() == 0) {
      table = runtime::to_string(rows);
    }
    report.add_process();
    CHECK(report.bytes("process/peak") >= report.bytes("process/resident"));
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  CHECK(table ==
        "memory   ranks       min       max  largest     total\n"
        "weights      3  1.50 KiB  3.50 KiB   rank 2  7.50 KiB\n"
        "cache        1     100 B     100 B   rank 1     100 B\n");
}

}  // namespace
