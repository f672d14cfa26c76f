#include <rlhf/plan/bucket_fill.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include <doctest/doctest.h>

using rlhf::DType;
using rlhf::plan::BucketItem;
using rlhf::plan::fill_buckets;
using Buckets = std::vector<std::vector<std::int32_t>>;

namespace {

std::vector<BucketItem> items(std::initializer_list<std::int64_t> bytes) {
  std::vector<BucketItem> out;
  for (std::int64_t const b : bytes) {
    out.push_back({b, DType::f32});
  }
  return out;
}

}  // namespace

TEST_CASE("a bucket takes what fits, exactly the limit included") {
  CHECK(fill_buckets(items({40, 60}), 100) == Buckets{{0, 1}});
  CHECK(fill_buckets(items({40, 61}), 100) == Buckets{{0}, {1}});
  CHECK(fill_buckets(items({100, 1}), 100) == Buckets{{0}, {1}});
  CHECK(fill_buckets(items({50, 50, 50, 50, 50}), 100) == Buckets{{0, 1}, {2, 3}, {4}});
}

TEST_CASE("nothing at all gives no bucket") {
  CHECK(fill_buckets({}, 100).empty());
  CHECK(fill_buckets({}, 0).empty());
}

TEST_CASE("an oversized item is alone in its bucket, wherever it comes") {
  CHECK(fill_buckets(items({101, 5, 5}), 100) == Buckets{{0}, {1, 2}});
  CHECK(fill_buckets(items({5, 101, 5}), 100) == Buckets{{0}, {1}, {2}});
  CHECK(fill_buckets(items({500, 500}), 100) == Buckets{{0}, {1}});
}

TEST_CASE("empty items join the open bucket unless it is over its limit already") {
  CHECK(fill_buckets(items({0, 0, 0}), 100) == Buckets{{0, 1, 2}});
  CHECK(fill_buckets(items({0, 101, 0}), 100) == Buckets{{0, 1}, {2}});
  CHECK(fill_buckets(items({100, 0, 1}), 100) == Buckets{{0, 1}, {2}});
}

TEST_CASE("a limit of 0 or less means one bucket a type") {
  std::vector<BucketItem> const mixed{
      {1000, DType::f32}, {1000, DType::bf16}, {1000, DType::f32}, {1000, DType::bf16}};
  CHECK(fill_buckets(mixed, 0) == Buckets{{0, 2}, {1, 3}});
  CHECK(fill_buckets(mixed, -1) == Buckets{{0, 2}, {1, 3}});
}

TEST_CASE("types have buckets of their own; closed ones first, then by first appearance") {
  std::vector<BucketItem> const mixed{{60, DType::bf16}, {60, DType::f32}, {60, DType::f32},
                                      {30, DType::bf16}, {10, DType::i32}, {60, DType::bf16}};
  CHECK(fill_buckets(mixed, 100) == Buckets{{1}, {0, 3}, {5}, {2}, {4}});
}

TEST_CASE("negative bytes are refused") {
  CHECK_THROWS_AS(static_cast<void>(fill_buckets(items({5, -1}), 100)), rlhf::Error);
}

TEST_CASE("laws: order kept, one type a bucket, limit kept, no two neighbours would have fitted") {
  std::uint64_t state = 1;
  auto const below = [&](std::uint64_t n) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 33) % n;
  };
  DType const types[] = {DType::f32, DType::bf16, DType::u8};
  int wrong = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<BucketItem> list;
    auto const count = below(30);
    for (std::uint64_t i = 0; i < count; ++i) {
      list.push_back(
          {static_cast<std::int64_t>(below(4) == 0 ? below(3) * 90 : below(60)), types[below(3)]});
    }
    std::int64_t const limit = 100;
    std::vector<int> seen(list.size(), 0);
    std::vector<std::vector<Buckets::value_type>> by_type(7);
    for (auto const& bucket : fill_buckets(list, limit)) {
      std::int64_t bytes = 0;
      for (std::size_t i = 0; i < bucket.size(); ++i) {
        BucketItem const& item = list[static_cast<std::size_t>(bucket[i])];
        ++seen[static_cast<std::size_t>(bucket[i])];
        bytes += item.bytes;
        wrong += item.dtype == list[static_cast<std::size_t>(bucket[0])].dtype ? 0 : 1;
        wrong += i == 0 || bucket[i - 1] < bucket[i] ? 0 : 1;
      }
      // Over the limit only where one item alone is, beside empty ones.
      int carrying = 0;
      for (std::int32_t const i : bucket) {
        carrying += list[static_cast<std::size_t>(i)].bytes > 0 ? 1 : 0;
      }
      wrong += bytes <= limit || carrying == 1 ? 0 : 1;
      by_type[static_cast<std::size_t>(list[static_cast<std::size_t>(bucket[0])].dtype)].push_back(
          bucket);
    }
    for (int const times : seen) {
      wrong += times == 1 ? 0 : 1;
    }
    for (auto const& buckets : by_type) {
      for (std::size_t b = 1; b < buckets.size(); ++b) {
        std::int64_t bytes = list[static_cast<std::size_t>(buckets[b].front())].bytes;
        for (std::int32_t const i : buckets[b - 1]) {
          bytes += list[static_cast<std::size_t>(i)].bytes;
        }
        wrong += buckets[b - 1].back() < buckets[b].front() && bytes > limit ? 0 : 1;
      }
    }
  }
  CHECK(wrong == 0);
}
