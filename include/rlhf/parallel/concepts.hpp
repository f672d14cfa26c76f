/// @file
/// What a parallel policy is. Layer: parallel.
#pragma once

#include <rlhf/parallel/layout.hpp>

#include <concepts>
#include <type_traits>

namespace rlhf::inline v0::parallel {

/// @name Atoms of ParallelPolicy, one requirement each
/// @{
template <class P>
concept IsEmptyPolicy = std::is_class_v<P> && std::is_empty_v<P>;
template <class P>
concept HasStaticLayout = requires {
  { P::layout } -> std::convertible_to<Layout>;
  typename std::integral_constant<int, static_cast<Layout>(P::layout).tensor>;  // a constant
};
template <class P>
concept HasRuntimeLayout = requires {
  requires P::layout_at_run_time;
};
/// Optional: the number of ranks, so that the compiler can refuse a layout that does not fit it.
template <class P>
concept HasStaticRanks = requires {
  { P::ranks } -> std::convertible_to<int>;
  typename std::integral_constant<int, static_cast<int>(P::ranks)>;
};
/// @}

/// Says how a module is spread over its ranks.
///
/// | expression | meaning |
/// |---|---|
/// | `P::layout` | a constant `Layout`, known when the program is compiled; or |
/// | `P::ranks` | optional: how many ranks, 0 for known when the program runs |
/// | `P::layout_at_run_time` | `true`: the module's constructor takes the layout |
///
/// Rules a compiler checks in `CheckParallelPolicy`: empty class, every size at least 1.
/// Smallest model: `struct P final { static constexpr rlhf::Layout layout{.tensor = 2}; };`
/// Models: `Grid<Layout{...}>`, `RuntimeGrid`.
template <class P>
concept ParallelPolicy = IsEmptyPolicy<P> &&(HasStaticLayout<P> || HasRuntimeLayout<P>);

}  // namespace rlhf::inline v0::parallel
