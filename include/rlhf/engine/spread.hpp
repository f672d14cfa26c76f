/// @file
/// Which rows of an episode lie on which ranks of a module. Layer: engine.
#pragma once

#include <rlhf/core/math.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/parallel/mesh.hpp>

#include <cstdint>

namespace rlhf::inline v0::engine {

/// Which ranks of a module see different rows. The other ranks of the module work on the same rows
/// together.
enum class Spread : std::uint8_t {
  data,          ///< A share for each index of the data axis.
  data_sharded,  ///< One for each index of the data and the sharded axis, as FSDP and ZeRO work.
                 ///< The default.
};

namespace detail {

template <class M>
inline constexpr Spread spread_of = Spread::data_sharded;
template <class M>
  requires requires {
    { M::spread } -> std::convertible_to<Spread>;
  }
inline constexpr Spread spread_of<M> = M::spread;

}  // namespace detail

/// The shares of a module: how many, on which ranks. Refers to the module's mesh.
struct Shares {
  Mesh const* mesh = nullptr;
  Layout layout{};
  Spread spread = Spread::data_sharded;

  [[nodiscard]] int count() const noexcept {
    return layout.data * (spread == Spread::data ? 1 : layout.sharded());
  }
  /// The share of a rank of the module.
  [[nodiscard]] int of(int rank) const noexcept {
    Coordinate const at = layout.coordinate(rank);
    return spread == Spread::data ? at.data : at.data * layout.sharded() + at.sharded;
  }
  /// The world rank whose results count: the last of those that hold a share, as in the reference,
  /// which for a pipeline is its last stage.
  [[nodiscard]] int speaker(int share) const {
    int const sharded = spread == Spread::data ? layout.sharded() - 1 : share % layout.sharded();
    int const data = spread == Spread::data ? share : share / layout.sharded();
    return mesh->world_rank(layout.rank({.tensor = layout.tensor - 1,
                                         .expert = layout.expert - 1,
                                         .sharded = sharded,
                                         .data = data,
                                         .pipeline = layout.pipeline - 1}));
  }
};

/// Rows dealt to shares: positions [begin, end) of an order, cut evenly into contiguous parts, of
/// which those outside of `only` do not count.
struct Deal {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t const* order = nullptr;  ///< The row at a position; null: position + shift.
  IndexRange only{0, INT64_MAX};
  std::int64_t shift = 0;

  [[nodiscard]] IndexRange positions(int shares, int share) const noexcept {
    IndexRange const part = split_evenly(end - begin, shares, share);
    std::int64_t const first = begin + part.begin < only.begin ? only.begin : begin + part.begin;
    std::int64_t const last = begin + part.end < only.end ? begin + part.end : only.end;
    return {first, last < first ? first : last};
  }
  [[nodiscard]] std::int64_t row(std::int64_t position) const noexcept {
    return order == nullptr ? position + shift : order[position];
  }
};

/// The share of `split_evenly(rows, shares, .)` that a row is in.
[[nodiscard]] constexpr int share_of_row(std::int64_t rows, int shares, std::int64_t row) noexcept {
  std::int64_t const base = rows / shares;
  std::int64_t const longer = rows % shares;
  std::int64_t const in_longer = longer * (base + 1);
  return static_cast<int>(row < in_longer ? row / (base + 1) : longer + (row - in_longer) / base);
}

}  // namespace rlhf::inline v0::engine
