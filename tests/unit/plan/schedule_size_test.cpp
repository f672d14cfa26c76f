#include <rlhf/core/error.hpp>
#include <rlhf/plan/build.hpp>
#include <rlhf/plan/schedule.hpp>
#include <rlhf/plan/schedule_size.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "property/cases.hpp"

namespace plan = rlhf::plan;
using plan::Plan;
using rlhf::Box;

namespace {

/// One square matrix from rank 0, half of it each to ranks 1 and 2.
Plan matrix(std::int64_t extent, std::int64_t bucket_bytes) {
  rlhf::Shape const shape{extent, extent};
  plan::PlacementBuilder<> source(rlhf::Layout{}, {0});
  source.add("w", rlhf::DType::f32, shape,
             source.pattern({{Box::whole(shape), source.ranks({0})}}));
  plan::PlacementBuilder<> destination(rlhf::Layout{.tensor = 2}, {1, 2});
  Box low = Box::whole(shape);
  low.extent[0] = extent / 2;
  Box high = low;
  high.start[0] = extent / 2;
  destination.add(
      "w", rlhf::DType::f32, shape,
      destination.pattern({{low, destination.ranks({0})}, {high, destination.ranks({1})}}));
  return plan::build(source.take(), destination.take(), {.bucket_bytes = bucket_bytes});
}

template <class Call>
std::string refusal(Call call) {
  try {
    call();
  } catch (rlhf::Error const& error) {
    CHECK(error.code() == rlhf::Errc::invalid_argument);
    return std::string(error.message());
  }
  return {};
}

bool says(std::string const& text, std::string const& what) {
  return text.find(what) != std::string::npos;
}

}  // namespace

TEST_CASE("buckets too small for a schedule are refused at once, with a size that fits") {
  std::string const told = refusal([] { static_cast<void>(matrix(1 << 17, 256)); });
  CHECK(says(told, "buckets of 256 bytes are too small: rank 0 would have 268435456 of them"));
  CHECK(says(told, "give at least 32768"));
  Plan fits = matrix(1 << 17, 32768);
  CHECK(plan::find_bucket_fault(fits).empty());
  // A plan that was changed by hand.
  fits.bucket_bytes = 16384;
  CHECK(says(refusal([&] { static_cast<void>(plan::schedule(fits, 1)); }), "too small"));
  CHECK(says(refusal([&] { static_cast<void>(plan::schedule(fits)); }), "give at least 32768"));
  // The largest tensors there are.
  Plan large = matrix(1 << 27, std::int64_t{1} << 40);
  large.bucket_bytes = 256;
  CHECK(says(plan::find_bucket_fault(large), "would have 281474976710656 of them"));
}

TEST_CASE("what is counted is what a rank's schedule has") {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    auto const pair = cases::random_case(seed, 9, false);
    Plan const made = plan::build(
        cases::describe(pair, cases::Side::source), cases::describe(pair, cases::Side::destination),
        {.route = seed % 2 == 0 ? plan::Route::point_to_point : plan::Route::broadcast,
         .bucket_bytes = 256});
    std::int64_t most = 0;
    std::int64_t all = 0;
    for (int rank = 0; rank < made.world; ++rank) {
      std::int64_t count = 0;
      for (plan::Flow const& flow : plan::schedule(made, rank).flows) {
        count += plan::full_buckets(flow.bytes, made.bucket_bytes);
        all += flow.source == rank ? plan::full_buckets(flow.bytes, made.bucket_bytes) : 0;
      }
      most = count > most ? count : most;
    }
    plan::detail::BucketCount<void> const counted(made, plan::flows_of(made), made.bucket_bytes);
    CHECK(counted.of_rank == most);
    CHECK(counted.of_all == all);
  }
}

TEST_CASE("pieces are counted, those copied on a rank too") {
  Plan made = matrix(8, 256);
  CHECK(plan::find_piece_fault(made).empty());
  // The same move and copy of many parameters, many times over.
  constexpr std::int32_t many = 5000;
  made.kinds[0].parameters.assign(many, 0);
  plan::Move move = made.moves[0];
  move.end = many;
  move.first.back() = many;
  made.moves.assign(3300, move);
  CHECK(plan::find_piece_fault(made).empty());
  made.moves.assign(3400, move);
  CHECK(says(plan::find_piece_fault(made), "would deal with 17000000 pieces"));
  made.moves.clear();
  made.copies.assign(3400, plan::Copy{0, Box::whole({8, 8}), made.source_ranks});
  CHECK(says(plan::find_piece_fault(made), "rank 0 would deal with 17000000 pieces"));
}
