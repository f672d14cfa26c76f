/// @file
/// The stock data policies: what a module draws, as a type. Layer: data.
#pragma once

#include <rlhf/data/concepts.hpp>
#include <rlhf/data/order.hpp>

#include <cstdint>

namespace rlhf::inline v0::data {

/// Items of each dataset in one round of a mixture: `Ratios<3, 1>` draws three of the first, then
/// one of the second, and again.
template <std::int64_t... R>
struct Ratios final {
  static constexpr int count = static_cast<int>(sizeof...(R));

  /// The ratio of one dataset; 0 for a dataset there is not.
  [[nodiscard]] static constexpr std::int64_t at(int dataset) noexcept {
    std::int64_t found = 0;
    int i = 0;
    (static_cast<void>(found = i++ == dataset ? R : found), ...);
    return found;
  }
};

namespace detail {

/// A list of ratios as it is; for anything else one that the check of policies refuses.
template <class T>
struct RatiosOrZero {
  using type = Ratios<0>;
};
template <std::int64_t... R>
  requires(sizeof...(R) > 0)
struct RatiosOrZero<Ratios<R...>> {
  using type = Ratios<R...>;
};

}  // namespace detail

/// Datasets mixed by integer ratios that are known when the program is compiled.
///
/// @tparam RatioList Ratios<...>, one a dataset. With one dataset the ratio changes nothing.
/// @tparam ItemOrder An OrderPolicy.
/// @tparam AtEnd     What happens at the end of a dataset.
template <class RatioList, class ItemOrder = TorchOrder, Exhausted AtEnd = Exhausted::cycle>
struct Mixture final {
  using Order = ItemOrder;
  static constexpr int dataset_count = detail::RatiosOrZero<RatioList>::type::count;
  static constexpr Exhausted exhausted = AtEnd;
  [[nodiscard]] static constexpr std::int64_t ratio(int dataset) noexcept {
    return detail::RatiosOrZero<RatioList>::type::at(dataset);
  }
};

/// Datasets mixed by ratios that are known only at run time (`SamplerOptions::ratios`).
template <class ItemOrder = TorchOrder, Exhausted AtEnd = Exhausted::cycle>
struct RuntimeMixture final {
  using Order = ItemOrder;
  static constexpr int dataset_count = 0;
  static constexpr Exhausted exhausted = AtEnd;
};

/// The policy of a module that draws no prompts.
struct None final {
  static constexpr bool draws_nothing = true;
};

}  // namespace rlhf::inline v0::data
