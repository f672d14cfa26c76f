/// @file
/// Finds the memory of a plan's pieces on this rank. Layer: sync.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/plan/plan.hpp>
#include <rlhf/plan/schedule.hpp>
#include <rlhf/sync/describe.hpp>
#include <rlhf/tensor/fingerprint.hpp>
#include <rlhf/tensor/region.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::sync {

/// One side of a sync on this rank: its parameters, by their number in the plan.
template <class T = void>
class LocalSide {
 public:
  LocalSide() = default;
  LocalSide(plan::BasicPlan<T> const& plan, BasicLocalParameters<T> parameters)
      : parameters_(std::move(parameters)),
        at_(plan.parameters.size(), -1),
        kind_of_(plan::kinds_of(plan)) {
    rlhf::detail::late_vector<std::pair<std::string_view, int>, T> by_name;
    for (std::size_t i = 0; i < parameters_.views.size(); ++i) {
      by_name.emplace_back(parameters_.description.parameters[i].name, static_cast<int>(i));
    }
    rlhf::detail::sort(by_name);
    for (std::size_t p = 0; p < plan.parameters.size(); ++p) {
      std::string_view const name = plan.parameters[p];
      std::size_t const found =
          rlhf::detail::first_not(by_name, [&](auto const& entry) { return entry.first < name; });
      if (found != by_name.size() && by_name[found].first == name) {
        at_[p] = by_name[found].second;
      }
    }
  }

  /// Takes new views of the same parameters, for models that have moved their memory.
  void rebind(BasicLocalParameters<T> parameters) {
    if (parameters.description != parameters_.description) {
      fail(Errc::invalid_argument,
           text("rank ", parameters_.description.world_rank,
                " lists other parameters or shapes than when the link was made; make a new link"),
           parameters_.description.world_rank);
    }
    parameters_ = std::move(parameters);
  }

  /// Where a piece lies in this rank's memory. Its fingerprint is that of the elements as the
  /// destination stores them.
  [[nodiscard]] PlacedBox place(plan::BasicPlan<T> const& plan, plan::Piece const& piece) const {
    auto const number = static_cast<std::size_t>(piece.parameter);
    int const local = at_[number];
    plan::Kind const& kind = kind_of(plan, piece);
    if (local >= 0) {
      auto const index = static_cast<std::size_t>(local);
      for (HeldBox const& held : parameters_.description.parameters[index].holding.boxes) {
        if (held.box.contains(piece.box)) {
          TensorView view = parameters_.views[index];
          Extents start = held.local_start;
          if (held.strided()) {  // as if the box were all there is
            view.data = static_cast<std::byte*>(view.data) + held.offset * size_of(view.dtype);
            view.shape = held.box.extent;
            view.strides = held.strides;
            start = Extents::filled(held.box.rank(), 0);
          }
          for (int d = 0; d < piece.box.rank(); ++d) {
            start[d] += piece.box.start[d] - held.box.start[d];
          }
          return PlacedBox{view,
                           start,
                           piece.box,
                           kind.global,
                           plan::fingerprint(plan.parameters[number], kind),
                           view.dtype != kind.destination_dtype,
                           kind.destination_dtype};
        }
      }
    }
    fail(Errc::rank_mismatch,
         text("the plan moves ", plan.parameters[number], " ", to_string(piece.box),
              " through rank ", parameters_.description.world_rank, ", which does not hold it"),
         parameters_.description.world_rank);
  }
  /// The same as memory, packed and unpacked as what travels.
  [[nodiscard]] Region region(plan::BasicPlan<T> const& plan, plan::Piece const& piece) const {
    PlacedBox const placed = place(plan, piece);
    Region region = region_of(placed.local, placed.local_start, placed.box.extent);
    region.wire = kind_of(plan, piece).wire();
    return region;
  }

  /// All of this rank's parameters.
  [[nodiscard]] std::span<TensorView const> views() const noexcept {
    return {parameters_.views.data(), parameters_.views.size()};
  }

  /// The names of this rank's parameters.
  [[nodiscard]] rlhf::detail::late_vector<std::string, T> names() const {
    rlhf::detail::late_vector<std::string, T> out;
    for (plan::HeldParameter const& held : parameters_.description.parameters) {
      out.push_back(held.name);
    }
    return out;
  }

  /// The kind of a piece's parameter.
  [[nodiscard]] plan::Kind const& kind_of(plan::BasicPlan<T> const& plan,
                                          plan::Piece const& piece) const {
    return plan
        .kinds[static_cast<std::size_t>(kind_of_[static_cast<std::size_t>(piece.parameter)])];
  }

 private:
  BasicLocalParameters<T> parameters_;
  rlhf::detail::late_vector<int, T> at_;
  rlhf::detail::late_vector<std::int32_t, T> kind_of_;
};

}  // namespace rlhf::inline v0::sync
