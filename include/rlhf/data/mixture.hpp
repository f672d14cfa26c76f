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

/// Parts of all prompts: `Weights<7, 3>` draws seven of ten from the first dataset, spread evenly,
/// so that no prefix of the run is a whole item away from it.
template <std::int64_t... W>
struct Weights final {
  static constexpr int count = static_cast<int>(sizeof...(W));

  /// The weight of one dataset; 0 for a dataset there is not.
  [[nodiscard]] static constexpr double at(int dataset) noexcept {
    return static_cast<double>(Ratios<W...>::at(dataset));
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

/// Datasets mixed by integer ratios, or weights, that are known when the program is compiled.
///
/// @tparam RatioList Ratios<...> or Weights<...>, one a dataset. With one dataset the ratio changes
/// nothing.
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

/// Datasets mixed by weights that are known when the program is compiled.
template <std::int64_t... W, class ItemOrder, Exhausted AtEnd>
struct Mixture<Weights<W...>, ItemOrder, AtEnd> final {
  using Order = ItemOrder;
  static constexpr int dataset_count = sizeof...(W) == 0 ? 1 : Weights<W...>::count;
  static constexpr Exhausted exhausted = AtEnd;
  [[nodiscard]] static constexpr double weight(int dataset) noexcept {
    return Weights<W...>::at(dataset);
  }
};

/// Datasets mixed as is known only at run time: `SamplerOptions::ratios`, `weights` or `schedule`.
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
