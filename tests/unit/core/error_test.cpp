#include <rlhf/core/error.hpp>

#include <iterator>
#include <set>
#include <stdexcept>
#include <string>

#include <doctest/doctest.h>

using rlhf::Errc;
using rlhf::Error;

namespace {

constexpr Errc all_codes[] = {Errc::invalid_argument,
                              Errc::incompatible_policy,
                              Errc::rank_mismatch,
                              Errc::corrupted,
                              Errc::timeout,
                              Errc::aborted,
                              Errc::io,
                              Errc::cuda,
                              Errc::nccl};

/// The location recorded when this function fails, which must be its caller's.
rlhf::SourceLocation where(rlhf::SourceLocation location = rlhf::SourceLocation::current()) {
  try {
    rlhf::expects(false, "x", location);
  } catch (Error const& error) {
    return error.location();
  }
  return {};
}

}  // namespace

TEST_CASE("every error code has a name of its own") {
  std::set<std::string> names;
  for (Errc const code : all_codes) {
    names.emplace(rlhf::to_string(code));
  }
  CHECK(names.size() == std::size(all_codes));
  CHECK(names.count("") == 0);
  CHECK(names.count("unknown") == 0);
  CHECK(rlhf::to_string(Errc::rank_mismatch) == "rank mismatch");
  CHECK(rlhf::to_string(Errc::io) == "input/output");
}

TEST_CASE("an error says code, message and place, and carries them") {
  Error const error(Errc::nccl, "ncclBroadcast refused", 3, 5, {"a/b.hpp", 17});
  CHECK(std::string(error.what()) == "nccl: ncclBroadcast refused (at a/b.hpp:17)");
  CHECK(error.code() == Errc::nccl);
  CHECK(error.rank() == 3);
  CHECK(error.native_code() == 5);
  CHECK(error.location().line == 17);
  CHECK(Error(Errc::io, "x").rank() == -1);
  CHECK(Error(Errc::io, "x").native_code() == 0);
}

TEST_CASE("one catch clause of the standard library serves, too") {
  CHECK_THROWS_AS(rlhf::fail(Errc::io, "x"), std::runtime_error);
}

TEST_CASE("expects throws invalid_argument only where the condition is false") {
  CHECK_NOTHROW(rlhf::expects(true, "must hold"));
  try {
    rlhf::expects(false, "a batch must hold a sample");
    FAIL("nothing was thrown");
  } catch (Error const& error) {
    CHECK(error.code() == Errc::invalid_argument);
    CHECK(std::string(error.what()).find("invalid argument: a batch must hold a sample (at ") == 0);
    CHECK(error.rank() == -1);
  }
}

TEST_CASE("fail carries code and rank") {
  try {
    rlhf::fail(Errc::timeout, "rank 4 was missing", 4);
    FAIL("nothing was thrown");
  } catch (Error const& error) {
    CHECK(error.code() == Errc::timeout);
    CHECK(error.rank() == 4);
  }
}

TEST_CASE("the place is where the caller stands, not where the library throws") {
  int line = 0;
  try {
    line = __LINE__ + 1;
    rlhf::fail(Errc::io, "x");
  } catch (Error const& error) {
    CHECK(error.location().line == line);
    CHECK(std::string(error.location().file).find("error_test.cpp") != std::string::npos);
    CHECK(std::string(error.what()).find(rlhf::text("error_test.cpp:", line, ")")) !=
          std::string::npos);
  }
  CHECK(where().line == __LINE__);
}

TEST_CASE("expects can stand in constant expressions") {
  constexpr bool fine = [] {
    rlhf::expects(true, "");
    return true;
  }();
  CHECK(fine);
}
