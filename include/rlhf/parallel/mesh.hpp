/// @file
/// The ranks of the world that hold a module. Layer: parallel.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace rlhf::inline v0 {

/// World ranks of a module, in the module's own rank order. Any list without repeats.
class Mesh {
 public:
  Mesh() = default;
  template <class = void>
  explicit Mesh(std::vector<int> world_ranks) : world_ranks_(std::move(world_ranks)) {
    expects(!world_ranks_.empty(), "a mesh needs at least one rank");
    std::vector<std::uint8_t> seen;
    for (int const rank : world_ranks_) {
      expects(rank >= 0, "a mesh must not contain a negative rank");
      auto const index = static_cast<std::size_t>(rank);
      if (index >= seen.size()) {
        seen.resize(index + 1, 0);
      }
      if (seen[index] != 0) {
        fail(Errc::invalid_argument, text("a mesh lists world rank ", rank, " twice"));
      }
      seen[index] = 1;
    }
  }
  /// `count` consecutive world ranks from `first`.
  template <class = void>
  [[nodiscard]] static Mesh range(int first, int count) {
    expects(count > 0, "a mesh needs at least one rank");
    std::vector<int> ranks(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) {
      ranks[static_cast<std::size_t>(i)] = first + i;
    }
    return Mesh(std::move(ranks));
  }

  [[nodiscard]] int size() const noexcept { return static_cast<int>(world_ranks_.size()); }
  [[nodiscard]] std::span<int const> world_ranks() const noexcept {
    return {world_ranks_.data(), world_ranks_.size()};
  }
  template <class = void>
  [[nodiscard]] int world_rank(int rank) const {
    return world_ranks_.at(static_cast<std::size_t>(rank));
  }
  /// The module rank of a world rank, or -1 where it does not belong to the mesh.
  [[nodiscard]] int rank_of(int world_rank) const noexcept {
    for (int rank = 0; rank < size(); ++rank) {
      if (world_ranks_[static_cast<std::size_t>(rank)] == world_rank) {
        return rank;
      }
    }
    return -1;
  }
  bool operator==(Mesh const&) const = default;

 private:
  std::vector<int> world_ranks_;
};

/// The communicator of a module's own ranks, in mesh order. Collective over `world`; ranks outside
/// the mesh get an empty communicator.
template <comm::Communicator C>
[[nodiscard]] C module_communicator(C& world, Mesh const& mesh) {
  for (int const rank : mesh.world_ranks()) {
    if (rank >= world.size()) {
      fail(Errc::invalid_argument,
           text("a mesh lists world rank ", rank, ", the world has ", world.size(), " ranks"));
    }
  }
  int const rank = mesh.rank_of(world.rank());
  return world.split(rank < 0 ? comm::no_color : 0, rank < 0 ? 0 : rank);
}

}  // namespace rlhf::inline v0
