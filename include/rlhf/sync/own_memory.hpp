/// @file
/// Memory that a rank's module lists more than once: tied weights, and what must not be.
/// Layer: sync.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/hash_index.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/parallel/holding.hpp>
#include <rlhf/plan/description.hpp>
#include <rlhf/sync/describe.hpp>
#include <rlhf/tensor/region.hpp>
#include <rlhf/tensor/region_overlap.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace rlhf::inline v0::sync {

/// Whether two of a rank's parameters are one: the same memory, read the same way.
template <class T = void>
[[nodiscard]] bool is_tied(TensorView const& a, plan::HeldParameter const& held_a,
                           TensorView const& b, plan::HeldParameter const& held_b) {
  return a.data == b.data && a.data != nullptr && a.dtype == b.dtype && a.shape == b.shape &&
         a.strides == b.strides && held_a.holding == held_b.holding;
}

/// Leaves one name of every memory that a rank lists under several. `preferred()` gives names, the
/// best ones first; it is asked only where there is a choice. Names that are not among them come
/// behind, by the alphabet. So ranks that list ties in different orders choose alike.
template <class T, class Preferred>
[[nodiscard]] BasicLocalParameters<T> without_ties(BasicLocalParameters<T> parameters,
                                                   Preferred&& preferred) {
  BasicLocalParameters<T> out;
  out.description.world_rank = parameters.description.world_rank;
  rlhf::detail::HashIndex<T> by_memory;
  rlhf::detail::late_vector<std::string, T> names;
  rlhf::detail::HashIndex<T> by_name;
  bool asked = false;
  constexpr int unknown = INT32_MAX;
  auto const hash_of = [](std::string_view name) { return Fingerprint().add(name).value(); };
  auto const place_of = [&](std::string_view name) {
    int const found = by_name.find(
        hash_of(name), [&](int number) { return names[static_cast<std::size_t>(number)] == name; });
    return found < 0 ? unknown : found;
  };
  for (std::size_t i = 0; i < parameters.views.size(); ++i) {
    TensorView const& view = parameters.views[i];
    plan::HeldParameter& held = parameters.description.parameters[i];
    std::uint64_t const hash = mix64(reinterpret_cast<std::uintptr_t>(view.data));
    int const known = by_memory.find(hash, [&](int number) {
      auto const other = static_cast<std::size_t>(number);
      return is_tied<T>(out.views[other], out.description.parameters[other], view, held);
    });
    if (known < 0) {
      by_memory.add(hash, static_cast<int>(out.views.size()));
      out.views.push_back(view);
      out.description.parameters.push_back(std::move(held));
      continue;
    }
    if (!asked) {
      asked = true;
      names = preferred();
      for (std::size_t n = 0; n < names.size(); ++n) {
        if (place_of(names[n]) == unknown) {
          by_name.add(hash_of(names[n]), static_cast<int>(n));
        }
      }
    }
    std::string& kept = out.description.parameters[static_cast<std::size_t>(known)].name;
    int const old_place = place_of(kept);
    int const new_place = place_of(held.name);
    if (new_place != old_place ? new_place < old_place : held.name < kept) {
      kept = std::move(held.name);
    }
  }
  return out;
}

namespace detail {

/// The memory of one of a parameter's boxes.
template <class T = void>
[[nodiscard]] Region held_region(TensorView view, HeldBox const& held) {
  if (!held.strided()) {
    return region_of(view, held.local_start, held.box.extent);
  }
  view.data = static_cast<std::byte*>(view.data) + held.offset * size_of(view.dtype);
  view.shape = held.box.extent;
  view.strides = held.strides;
  return region_of(view, Extents::filled(held.box.rank(), 0), held.box.extent);
}

}  // namespace detail

/// Errors: invalid_argument where two of a destination's parameters (that are not tied:
/// `without_ties`) share elements in memory, so that each would overwrite the other. Boxes of one
/// tensor that lie between each other do not. Cost: n log n in boxes, and the pairs whose first and
/// last bytes enclose each other's.
template <class T>
void check_own_memory(BasicLocalParameters<T> const& parameters) {
  struct Placed {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    std::size_t parameter = 0;
    Region region{};
  };
  rlhf::detail::late_vector<Placed, T> all;
  for (std::size_t p = 0; p < parameters.views.size(); ++p) {
    for (HeldBox const& held : parameters.description.parameters[p].holding.boxes) {
      Region const region = detail::held_region<T>(parameters.views[p], held);
      auto const begin = reinterpret_cast<std::uintptr_t>(region.data);
      if (region.run_bytes != 0) {
        all.push_back(
            Placed{begin, begin + static_cast<std::uintptr_t>(span_bytes(region)), p, region});
      }
    }
  }
  rlhf::detail::late_vector<std::size_t, T> order(all.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    order[i] = i;
  }
  rlhf::detail::sort_by(order, [&](std::size_t a, std::size_t b) {
    return all[a].begin != all[b].begin ? all[a].begin < all[b].begin : a < b;
  });
  rlhf::detail::late_vector<std::size_t, T> open;
  for (std::size_t const number : order) {
    Placed const& one = all[number];
    std::size_t kept = 0;
    for (std::size_t const other : open) {
      if (all[other].end <= one.begin) {
        continue;
      }
      if (all[other].parameter != one.parameter && overlap(all[other].region, one.region)) {
        auto const& names = parameters.description.parameters;
        fail(Errc::invalid_argument,
             text("weight sync: parameters ", names[all[other].parameter].name, " and ",
                  names[one.parameter].name, " of the destination share memory on rank ",
                  parameters.description.world_rank,
                  " but are not the same tensor; list that memory once, and map the source's name "
                  "to it (LinkOptions::names)"),
             parameters.description.world_rank);
      }
      open[kept++] = other;
    }
    open.resize(kept);
    open.push_back(number);
  }
}

}  // namespace rlhf::inline v0::sync
