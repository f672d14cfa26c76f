/// @file
/// Refuses a wrong parallel policy with one sentence. Layer: parallel.
#pragma once

#include <rlhf/parallel/concepts.hpp>

namespace rlhf::inline v0::parallel {
namespace detail {

template <class P>
[[nodiscard]] consteval LayoutFault fault_of() {
  if constexpr (HasStaticLayout<P> && HasStaticRanks<P>) {
    return P::ranks == 0 ? P::layout.fault() : P::layout.fault_on(P::ranks);
  } else if constexpr (HasStaticLayout<P>) {
    return P::layout.fault();
  } else {
    return LayoutFault::none;
  }
}

}  // namespace detail

/// Whether a policy passes every rule. Reports nothing.
template <class P>
inline constexpr bool is_valid_policy =
    ParallelPolicy<P>&& detail::fault_of<P>() == LayoutFault::none;

/// One assertion a rule. Instantiating it is the check; ask `is_valid_policy` for the answer, since
/// clang gives no constants from a class whose assertion failed.
template <class P>
struct CheckParallelPolicy {
  static constexpr bool is_policy = IsEmptyPolicy<P>;
  static_assert(is_policy,
                "[rlhf:parallel.empty] ParallelPolicy must be an empty class such as "
                "rlhf::Grid<rlhf::Layout{.tensor = 2}>; state belongs to the module; see "
                "parallel/concepts.hpp");
  static constexpr bool has_layout = !is_policy || HasStaticLayout<P> || HasRuntimeLayout<P>;
  static_assert(has_layout,
                "[rlhf:parallel.layout] ParallelPolicy must define static constexpr rlhf::Layout "
                "layout, or static constexpr bool layout_at_run_time = true; see "
                "parallel/concepts.hpp");
  static constexpr LayoutFault fault = detail::fault_of<P>();
  static_assert(fault != LayoutFault::size_below_one,
                "[rlhf:parallel.size] every axis of ParallelPolicy::layout must have a size of at "
                "least 1 (data may be rlhf::Layout::any); see parallel/layout.hpp");
  static_assert(fault != LayoutFault::zero_with_fsdp,
                "[rlhf:parallel.zero_fsdp] ParallelPolicy::layout sets both zero and fsdp, which "
                "are two ways of one axis; set one of them to 1; see parallel/layout.hpp");
  static_assert(fault != LayoutFault::zero_with_model_parallel,
                "[rlhf:parallel.zero] ParallelPolicy::layout combines zero with tensor, pipeline "
                "or expert; use fsdp instead of zero; see parallel/layout.hpp");
  static_assert(fault != LayoutFault::fewer_ranks_than_replica &&
                    fault != LayoutFault::ranks_not_divisible,
                "[rlhf:parallel.divides] tensor x pipeline x expert x fsdp of "
                "ParallelPolicy::layout must divide ParallelPolicy::ranks; change a size or the "
                "number of ranks; see parallel/layout.hpp");
  static_assert(fault != LayoutFault::ranks_differ,
                "[rlhf:parallel.ranks] the sizes of ParallelPolicy::layout multiply to another "
                "number than ParallelPolicy::ranks; change data, or set it to rlhf::Layout::any; "
                "see parallel/layout.hpp");
};

}  // namespace rlhf::inline v0::parallel
