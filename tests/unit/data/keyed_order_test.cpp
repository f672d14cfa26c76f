#include <rlhf/core/error.hpp>
#include <rlhf/data/concepts.hpp>
#include <rlhf/data/keyed_order.hpp>

#include <cstdint>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

namespace data = rlhf::data;
using Permutation = data::KeyedOrder::Permutation;
using Items = std::vector<std::int64_t>;

static_assert(data::OrderPolicy<data::KeyedOrder> && data::HasFill<data::KeyedOrder>);
static_assert(std::is_trivially_copyable_v<Permutation> && sizeof(Permutation) <= 640);
static_assert(Permutation(3, 1, 100)[Permutation(3, 1, 100).position_of(42)] == 42);

namespace {
Items first(std::uint64_t seed, std::int64_t epoch, std::int64_t size, std::int64_t count) {
  Permutation const order(seed, epoch, size);
  Items out;
  for (std::int64_t i = 0; i < count; ++i) {
    out.push_back(order[i]);
  }
  return out;
}
}  // namespace

// These values are what runs that were stopped go on with: a change of them is a change of version.
TEST_CASE("a keyed order is the same on every machine, and for ever") {
  CHECK(first(0, 0, 10, 10) == Items{7, 8, 4, 9, 0, 6, 2, 1, 5, 3});
  CHECK(first(1, 2, 1000, 5) == Items{952, 144, 787, 445, 123});
  CHECK(first(7, 3, 1'000'000'000'000, 4) ==
        Items{622'521'448'529, 266'710'187'205, 671'384'541'978, 158'814'035'972});
}

TEST_CASE("one item, two items, no items") {
  CHECK(first(5, 5, 1, 1) == Items{0});
  Permutation const two(5, 5, 2);
  CHECK(two[0] + two[1] == 1);
  CHECK_NOTHROW(Permutation(5, 5, 0));
  CHECK_THROWS_AS(Permutation(5, 5, -1), rlhf::Error);
}

// Laws are in tests/property/data_order.cpp.
TEST_CASE("fill is what one gets item by item, and writes no further") {
  for (std::int64_t const size : {9LL, 600LL, 40'000'000LL}) {
    Permutation const order(4, 1, size);
    std::int64_t out[4] = {-7, -7, -7, -7};
    order.fill(5, 3, out);
    CHECK(Items(out, out + 4) == Items{order[5], order[6], order[7], -7});
  }
}
