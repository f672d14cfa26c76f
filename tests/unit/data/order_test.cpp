#include <rlhf/core/error.hpp>
#include <rlhf/data/order.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace data = rlhf::data;

namespace {
std::vector<std::int64_t> order(std::uint64_t seed, std::int64_t epoch, std::int64_t size) {
  data::TorchOrder::Permutation const permutation(seed, epoch, size);
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < size; ++i) {
    out.push_back(permutation[i]);
  }
  return out;
}
}  // namespace

// All recorded permutations are compared in tests/replay.
TEST_CASE("TorchOrder is torch.randperm under seed + epoch") {
  CHECK(order(0, 0, 10) == std::vector<std::int64_t>{4, 1, 7, 5, 3, 9, 0, 8, 6, 2});
  CHECK(order(0, 1, 10) == std::vector<std::int64_t>{5, 6, 1, 2, 0, 8, 9, 3, 7, 4});
  CHECK(order(1, 4, 10) == std::vector<std::int64_t>{1, 4, 9, 6, 3, 5, 0, 2, 8, 7});
  CHECK(order((std::uint64_t{1} << 32) + 5, 0, 10) == order(5, 0, 10));
  CHECK(order(UINT64_MAX, 2, 10) == order(0, 1, 10));
  CHECK(order(3, 0, 1) == std::vector<std::int64_t>{0});
  CHECK(order(3, 0, 0).empty());
}

TEST_CASE("TorchOrder refuses sizes where versions of torch differ") {
  for (std::int64_t const size :
       {std::int64_t{-1}, data::TorchOrder::largest_size + 1, INT64_MAX}) {
    try {
      data::TorchOrder::Permutation const permutation(0, 0, size);
      FAIL("it was accepted");
    } catch (rlhf::Error const& error) {
      CHECK(error.code() == rlhf::Errc::invalid_argument);
      CHECK(std::string(error.what()).find("TorchOrder serves datasets of 0 to 214748363 items") !=
            std::string::npos);
    }
  }
}

TEST_CASE("SequentialOrder leaves items where they are") {
  data::SequentialOrder::Permutation const permutation(7, 3, 100);
  CHECK(permutation[0] == 0);
  CHECK(permutation[99] == 99);
}

TEST_CASE("orders have names and limits, also those that state none") {
  struct Plain {};
  CHECK(data::order_name<data::TorchOrder>() == "torch");
  CHECK(data::order_name<data::SequentialOrder>() == "sequential");
  CHECK(data::order_name<Plain>() == "unnamed");
  // torch tests size < (2^32 - 1) / 20, in integers, for the draw that is this one.
  CHECK(data::largest_size_of<data::TorchOrder>() == 214748363);
  CHECK(data::largest_size_of<Plain>() == INT64_MAX);
}
