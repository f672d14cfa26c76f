/// @file
/// What a sync policy is, and what a module shows to a sync. Layer: sync.
#pragma once

#include <rlhf/core/units.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/parallel/mesh.hpp>
#include <rlhf/parallel/shard.hpp>
#include <rlhf/plan/options.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <concepts>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace rlhf::inline v0::sync {

/// @name Atoms of SyncPolicy, one requirement each
/// @{
template <class P>
concept IsEmptyPolicy = std::is_class_v<P> && std::is_empty_v<P>;
template <class P>
concept HasRoute = requires {
  { P::route } -> std::convertible_to<plan::Route>;
  { P::source_choice } -> std::convertible_to<plan::SourceChoice>;
  typename std::integral_constant<plan::Route, P::route>;  // constants
  typename std::integral_constant<plan::SourceChoice, P::source_choice>;
};
template <class P>
concept HasBucketBytes = requires {
  { P::bucket_bytes } -> std::convertible_to<Bytes>;
  typename std::integral_constant<std::int64_t, static_cast<Bytes>(P::bucket_bytes).count>;
};
template <class P>
concept HasFrequency = requires {
  { P::frequency } -> std::convertible_to<int>;
  typename std::integral_constant<int, static_cast<int>(P::frequency)>;
};
/// A module that takes no part in any sync.
template <class P>
concept IsNone = requires {
  requires P::never_syncs;
};
/// @}

/// Says how fresh weights reach a module.
///
/// | expression | meaning |
/// |---|---|
/// | `P::route`, `P::source_choice` | how bytes travel and who sends them: `plan/options.hpp` |
/// | `P::bucket_bytes` | bytes that move together; a rank stages at most 4 buckets |
/// | `P::frequency` | a sync is due at every multiple of this many episodes; 0: never |
///
/// Smallest model: derive nothing, write those four constants into an empty struct. Models:
/// `Reshard`, `PointToPoint`, `Broadcast`, `TwoStage`, `AllGatherExperts`, `AllToAllExperts`
/// (sync/policies.hpp); `None` for modules that are never synced.
template <class P>
concept SyncPolicy = IsEmptyPolicy<P> &&
    (IsNone<P> || (HasRoute<P> && HasBucketBytes<P> && HasFrequency<P>));

/// Swallows parameters; stands in for any visitor in concepts.
struct AnyVisitor {
  template <ShardRule Rule>
  void operator()(std::string_view, TensorView, Rule const&) const noexcept {}
};

/// A model that lists its parameters: `model.parameters(visit)` calls
/// `visit(global name, view of this rank's part, shard rule)` for each, in the same order each
/// time.
template <class M>
concept ListsParameters = requires(M& model, AnyVisitor visit) {
  model.parameters(visit);
};

/// What a sync needs to know of a module. `rlhf::Module` offers all but `parameters`.
template <class M>
concept Endpoint = ListsParameters<M> && requires(M const& model) {
  typename M::SyncPolicy;
  { model.mesh() } -> std::convertible_to<Mesh const&>;
  { model.layout() } -> std::convertible_to<Layout>;
};

}  // namespace rlhf::inline v0::sync
