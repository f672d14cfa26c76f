#include <rlhf/tensor/region_overlap.hpp>

#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

#include <doctest/doctest.h>

#include "property/cases.hpp"

using cases::Dice;
using rlhf::Region;

namespace {

std::set<std::byte const*> bytes_of(Region const& region) {
  std::set<std::byte const*> out;
  rlhf::for_each_run(region, [&](std::byte const* run) {
    for (std::int64_t i = 0; i < region.run_bytes; ++i) {
      out.insert(run + i);
    }
  });
  return out;
}

bool share(Region const& a, Region const& b) {
  std::set<std::byte const*> const of_a = bytes_of(a);
  for (std::byte const* const byte : bytes_of(b)) {
    if (of_a.count(byte) != 0) {
      return true;
    }
  }
  return false;
}

}  // namespace

TEST_CASE("regions overlap where they share a byte: boxes of one tensor, and any strides") {
  std::vector<std::byte> memory(4096);
  Dice dice(17);
  int overlapping = 0;
  int crossed = 0;  // spans do, bytes do not
  for (int i = 0; i < 20'000; ++i) {
    Region pair[2];
    // A grid that both are boxes of, or one for each.
    std::int64_t const widths[] = {dice.between(1, 6), dice.between(6, 20), dice.between(20, 90)};
    bool const one_grid = !dice.one_in(3);
    for (Region& region : pair) {
      region.data = memory.data() + dice.between(0, 400);
      region.run_bytes = dice.one_in(20) ? 0 : dice.between(1, 7);
      for (std::int64_t const width : widths) {
        if (dice.one_in(2)) {
          region.counts.push_back(dice.between(1, 5));
          region.byte_strides.push_back(one_grid ? width : dice.between(1, 60));
        }
      }
    }
    bool const expected = share(pair[0], pair[1]);
    CHECK(rlhf::overlap(pair[0], pair[1]) == expected);
    CHECK(rlhf::overlap(pair[1], pair[0]) == expected);
    auto const of = bytes_of(pair[0]);
    CHECK(rlhf::span_bytes(pair[0]) == (of.empty() ? 0 : *of.rbegin() - *of.begin() + 1));
    overlapping += expected ? 1 : 0;
    crossed += !expected && pair[0].data < pair[1].data + rlhf::span_bytes(pair[1]) &&
                       pair[1].data < pair[0].data + rlhf::span_bytes(pair[0])
                   ? 1
                   : 0;
  }
  CHECK(overlapping > 2000);
  CHECK(crossed > 1000);
}
