#include <rlhf/core/rng.hpp>
#include <rlhf/core/sort.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using Pairs = std::vector<std::pair<std::uint32_t, std::size_t>>;

TEST_CASE("sorting agrees with the standard library's stable sort, for every small size") {
  rlhf::CounterRandom const random(8, 1);
  std::uint64_t at = 0;
  int wrong = 0;
  for (std::size_t size = 0; size < 300; ++size) {
    for (std::uint32_t const kinds : {1u, 2u, 10u, 100'000u}) {
      Pairs items;
      for (std::size_t i = 0; i < size; ++i) {
        items.emplace_back(random.below(at++, kinds), i);  // the second tells equal ones apart
      }
      Pairs want = items;
      auto const before = [](auto const& a, auto const& b) { return a.first < b.first; };
      std::stable_sort(want.begin(), want.end(), before);
      rlhf::detail::sort_by(items, before);
      wrong += items == want ? 0 : 1;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("elements that own memory are moved, sorted and backwards inputs work") {
  std::vector<std::string> names;
  for (int i = 1000; i-- > 0;) {
    names.push_back("a name that does not fit into the string itself " + std::to_string(i));
  }
  std::vector<std::string> want = names;
  std::sort(want.begin(), want.end());
  rlhf::detail::sort(names);
  CHECK(names == want);
  rlhf::detail::sort(names);
  CHECK(names == want);
}

TEST_CASE("first_not finds the boundary, contains finds elements") {
  int wrong = 0;
  for (int size = 0; size < 40; ++size) {
    std::vector<int> items;
    for (int i = 0; i < size; ++i) {
      items.push_back(i / 2 * 2);
    }
    for (int wanted = -1; wanted <= size + 1; ++wanted) {
      auto const at = std::lower_bound(items.begin(), items.end(), wanted) - items.begin();
      wrong += rlhf::detail::first_not(items, [&](int item) { return item < wanted; }) ==
                       static_cast<std::size_t>(at)
                   ? 0
                   : 1;
      bool const there = std::find(items.begin(), items.end(), wanted) != items.end();
      wrong += rlhf::detail::contains(items, wanted) == there ? 0 : 1;
    }
  }
  CHECK(wrong == 0);
}
