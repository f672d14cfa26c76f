/// @file
/// What the library asks of datasets, orders and data policies. Layer: data.
#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>

namespace rlhf::inline v0::data {

/// What happens when a dataset has fewer items left in its epoch than an episode needs.
enum class Exhausted : std::uint8_t {
  cycle,   ///< The episode goes on with the next epoch. The only choice for several datasets.
  drop,    ///< The rest of the epoch is left out; every episode is full and of one epoch.
  retain,  ///< The episode is cut short; every item comes once an epoch.
};

/// `cycle`, `drop`, `retain`.
[[nodiscard]] constexpr std::string_view to_string(Exhausted exhausted) noexcept {
  switch (exhausted) {
    case Exhausted::cycle:
      return "cycle";
    case Exhausted::drop:
      return "drop";
    case Exhausted::retain:
      return "retain";
  }
  return "?";
}

namespace detail {

template <class A, class B>
concept Same = std::is_same_v<A, B>;

/// Whether every `P::ratio(d)` is a constant of zero or more, and not all of them are zero.
template <class P>
[[nodiscard]] constexpr bool ratios_are_valid() {
  bool any = false;
  for (int dataset = 0; dataset < P::dataset_count; ++dataset) {
    std::int64_t const ratio = P::ratio(dataset);
    if (ratio < 0) {
      return false;
    }
    any = any || ratio > 0;
  }
  return any;
}

/// Whether every `P::weight(d)` is a number of zero or more, one is positive, and none of those
/// that are is below 2^-20 of all.
template <class P>
[[nodiscard]] constexpr bool weights_are_valid() {
  double sum = 0;
  for (int dataset = 0; dataset < P::dataset_count; ++dataset) {
    double const weight = P::weight(dataset);
    if (!(weight >= 0 && weight <= 1e300)) {
      return false;
    }
    sum += weight;
  }
  for (int dataset = 0; dataset < P::dataset_count; ++dataset) {
    double const weight = P::weight(dataset);
    if (weight > 0 && !(weight / sum > 0x1p-20)) {
      return false;
    }
  }
  return sum > 0;
}

}  // namespace detail

/// @name Atoms of Dataset
/// @{
template <class D>
concept HasItemCount = requires(D const& dataset) {
  { dataset.size() } -> detail::Same<std::int64_t>;
};
template <class D>
concept HasItems = requires(D const& dataset, std::int64_t index) {
  dataset[index];
};
/// @}

/// Items addressed by number.
///
/// | expression | meaning |
/// |---|---|
/// | `dataset.size()` | number of items, `std::int64_t`; does not change while a run lasts |
/// | `dataset[i]` | item i, 0 <= i < size(); the same item whenever it is asked for |
template <class D>
concept Dataset = HasItemCount<D> && HasItems<D>;

/// @name Atoms of OrderPolicy
/// @{
template <class O>
concept HasPermutation = requires {
  typename O::Permutation;
};
template <class O>
concept HasPermutationOfSeedEpochSize = HasPermutation<O> &&
    std::is_constructible_v<typename O::Permutation, std::uint64_t, std::int64_t, std::int64_t>;
template <class O>
concept HasPermutationIndex = HasPermutation<O> &&
    requires(typename O::Permutation const& order, std::int64_t position) {
  { order[position] } -> detail::Same<std::int64_t>;
};
/// Optional: several positions in one call.
template <class O>
concept HasFill = HasPermutation<O> && requires(typename O::Permutation const& order,
                                                std::int64_t first, int count, std::int64_t* out) {
  order.fill(first, count, out);
  typename std::integral_constant<int, O::Permutation::block>;
};
/// @}

/// In which order the items of a dataset come in an epoch.
///
/// | expression | meaning |
/// |---|---|
/// | `O::Permutation order(seed, epoch, size)` | the order of one epoch; a pure function of the three |
/// | `order[position]` | which item comes at `position`; a bijection of 0 <= position < size |
/// | `O::name` (optional, `std::string_view`) | stored with checkpoints, so that a resume under another order is refused |
/// | `O::largest_size` (optional, `std::int64_t`) | the largest `size` the order can serve |
/// | `order.fill(first, count, out)` and the constant `int block` (optional) | the items at `count` positions, at most `block`, where that is quicker than `[]` |
///
/// Models: `TorchOrder`, `KeyedOrder`, `SequentialOrder`.
template <class O>
concept OrderPolicy = HasPermutationOfSeedEpochSize<O> && HasPermutationIndex<O>;

/// A module that draws no prompts says so with such a policy: `data::None`.
template <class P>
concept DrawsNothing = std::is_empty_v<P> && requires {
  typename std::bool_constant<P::draws_nothing>;
} && std::bool_constant<P::draws_nothing>::value;

/// @name Atoms of DataPolicy
/// @{
template <class P>
concept IsEmptyPolicy = std::is_class_v<P> && std::is_empty_v<P> && std::is_final_v<P>;
template <class P>
concept HasOrder = requires {
  typename P::Order;
}
&&OrderPolicy<typename P::Order>;
template <class P>
concept HasDatasetCount = requires {
  typename std::integral_constant<int, P::dataset_count>;
}
&&P::dataset_count >= 0;
template <class P>
concept CountsAtRunTime = HasDatasetCount<P> && P::dataset_count == 0;
template <class P>
concept HasConstantRatios = HasDatasetCount<P> && requires {
  typename std::integral_constant<std::int64_t, P::ratio(0)>;
} && requires {
  typename std::bool_constant<detail::ratios_are_valid<P>()>;
};
template <class P>
concept NamesRatio = requires {
  P::ratio(0);
};
template <class P>
concept NamesWeight = requires {
  P::weight(0);
};
template <class P>
concept HasConstantWeights = HasDatasetCount<P> && requires {
  typename std::bool_constant<(double{P::weight(0)} >= 0)>;
} && requires {
  typename std::bool_constant<detail::weights_are_valid<P>()>;
};
template <class P>
concept HasRatios = CountsAtRunTime<P> || NamesWeight<P> ||
    (HasConstantRatios<P>&& detail::ratios_are_valid<P>());
template <class P>
concept HasWeights = CountsAtRunTime<P> || !NamesWeight<P> ||
                     (HasConstantWeights<P> && detail::weights_are_valid<P>());
template <class P>
concept HasOneMixture = CountsAtRunTime<P> || !(NamesWeight<P> && NamesRatio<P>);
template <class P>
concept HasExhausted = requires {
  typename std::integral_constant<Exhausted, P::exhausted>;
};
template <class P>
concept ExhaustedFitsCount = HasExhausted<P> &&
    (P::exhausted == Exhausted::cycle || P::dataset_count <= 1);
/// @}

/// Which prompts a module draws, as constants: an empty final struct.
///
/// | member | meaning |
/// |---|---|
/// | `using Order` | an OrderPolicy |
/// | `static constexpr int dataset_count` | how many datasets; 0: known at run time only |
/// | `static constexpr std::int64_t ratio(int dataset)` | see below |
/// | `static constexpr double weight(int dataset)` | in place of `ratio`; see below |
/// | `static constexpr Exhausted exhausted` | drop and retain need one dataset |
///
/// Unless dataset_count is 0, either `ratio`: items of a dataset in one round of the mixture, not
/// negative, not all 0. Or `weight`: its part of all prompts, in any unit, 0 or more than 2^-20 of
/// the sum; no prefix of the run is a whole item away from it.
///
/// `CheckDataPolicy` (check.hpp) says which rule a wrong policy breaks.
/// Models: `Mixture` (of `Ratios` or `Weights`), `RuntimeMixture`. `None` satisfies `DrawsNothing`
/// instead.
template <class P>
concept DataPolicy = DrawsNothing<P> ||
    (IsEmptyPolicy<P>&& HasOrder<P>&& HasDatasetCount<P>&& HasOneMixture<P>&& HasRatios<P>&&
         HasWeights<P>&& HasExhausted<P>&& ExhaustedFitsCount<P>);

}  // namespace rlhf::inline v0::data
