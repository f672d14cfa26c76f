#include <rlhf/data/concepts.hpp>
#include <rlhf/data/mixture.hpp>

#include <type_traits>

#include <doctest/doctest.h>

namespace data = rlhf::data;

using Two = data::Mixture<data::Ratios<3, 1>>;
static_assert(Two::dataset_count == 2 && Two::ratio(0) == 3 && Two::ratio(1) == 1);
static_assert(std::is_same_v<Two::Order, data::TorchOrder>);
static_assert(Two::exhausted == data::Exhausted::cycle);
static_assert(std::is_empty_v<Two> && std::is_final_v<Two>);

using Dropped = data::Mixture<data::Ratios<1>, data::SequentialOrder, data::Exhausted::drop>;
static_assert(std::is_same_v<Dropped::Order, data::SequentialOrder>);
static_assert(Dropped::exhausted == data::Exhausted::drop);

using Weighted = data::Mixture<data::Weights<7, 3>, data::KeyedOrder>;
static_assert(Weighted::dataset_count == 2 && Weighted::weight(0) == 7 && Weighted::weight(1) == 3);
static_assert(std::is_same_v<Weighted::Order, data::KeyedOrder>);
static_assert(data::NamesWeight<Weighted> && !data::NamesRatio<Weighted>);
static_assert(std::is_empty_v<Weighted> && std::is_final_v<Weighted>);

static_assert(data::RuntimeMixture<>::dataset_count == 0);
static_assert(std::is_empty_v<data::RuntimeMixture<>> && std::is_final_v<data::None>);

TEST_CASE("Ratios finds the ratio of each dataset") {
  using Four = data::Ratios<5, 0, 7, 9>;
  CHECK(Four::count == 4);
  CHECK(Four::at(0) == 5);
  CHECK(Four::at(1) == 0);
  CHECK(Four::at(2) == 7);
  CHECK(Four::at(3) == 9);
  CHECK(Four::at(4) == 0);
  CHECK(Four::at(-1) == 0);
}
