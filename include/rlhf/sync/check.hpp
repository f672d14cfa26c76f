/// @file
/// Refuses wrong sync policies and pairs of modules with one sentence. Layer: sync.
#pragma once

#include <rlhf/parallel/check.hpp>
#include <rlhf/sync/concepts.hpp>

#include <type_traits>

namespace rlhf::inline v0::sync {
namespace detail {

template <class P>
[[nodiscard]] consteval std::int64_t bucket_bytes_of() {
  if constexpr (HasBucketBytes<P>) {
    return P::bucket_bytes.count;
  } else {
    return 256;
  }
}
template <class P>
[[nodiscard]] consteval int frequency_of() {
  if constexpr (HasFrequency<P>) {
    return P::frequency;
  } else {
    return 1;
  }
}

}  // namespace detail

/// Whether a policy passes every rule. Reports nothing.
template <class P>
inline constexpr bool is_valid_policy =
    SyncPolicy<P>&& detail::bucket_bytes_of<P>() >= 256 &&
    detail::bucket_bytes_of<P>() % 256 == 0 && detail::frequency_of<P>() >= 0;

/// One assertion a rule. Instantiating it is the check; ask `is_valid_policy` for the answer.
template <class P>
struct CheckSyncPolicy {
  static constexpr bool is_policy = IsEmptyPolicy<P>;
  static_assert(is_policy,
                "[rlhf:sync.empty] SyncPolicy must be an empty class such as "
                "rlhf::sync::TwoStage<256_MiB>; state belongs to the module; see "
                "sync/concepts.hpp");
  static constexpr bool none = IsNone<P>;
  static constexpr bool has_route = !is_policy || none || HasRoute<P>;
  static_assert(has_route,
                "[rlhf:sync.route] SyncPolicy must define static constexpr plan::Route route and "
                "plan::SourceChoice source_choice; see sync/concepts.hpp");
  static constexpr bool has_bucket = !is_policy || none || HasBucketBytes<P>;
  static_assert(has_bucket,
                "[rlhf:sync.bucket] SyncPolicy must define static constexpr rlhf::Bytes "
                "bucket_bytes; see sync/concepts.hpp");
  static constexpr bool has_frequency = !is_policy || none || HasFrequency<P>;
  static_assert(has_frequency,
                "[rlhf:sync.frequency] SyncPolicy must define static constexpr int frequency "
                "(episodes between syncs, 0 for never); see sync/concepts.hpp");
  static constexpr bool bucket_fits =
      detail::bucket_bytes_of<P>() >= 256 && detail::bucket_bytes_of<P>() % 256 == 0;
  static_assert(bucket_fits,
                "[rlhf:sync.bucket_bytes] SyncPolicy::bucket_bytes must be a positive multiple of "
                "256 bytes, for example 64_MiB; see sync/concepts.hpp");
  static constexpr bool frequency_fits = detail::frequency_of<P>() >= 0;
  static_assert(frequency_fits,
                "[rlhf:sync.frequency_range] SyncPolicy::frequency must not be negative; 0 means "
                "never; see sync/concepts.hpp");
};

namespace detail {

/// What a sync needs of a module besides its parameters.
template <class M>
concept IsEndpoint = requires(M const& model) {
  typename M::SyncPolicy;
  { model.mesh() } -> std::convertible_to<Mesh const&>;
  { model.layout() } -> std::convertible_to<Layout>;
};

template <class M>
struct NamedSyncPolicy {
  struct type {};
};
template <class M>
  requires requires {
    typename M::SyncPolicy;
  }
struct NamedSyncPolicy<M> {
  using type = typename M::SyncPolicy;
};
/// The sync policy that a type names, or one of no kind.
template <class M>
using SyncPolicyOf = typename NamedSyncPolicy<M>::type;

template <class M>
[[nodiscard]] consteval Layout static_layout() {
  return M::ParallelPolicy::layout;
}

/// Whether the compiler knows a layout of which nothing else is wrong.
template <class M>
inline constexpr bool has_static_layout = requires {
  requires parallel::HasStaticLayout<typename M::ParallelPolicy>;
  requires parallel::is_valid_policy<typename M::ParallelPolicy>;
};

/// Whether a policy that a module names may be used; true where it names none.
template <class M>
inline constexpr bool has_valid_parallel_policy = true;
template <class M>
  requires requires {
    typename M::ParallelPolicy;
  }
inline constexpr bool has_valid_parallel_policy<M> =
    parallel::is_valid_policy<typename M::ParallelPolicy>;

template <class Source, class Destination>
[[nodiscard]] consteval plan::PairFault pair_fault() {
  if constexpr (has_static_layout<Source> && has_static_layout<Destination>) {
    if constexpr (HasRoute<SyncPolicyOf<Destination>>) {
      if constexpr (Destination::SyncPolicy::route == plan::Route::two_stage) {
        return plan::two_stage_fault(static_layout<Source>(), static_layout<Destination>());
      }
    }
  }
  return plan::PairFault::none;  // run-time layouts are checked when the plan is built
}

/// Reports what is wrong with the policy of a pair's side; always true.
template <class P, bool Check>
inline constexpr bool policy_checked = sizeof(CheckSyncPolicy<P>) != 0;
template <class P>
inline constexpr bool policy_checked<P, false> = true;

}  // namespace detail

/// Whether weights can go from `Source` to `Destination`. Reports nothing.
template <class Source, class Destination>
inline constexpr bool is_valid_pair =
    Endpoint<Source>&& Endpoint<Destination>&& detail::has_valid_parallel_policy<Source>&&
        detail::has_valid_parallel_policy<Destination>&& is_valid_policy<
            detail::SyncPolicyOf<Source>>&& is_valid_policy<detail::SyncPolicyOf<Destination>> &&
    !IsNone<detail::SyncPolicyOf<Destination>> &&
    (IsNone<detail::SyncPolicyOf<Source>> ||
     std::is_same_v<detail::SyncPolicyOf<Source>, detail::SyncPolicyOf<Destination>>)&&detail::
            pair_fault<Source, Destination>() == plan::PairFault::none;

/// One assertion a rule for a pair of modules. The destination's policy decides how weights travel;
/// the source must name the same one, or `sync::None` (it serves whatever is asked).
template <class Source, class Destination>
struct CheckPair {
  static constexpr bool endpoints = detail::IsEndpoint<Source> && detail::IsEndpoint<Destination>;
  static_assert(endpoints,
                "[rlhf:sync.endpoint] source and destination of a sync must derive from "
                "rlhf::Module, or offer using SyncPolicy, mesh() and layout() themselves; see "
                "sync/concepts.hpp");
  using SourcePolicy = detail::SyncPolicyOf<Source>;
  using DestinationPolicy = detail::SyncPolicyOf<Destination>;
  static_assert(detail::policy_checked<SourcePolicy, endpoints>);
  static_assert(detail::policy_checked<DestinationPolicy, endpoints>);
  static constexpr bool source_lists = !endpoints || ListsParameters<Source>;
  static_assert(source_lists,
                "[rlhf:sync.source_parameters] the source of a sync must define template <class "
                "Visit> void parameters(Visit&& visit), calling visit(name, rlhf::TensorView, "
                "shard) for each parameter; see sync/concepts.hpp");
  static constexpr bool destination_lists = !endpoints || ListsParameters<Destination>;
  static_assert(destination_lists,
                "[rlhf:sync.destination_parameters] the destination of a sync must define template "
                "<class Visit> void parameters(Visit&& visit), calling visit(name, "
                "rlhf::TensorView, shard) for each parameter; see sync/concepts.hpp");
  static constexpr bool destination_syncs = !IsNone<DestinationPolicy>;
  static_assert(
      destination_syncs,
      "[rlhf:sync.none] the destination's SyncPolicy is sync::None, so it receives no "
      "weights; give it sync::Reshard, sync::Broadcast, sync::PointToPoint or sync::TwoStage");
  static constexpr bool policies_agree = !endpoints || IsNone<SourcePolicy> || !destination_syncs ||
                                         std::is_same_v<SourcePolicy, DestinationPolicy>;
  static_assert(policies_agree,
                "[rlhf:sync.policy_pair] source and destination name different sync policies; give "
                "both the same one, or the source sync::None");
  static constexpr plan::PairFault fault = detail::pair_fault<Source, Destination>();
  static_assert(fault != plan::PairFault::tensor_not_multiple,
                "[rlhf:sync.two_stage_tensor] sync::TwoStage needs a destination tensor size that "
                "is a multiple of the source tensor size; use sync::PointToPoint or "
                "sync::Broadcast for this pair, or change a layout");
  static_assert(fault != plan::PairFault::pipeline_not_multiple,
                "[rlhf:sync.two_stage_pipeline] sync::TwoStage needs a source pipeline size that "
                "is a multiple of the destination pipeline size; use sync::PointToPoint or "
                "sync::Broadcast for this pair, or change a layout");
};

/// A sync at `episodes_done` (0 before training, n + 1 after episode n) is due when the frequency
/// is not 0 and divides it. Source: the reference's `sync_frequency`.
[[nodiscard]] constexpr bool due(int frequency, std::int64_t episodes_done) noexcept {
  return frequency != 0 && episodes_done % frequency == 0;
}

}  // namespace rlhf::inline v0::sync
