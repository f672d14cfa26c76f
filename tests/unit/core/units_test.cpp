#include <rlhf/core/clock.hpp>
#include <rlhf/core/ids.hpp>
#include <rlhf/core/type_name.hpp>
#include <rlhf/core/units.hpp>

#include <cstdint>
#include <string>
#include <type_traits>

#include <doctest/doctest.h>

using namespace rlhf::literals;

TEST_CASE("byte literals count in powers of 1024") {
  CHECK((1_B).count == 1);
  CHECK((3_KiB).count == 3 * 1024);
  CHECK((64_MiB).count == 64LL * 1024 * 1024);
  CHECK((7_GiB).count == 7LL * 1024 * 1024 * 1024);  // above 2^32
  CHECK(1_KiB + 1_B == 1025_B);
  CHECK(256_KiB * 4 == 1_MiB);
  CHECK(1_KiB < 1_MiB);
}

TEST_CASE("durations are milliseconds") {
  CHECK((250_ms).count == 250);
  CHECK(2_s == 2000_ms);
  CHECK(1_s > 999_ms);
}

TEST_CASE("units and counters do not turn into each other or into numbers") {
  CHECK_FALSE(std::is_convertible_v<int, rlhf::Bytes>);
  CHECK_FALSE(std::is_convertible_v<rlhf::Bytes, rlhf::Milliseconds>);
  CHECK_FALSE(std::is_convertible_v<rlhf::Step, rlhf::Episode>);
  CHECK_FALSE(std::is_convertible_v<rlhf::Step, rlhf::Version>);
  CHECK_FALSE(std::is_convertible_v<rlhf::Version, long>);
}

TEST_CASE("counters count and compare") {
  rlhf::Step step;
  CHECK(++step == rlhf::Step{1});
  rlhf::Episode episode{4};
  ++episode;
  CHECK(episode.value == 5);
  CHECK(rlhf::Version{1} < rlhf::Version{2});
}

TEST_CASE("a deadline passes when its time has come, and not before") {
  CHECK(rlhf::Deadline::after(0_ms).passed());
  CHECK(rlhf::Deadline::after(rlhf::Milliseconds{-5}).passed());
  CHECK_FALSE(rlhf::Deadline::after(1000_s).passed());
  std::int64_t const begin = rlhf::steady_nanoseconds();
  rlhf::Deadline const soon = rlhf::Deadline::after(5_ms);
  while (!soon.passed()) {
  }
  CHECK(rlhf::steady_nanoseconds() - begin >= 5'000'000);
}

TEST_CASE("a deadline as a timespec is normal and on the same clock") {
  std::int64_t const begin = rlhf::steady_nanoseconds();
  timespec const at = rlhf::Deadline::after(1500_ms).as_timespec();
  CHECK(at.tv_nsec >= 0);
  CHECK(at.tv_nsec < 1'000'000'000);
  std::int64_t const there = static_cast<std::int64_t>(at.tv_sec) * 1'000'000'000 + at.tv_nsec;
  CHECK(there - begin >= 1'500'000'000);
  CHECK(there - begin < 60'000'000'000);
}

namespace {
struct Actor {};
template <class T, int n>
struct Holder {};
}  // namespace

TEST_CASE("type names are the whole type and nothing else") {
  CHECK(rlhf::type_name<int>() == "int");
  CHECK(std::string(rlhf::type_name<Actor>()).ends_with("Actor"));
  std::string const holder(rlhf::type_name<Holder<Actor, 3>>());
  CHECK(holder.find("Holder<") != std::string::npos);
  CHECK(holder.ends_with("3>"));
  CHECK(holder.find("T = ") == std::string::npos);
}
