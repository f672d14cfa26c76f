/// @file
/// Sizes of the parallel axes; rank to coordinate and back. Layer: parallel.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/text.hpp>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace rlhf::inline v0 {

/// A direction in which a model is spread over ranks.
enum class Axis : std::uint8_t {
  tensor,    ///< A layer's matrices are cut.
  expert,    ///< A layer's experts are dealt out.
  sharded,   ///< Every parameter is cut over ranks that see different data (FSDP or ZeRO).
  data,      ///< Whole copies that see different data.
  pipeline,  ///< Layers are dealt out.
};

inline constexpr int axis_count = 5;

[[nodiscard]] constexpr std::string_view to_string(Axis axis) noexcept {
  constexpr std::string_view names[axis_count] = {"tensor", "expert", "sharded", "data",
                                                  "pipeline"};
  return names[static_cast<int>(axis)];
}

/// A rank's place on every axis.
struct Coordinate {
  int tensor = 0;
  int expert = 0;
  int sharded = 0;
  int data = 0;
  int pipeline = 0;

  [[nodiscard]] constexpr int on(Axis axis) const noexcept {
    switch (axis) {
      case Axis::tensor:
        return tensor;
      case Axis::expert:
        return expert;
      case Axis::sharded:
        return sharded;
      case Axis::data:
        return data;
      case Axis::pipeline:
        return pipeline;
    }
    return 0;
  }
  constexpr bool operator==(Coordinate const&) const noexcept = default;
};

/// What is wrong with a layout, or with a layout on a number of ranks.
enum class LayoutFault : std::uint8_t {
  none,
  size_below_one,
  zero_with_model_parallel,
  zero_with_fsdp,
  fewer_ranks_than_replica,
  ranks_not_divisible,
  ranks_differ,
};

/// The sizes of the parallel axes. Structural: usable as a template argument.
///
/// Ranks are numbered as Megatron does: tensor fastest, then expert, sharded, data, and pipeline
/// slowest. `fsdp` and `zero` are two ways of the sharded axis; at most one is above 1.
/// `data = Layout::any` means as many copies as the ranks allow (`on_ranks` fills it in).
/// Source of the rules: the reference's module section; unlike it, FSDP composes with the other
/// axes (ZeRO does not, as there).
struct Layout {
  static constexpr int any = 0;

  int tensor = 1;
  int pipeline = 1;
  int expert = 1;
  int data = 1;
  int fsdp = 1;
  int zero = 1;

  constexpr bool operator==(Layout const&) const noexcept = default;

  /// Ranks that see different data and share one copy of the parameters.
  [[nodiscard]] constexpr int sharded() const noexcept { return fsdp * zero; }
  /// Ranks that together hold one whole copy.
  [[nodiscard]] constexpr int ranks_per_replica() const noexcept {
    return tensor * expert * sharded() * pipeline;
  }
  /// All ranks. Requires data != any.
  [[nodiscard]] constexpr int ranks() const noexcept { return ranks_per_replica() * data; }

  [[nodiscard]] constexpr int size(Axis axis) const noexcept {
    switch (axis) {
      case Axis::tensor:
        return tensor;
      case Axis::expert:
        return expert;
      case Axis::sharded:
        return sharded();
      case Axis::data:
        return data;
      case Axis::pipeline:
        return pipeline;
    }
    return 1;
  }

  /// `ranks_per_replica()`, and the same for all copies; the largest int where they do not fit one,
  /// as sizes from a file may do.
  [[nodiscard]] constexpr int needed_ranks(int copies = 1) const noexcept {
    std::int64_t needed = copies;
    for (int const size : {tensor, pipeline, expert, fsdp, zero}) {
      needed *= size;
      needed = needed > 0x7fffffff ? 0x7fffffff : needed;
    }
    return static_cast<int>(needed);
  }

  /// What is wrong with the sizes themselves.
  [[nodiscard]] constexpr LayoutFault fault() const noexcept {
    if (tensor < 1 || pipeline < 1 || expert < 1 || fsdp < 1 || zero < 1 || data < 0) {
      return LayoutFault::size_below_one;
    }
    if (zero > 1 && fsdp > 1) {
      return LayoutFault::zero_with_fsdp;
    }
    if (zero > 1 && (tensor > 1 || pipeline > 1 || expert > 1)) {
      return LayoutFault::zero_with_model_parallel;
    }
    return LayoutFault::none;
  }

