/// @file
/// Says in one message which rule a data policy breaks. Layer: data.
#pragma once

#include <rlhf/data/concepts.hpp>

namespace rlhf::inline v0::data {

/// Checks the rules of DataPolicy in order; the first that fails is the one error printed.
///
/// Instantiating it is the check. `value` is whether the policy may be used; a class that builds
/// on the policy does so only where it is true, so that nothing else is reported.
template <class P>
struct CheckDataPolicy {
 private:
  static constexpr bool nothing = DrawsNothing<P>;
  static constexpr bool empty = nothing || IsEmptyPolicy<P>;
  static constexpr bool order = nothing || (empty && HasOrder<P>);
  static constexpr bool count = nothing || (order && HasDatasetCount<P>);
  static constexpr bool one_mixture = nothing || (count && HasOneMixture<P>);
  static constexpr bool ratio = nothing || (one_mixture && HasRatios<P>);
  static constexpr bool weight = nothing || (ratio && HasWeights<P>);
  static constexpr bool has_exhausted = nothing || (weight && HasExhausted<P>);
  static constexpr bool exhausted = nothing || (has_exhausted && ExhaustedFitsCount<P>);

  static_assert(empty,
                "[rlhf:data.empty] DataPolicy must be an empty final struct, for example "
                "data::Mixture<data::Ratios<3, 1>>, or data::None for a module that draws no "
                "prompts; see data/concepts.hpp");
  static_assert(!empty || order,
                "[rlhf:data.order] DataPolicy::Order must name an order whose Permutation is built "
                "from (seed, epoch, size) and indexed by std::int64_t, for example "
                "data::TorchOrder; see data/concepts.hpp");
  static_assert(!order || count,
                "[rlhf:data.count] DataPolicy::dataset_count must be a constant int of zero (known "
                "at run time) or more; see data/concepts.hpp");
  static_assert(!count || one_mixture,
                "[rlhf:data.mixture] DataPolicy must name either ratio(dataset) or "
                "weight(dataset), not both; see data/concepts.hpp");
  static_assert(!one_mixture || ratio,
                "[rlhf:data.ratio] DataPolicy::ratio(dataset) must be a constant that is not "
                "negative for every dataset and not zero for all, for example that of "
                "data::Mixture<data::Ratios<3, 1>>; see data/concepts.hpp");
  static_assert(!ratio || weight,
                "[rlhf:data.weight] DataPolicy::weight(dataset) must be a constant double for "
                "every dataset, zero or more than 2^-20 of the sum, and not zero for all, for "
                "example that of data::Mixture<data::Weights<7, 3>>; see data/concepts.hpp");
  static_assert(!weight || has_exhausted,
                "[rlhf:data.exhausted] DataPolicy::exhausted must be a constant of type "
                "data::Exhausted; see data/concepts.hpp");
  static_assert(!has_exhausted || exhausted,
                "[rlhf:data.exhausted] DataPolicy::exhausted must be Exhausted::cycle where there "
                "are several datasets; drop and retain need exactly one; see data/concepts.hpp");

 public:
  static constexpr bool value = exhausted;
};

}  // namespace rlhf::inline v0::data
