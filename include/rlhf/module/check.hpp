/// @file
/// Checks a policy triple: each policy by itself, then what they must agree on. Layer: module.
#pragma once

#include <rlhf/data/check.hpp>
#include <rlhf/parallel/check.hpp>
#include <rlhf/sync/check.hpp>

namespace rlhf::inline v0 {

/// Whether the three policies may make a module. Reports nothing.
template <class Parallel, class Sync, class Data>
inline constexpr bool is_valid_module =
    parallel::is_valid_policy<Parallel>&& sync::is_valid_policy<Sync>&& data::DataPolicy<Data>;

/// Instantiating it reports what is wrong with each policy, by the assertions of
/// `parallel::CheckParallelPolicy`, `sync::CheckSyncPolicy` and `data::CheckDataPolicy`.
template <class Parallel, class Sync, class Data>
struct CheckModule {
  static_assert(sizeof(parallel::CheckParallelPolicy<Parallel>) != 0);
  static_assert(sizeof(sync::CheckSyncPolicy<Sync>) != 0);
  static_assert(sizeof(data::CheckDataPolicy<Data>) != 0);
};

}  // namespace rlhf::inline v0
