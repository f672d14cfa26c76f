#include <rlhf/core/rng.hpp>
#include <rlhf/tensor/box.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

using rlhf::Box;
using rlhf::Extents;

namespace {

constexpr int side = 6;  // boxes live in a cube of 6 x 6 x 6

/// Which of the cube's elements lie in a box.
std::vector<int> elements_of(Box const& box) {
  std::vector<int> out(side * side * side, 0);
  for (int i = 0; i < side; ++i) {
    for (int j = 0; j < side; ++j) {
      for (int k = 0; k < side; ++k) {
        out[static_cast<std::size_t>((i * side + j) * side + k)] =
            i >= box.start[0] && i < box.end(0) && j >= box.start[1] && j < box.end(1) &&
                    k >= box.start[2] && k < box.end(2)
                ? 1
                : 0;
      }
    }
  }
  return out;
}

Box random_box(rlhf::CounterRandom const& random, std::uint64_t& at) {
  Box box{Extents{0, 0, 0}, Extents{0, 0, 0}};
  for (int d = 0; d < 3; ++d) {
    box.start[d] = random.below(at++, side);
    box.extent[d] = random.below(at++, static_cast<std::uint32_t>(side - box.start[d] + 1));
  }
  return box;
}

}  // namespace

TEST_CASE("a box of a whole tensor, a scalar's included") {
  CHECK(Box::whole({4, 5}) == Box{{0, 0}, {4, 5}});
  CHECK(Box::whole({}).elements() == 1);
  CHECK_FALSE(Box::whole({}).empty());
  CHECK(Box::whole({4, 0}).empty());
}

TEST_CASE("boxes print as slices") {
  CHECK(rlhf::to_string(Box{{0, 64}, {128, 64}}) == "[0:128, 64:128]");
}

TEST_CASE("intersection, containment and subtraction agree with sets of elements") {
  rlhf::CounterRandom const random(11, 0);
  std::uint64_t at = 0;
  int wrong_intersection = 0;
  int wrong_containment = 0;
  int wrong_subtraction = 0;
  int most_parts = 0;
  for (int round = 0; round < 3000; ++round) {
    Box const a = random_box(random, at);
    Box const b = random_box(random, at);
    std::vector<int> const in_a = elements_of(a);
    std::vector<int> const in_b = elements_of(b);
    std::vector<int> const shared = elements_of(rlhf::intersection(a, b));
    std::vector<Box> parts;
    rlhf::subtract(a, b, parts);
    most_parts =
        static_cast<int>(parts.size()) > most_parts ? static_cast<int>(parts.size()) : most_parts;
    std::vector<int> rest(in_a.size(), 0);
    for (Box const& part : parts) {
      wrong_subtraction += part.empty() ? 1 : 0;
      std::vector<int> const in_part = elements_of(part);
      for (std::size_t e = 0; e < rest.size(); ++e) {
        rest[e] += in_part[e];
      }
    }
    bool subset = true;
    bool nothing = true;
    for (std::size_t e = 0; e < in_a.size(); ++e) {
      wrong_intersection += shared[e] == in_a[e] * in_b[e] ? 0 : 1;
      wrong_subtraction += rest[e] == in_a[e] * (1 - in_b[e]) ? 0 : 1;
      subset = subset && in_b[e] <= in_a[e];
      nothing = nothing && in_a[e] * in_b[e] == 0;
    }
    wrong_intersection += rlhf::intersection(a, b).empty() == nothing ? 0 : 1;
    if (!b.empty()) {
      wrong_containment += a.contains(b) == subset ? 0 : 1;
    }
  }
  CHECK(wrong_intersection == 0);
  CHECK(wrong_containment == 0);
  CHECK(wrong_subtraction == 0);
  CHECK(most_parts > 3);   // the cases are not all trivial
  CHECK(most_parts <= 6);  // at most two a dimension
}
