#include <rlhf/data/mt19937.hpp>

#include <cstdint>
#include <random>

#include <doctest/doctest.h>

using rlhf::data::Mt19937;

TEST_CASE("Mt19937 draws the words of std::mt19937") {
  for (std::uint32_t const seed : {0U, 1U, 5U, 5489U, 2147483647U, 4294967295U}) {
    Mt19937 ours(seed);
    std::mt19937 standard(seed);
    int different = 0;
    for (int i = 0; i < 5000; ++i) {
      different += ours.next() != standard() ? 1 : 0;
    }
    CHECK(different == 0);
  }
}

TEST_CASE("Mt19937 can run while compiling, and its 10000th word is the standard's") {
  constexpr std::uint32_t first = [] { return Mt19937(5489U).next(); }();
  static_assert(first == 3499211612U);
  Mt19937 random(5489U);
  std::uint32_t word = 0;
  for (int i = 0; i < 10000; ++i) {
    word = random.next();
  }
  CHECK(word == 4123659995U);
}