  /// What is wrong with spreading this layout over `count` ranks.
  [[nodiscard]] constexpr LayoutFault fault_on(int count) const noexcept {
    if (fault() != LayoutFault::none) {
      return fault();
    }
    if (count < needed_ranks()) {
      return LayoutFault::fewer_ranks_than_replica;
    }
    if (count % ranks_per_replica() != 0) {
      return LayoutFault::ranks_not_divisible;
    }
    if (data != any && count != needed_ranks(data)) {
      return LayoutFault::ranks_differ;
    }
    return LayoutFault::none;
  }

  /// This layout on `count` ranks, the data axis filled in. Throws what `fault_on` finds.
  [[nodiscard]] constexpr Layout on_ranks(int count) const;

  /// Where rank `rank` stands. Requires 0 <= rank < ranks().
  [[nodiscard]] constexpr Coordinate coordinate(int rank) const noexcept {
    Coordinate at;
    at.tensor = rank % tensor;
    rank /= tensor;
    at.expert = rank % expert;
    rank /= expert;
    at.sharded = rank % sharded();
    rank /= sharded();
    at.data = rank % data;
    at.pipeline = rank / data;
    return at;
  }
  /// The rank that stands there; the inverse of `coordinate`.
  [[nodiscard]] constexpr int rank(Coordinate const& at) const noexcept {
    return (((at.pipeline * data + at.data) * sharded() + at.sharded) * expert + at.expert) *
               tensor +
           at.tensor;
  }
};

/// `tensor=2 pipeline=2 data=4`, axes of size 1 left out; `one rank` where all are 1.
[[nodiscard]] inline std::string to_string(Layout const& layout) {
  std::string out;
  auto const add = [&](char const* name, int size) {
    if (size != 1) {
      out += text(out.empty() ? "" : " ", name, "=", size == Layout::any ? "any" : text(size));
    }
  };
  add("tensor", layout.tensor);
  add("pipeline", layout.pipeline);
  add("expert", layout.expert);
  add("fsdp", layout.fsdp);
  add("zero", layout.zero);
  add("data", layout.data);
  return out.empty() ? "one rank" : out;
}

/// A sentence about a fault: what, where, what was expected, what to do.
[[nodiscard]] inline std::string describe(LayoutFault fault, Layout const& layout, int count) {
  std::string head = text("layout ", to_string(layout));
  switch (fault) {
    case LayoutFault::none:
      return text(head, " fits");
    case LayoutFault::size_below_one:
      return text(head, ": every axis needs a size of at least 1 (tensor=", layout.tensor,
                  " pipeline=", layout.pipeline, " expert=", layout.expert, " data=", layout.data,
                  " fsdp=", layout.fsdp, " zero=", layout.zero, ")");
    case LayoutFault::zero_with_model_parallel:
      return text(head,
                  ": zero does not combine with tensor, pipeline or expert; use fsdp=", layout.zero,
                  " instead");
    case LayoutFault::zero_with_fsdp:
      return text(head, ": zero and fsdp are two ways of the same axis; set one of them to 1");
    case LayoutFault::fewer_ranks_than_replica:
      return text(head, " needs ", layout.needed_ranks(), " ranks for one replica, got ", count);
    case LayoutFault::ranks_not_divisible:
      return text(head, " needs a multiple of ", layout.ranks_per_replica(),
                  " ranks (one replica), got ", count);
    case LayoutFault::ranks_differ:
      return text(head, " is for ", layout.needed_ranks(layout.data), " ranks, got ", count,
                  "; set data=", count / layout.ranks_per_replica(), " or data=any");
  }
  return head;
}

constexpr Layout Layout::on_ranks(int count) const {
  LayoutFault const found = fault_on(count);
  if (found != LayoutFault::none) {
    fail(Errc::incompatible_policy, describe(found, *this, count));
  }
  Layout filled = *this;
  filled.data = count / ranks_per_replica();
  return filled;
}

}  // namespace rlhf::inline v0
