/// @file
/// What a module stores for each policy: nothing where the policy is a constant. Layer: module,
/// private.
#pragma once

#include <rlhf/data/sampler.hpp>
#include <rlhf/parallel/concepts.hpp>

#include <optional>

namespace rlhf::inline v0::module_detail {

/// The layout's sizes, data axis filled in.
template <class Parallel>
struct LayoutStorage {
  Layout layout_{};

  constexpr explicit LayoutStorage(Layout layout) noexcept : layout_(layout) {}
  [[nodiscard]] constexpr Layout layout(int) const noexcept { return layout_; }
};
template <parallel::HasStaticLayout Parallel>
struct LayoutStorage<Parallel> {
  constexpr LayoutStorage() noexcept = default;
  constexpr explicit LayoutStorage(Layout) noexcept {}
  /// A constant, but for the data axis where the policy leaves it open.
  [[nodiscard]] constexpr Layout layout(int ranks) const noexcept {
    Layout out = Parallel::layout;
    if constexpr (Parallel::layout.data == Layout::any) {
      out.data = ranks / out.ranks_per_replica();
    }
    return out;
  }
};

template <class Data>
struct DataStorage {
  std::optional<data::SamplerOf<Data>> sampler_{};
};
template <data::DrawsNothing Data>
struct DataStorage<Data> {};

}  // namespace rlhf::inline v0::module_detail
