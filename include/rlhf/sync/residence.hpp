/// @file
/// Whether a model's weights are where a link found them. Layer: sync.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/sync/link_options.hpp>

#include <concepts>
#include <cstdint>

namespace rlhf::inline v0::sync {

/// A model that says when its weights leave their memory: `model.weights_generation()` is 0 while
/// they are away, and another number each time that they have come back. `runtime::Offloadable`
/// offers it.
template <class M>
concept TellsResidence = requires(M const& model) {
  { model.weights_generation() } -> std::convertible_to<std::uint64_t>;
};

/// The generations of the weights of both sides of a sync on one rank; 1 for models that do not
/// say, and where the rank holds none.
struct Generations {
  std::uint64_t source = 1;
  std::uint64_t destination = 1;

  template <class Source, class Destination>
  [[nodiscard]] static Generations of(Source const& source, Destination const& destination,
                                      int world_rank) {
    return {of_one(source, world_rank), of_one(destination, world_rank)};
  }

  /// Errors: invalid_argument where the weights of a side are away.
  void expect_present(int world_rank) const { expect_bound(*this, world_rank); }
  /// Errors: invalid_argument where the weights of a side are away, or have come back since their
  /// generations were `bound`. Cost: comparisons.
  void expect_bound(Generations const& bound, int world_rank) const {
    expect_bound(Side::source, bound, world_rank);
    expect_bound(Side::destination, bound, world_rank);
  }
  /// The same for one side.
  void expect_bound(Side side, Generations const& bound, int world_rank) const {
    bool const of_source = side == Side::source;
    std::uint64_t const now = of_source ? source : destination;
    if (now == 0) {
      fail(Errc::invalid_argument,
           text("weight sync: on rank ", world_rank, " the weights of the ",
                of_source ? "source" : "destination",
                " are offloaded; bring them back first: runtime::onload(model, "
                "runtime::Part::weights)"),
           world_rank);
    }
    if (now != (of_source ? bound.source : bound.destination)) {
      fail(Errc::invalid_argument,
           text("weight sync: on rank ", world_rank, " the weights of the ",
                of_source ? "source" : "destination",
                " were offloaded and came back to other memory; tell the link after each onload: "
                "link.rebind(sync::Contents::kept)"),
           world_rank);
    }
  }
  /// Takes the generations of the sides whose weights are there.
  void take(Generations const& now) noexcept {
    source = now.source != 0 ? now.source : source;
    destination = now.destination != 0 ? now.destination : destination;
  }

 private:
  template <class M>
  [[nodiscard]] static std::uint64_t of_one(M const& model, int world_rank) {
    if constexpr (TellsResidence<M>) {
      return model.mesh().rank_of(world_rank) >= 0 ? model.weights_generation() : 1;
    } else {
      return 1;
    }
  }
};

}  // namespace rlhf::inline v0::sync
