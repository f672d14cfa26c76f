#include <rlhf/data/concepts.hpp>
#include <rlhf/data/mixture.hpp>
#include <rlhf/data/order.hpp>

#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

namespace data = rlhf::data;

namespace {

struct Squares {
  [[nodiscard]] std::int64_t size() const { return 10; }
  std::int64_t operator[](std::int64_t i) const { return i * i; }
};
static_assert(data::Dataset<Squares>);
static_assert(!data::Dataset<std::vector<int>>);  // its size is not std::int64_t
static_assert(!data::Dataset<int>);

// The smallest order and the smallest policy that the concepts describe.
struct Reversed final {
  struct Permutation {
    Permutation(std::uint64_t, std::int64_t, std::int64_t size) : last(size - 1) {}
    std::int64_t operator[](std::int64_t position) const { return last - position; }
    std::int64_t last;
  };
};
struct Smallest final {
  using Order = Reversed;
  static constexpr int dataset_count = 0;
  static constexpr data::Exhausted exhausted = data::Exhausted::cycle;
};
static_assert(data::OrderPolicy<Reversed>);
static_assert(data::OrderPolicy<data::TorchOrder> && data::OrderPolicy<data::SequentialOrder>);
static_assert(!data::OrderPolicy<int>);
static_assert(data::DataPolicy<Smallest>);
static_assert(data::DataPolicy<data::Mixture<data::Ratios<3, 1>>>);
static_assert(data::DataPolicy<data::RuntimeMixture<>>);
static_assert(data::DataPolicy<data::None> && data::DrawsNothing<data::None>);
static_assert(!data::DrawsNothing<Smallest> && !data::DataPolicy<int>);

struct IndexIsInt final {
  struct Permutation {
    Permutation(std::uint64_t, std::int64_t, std::int64_t) {}
    int operator[](std::int64_t) const { return 0; }
  };
};
static_assert(data::HasPermutation<IndexIsInt> && !data::HasPermutationIndex<IndexIsInt>);

struct NoSeed final {
  struct Permutation {
    explicit Permutation(std::int64_t) {}
    std::int64_t operator[](std::int64_t i) const { return i; }
  };
};
static_assert(!data::HasPermutationOfSeedEpochSize<NoSeed> && data::HasPermutationIndex<NoSeed>);

struct NotConstant final {
  using Order = Reversed;
  static constexpr int dataset_count = 2;
  static std::int64_t ratio(int) { return 1; }
  static constexpr data::Exhausted exhausted = data::Exhausted::cycle;
};
static_assert(data::HasDatasetCount<NotConstant> && !data::HasRatios<NotConstant>);
static_assert(data::HasExhausted<NotConstant> && data::HasOrder<NotConstant>);

struct HasState final {
  using Order = Reversed;
  static constexpr int dataset_count = 0;
  static constexpr data::Exhausted exhausted = data::Exhausted::cycle;
  int state = 0;
};
static_assert(!data::IsEmptyPolicy<HasState> && data::CountsAtRunTime<HasState> &&
              data::ExhaustedFitsCount<HasState>);

}  // namespace

TEST_CASE("the ends of a dataset have names") {
  CHECK(data::to_string(data::Exhausted::cycle) == "cycle");
  CHECK(data::to_string(data::Exhausted::drop) == "drop");
  CHECK(data::to_string(data::Exhausted::retain) == "retain");
}
