#include <rlhf/data/check.hpp>
#include <rlhf/data/mixture.hpp>

#include <doctest/doctest.h>

namespace data = rlhf::data;

// What must not compile, and with which message, is in tests/compile_fail/.
static_assert(data::CheckDataPolicy<data::Mixture<data::Ratios<1>>>::value);
static_assert(data::CheckDataPolicy<data::Mixture<data::Ratios<3, 0, 1>>>::value);
static_assert(data::CheckDataPolicy<data::RuntimeMixture<data::SequentialOrder>>::value);
static_assert(data::CheckDataPolicy<data::Mixture<data::Weights<7, 0, 3>>>::value);
static_assert(!data::HasWeights<data::Mixture<data::Weights<>>>);
static_assert(!data::HasWeights<data::Mixture<data::Weights<0, 0>>>);
static_assert(!data::HasWeights<data::Mixture<data::Weights<2'000'000, 1>>>);
static_assert(data::CheckDataPolicy<data::None>::value);
static_assert(data::CheckDataPolicy<
              data::Mixture<data::Ratios<1>, data::TorchOrder, data::Exhausted::drop>>::value);
static_assert(
    data::CheckDataPolicy<data::RuntimeMixture<data::TorchOrder, data::Exhausted::retain>>::value);

TEST_CASE("the stock data policies pass the check") {
  CHECK(data::CheckDataPolicy<data::Mixture<data::Ratios<3, 1>>>::value);
}
