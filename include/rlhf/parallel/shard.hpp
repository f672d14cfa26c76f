/// @file
/// Which part of a parameter a rank holds: cuts along axes, evaluated to boxes. Layer: parallel.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/tensor/box.hpp>

#include <concepts>
#include <cstdint>
#include <string_view>
#include <vector>

namespace rlhf::inline v0 {

/// One box of a global tensor that a rank holds, and where it starts in the rank's own tensor.
struct HeldBox {
  Box box{};
  Extents local_start{};

  constexpr bool operator==(HeldBox const&) const noexcept = default;
};

/// All that a rank holds of one parameter.
struct Holding {
  Shape global{};
  std::vector<HeldBox> boxes;

  bool operator==(Holding const&) const = default;
};

/// One cut of a tensor: dimension `dimension`, made of `sections` equal sections (fused matrices),
/// each divided among the ranks of `axis`.
struct Cut {
  Axis axis = Axis::tensor;
  std::int8_t dimension = 0;
  std::int16_t sections = 1;

  constexpr bool operator==(Cut const&) const noexcept = default;
};

/// How a parameter is cut. Plain data; made by the functions in namespace `shard`.
///
/// Cuts apply one after the other, each to what the one before left on the rank. Tensor and expert
/// cuts must divide the extent; sharded (FSDP) cuts give the first ranks ceil(extent / ranks), as
/// PyTorch's chunk does, so that extent and even emptiness may differ.
struct Shard {
  static constexpr int max_cuts = 4;

  Cut cuts[max_cuts] = {};
  int count = 0;
  Shape global{};  ///< Set where it cannot be derived from the rank's own tensor: uneven cuts.

  /// This shard with one more cut.
  [[nodiscard]] constexpr Shard then(Axis axis, int dimension, int sections = 1) const {
    expects(count < max_cuts, "a shard has at most 4 cuts");
    expects(dimension >= 0 && dimension < max_rank, "a cut needs a dimension below 6");
    expects(sections >= 1 && sections <= 32767, "a cut needs 1 to 32767 sections");
    Shard out = *this;
    out.cuts[out.count++] =
        Cut{axis, static_cast<std::int8_t>(dimension), static_cast<std::int16_t>(sections)};
    return out;
  }
  /// This shard of a tensor of that global shape.
  [[nodiscard]] constexpr Shard of(Shape const& shape) const {
    Shard out = *this;
    out.global = shape;
    return out;
  }

  /// The boxes of the rank at `at`, which holds a tensor of shape `local`.
  ///
  /// Errors: invalid_argument where the shapes and cuts do not fit together.
  template <class = void>
  [[nodiscard]] Holding holding(Shape const& local, Layout const& layout,
                                Coordinate const& at) const;
};

/// A description of how a parameter is cut: `Shard`, or a user's own type.
///
/// `rule.holding(local_shape, layout, coordinate)` gives the global shape and the boxes; all ranks
/// must give the same global shape, boxes must lie inside it and be disjoint on a rank.
template <class R>
concept ShardRule = requires(R const& rule, Shape const& local, Layout const& layout,
                             Coordinate const& at) {
  { rule.holding(local, layout, at) } -> std::same_as<Holding>;
};

namespace shard {

/// Every rank holds all of it.
[[nodiscard]] constexpr Shard replicated() noexcept {
  return Shard{};
}
/// Dimension `dimension` is cut over the ranks of `axis`.
[[nodiscard]] constexpr Shard split(Axis axis, int dimension, int sections = 1) {
  return Shard{}.then(axis, dimension, sections);
}
/// Rows over the tensor axis (column-parallel linear layers, embeddings). `sections` fused matrices
/// stacked on dimension 0 (query|key|value, gate|up) are each cut.
[[nodiscard]] constexpr Shard rows(int sections = 1) {
  return split(Axis::tensor, 0, sections);
}
/// Columns over the tensor axis (row-parallel linear layers).
[[nodiscard]] constexpr Shard columns() {
  return split(Axis::tensor, 1);
}

}  // namespace shard

namespace detail {

[[nodiscard]] constexpr IndexRange cut_range(Cut const& cut, std::int64_t extent, int parts,
                                             int index) noexcept {
  if (cut.axis == Axis::sharded) {  // as torch.chunk: equal chunks, the last ones short or empty
    std::int64_t const chunk = ceil_div(extent, static_cast<std::int64_t>(parts));
    std::int64_t const begin = chunk * index < extent ? chunk * index : extent;
    return IndexRange{begin, begin + chunk < extent ? begin + chunk : extent};
  }
  return split_evenly(extent, parts, index);
}

/// Keeps, of boxes laid out in a local tensor, what lies in `range` of each section of a dimension.
template <class = void>
[[nodiscard]] std::vector<HeldBox> apply_cut(std::vector<HeldBox> const& boxes, int d, int sections,
                                             std::int64_t section_extent, IndexRange range) {
  std::vector<HeldBox> out;
  for (int section = 0; section < sections; ++section) {
    std::int64_t const begin = section * section_extent + range.begin;
    std::int64_t const end = section * section_extent + range.end;
    std::int64_t const new_start = section * range.size();
    for (HeldBox const& held : boxes) {
      std::int64_t const held_begin = held.local_start[d];
      std::int64_t const from = begin > held_begin ? begin : held_begin;
      std::int64_t const held_end = held_begin + held.box.extent[d];
      std::int64_t const to = end < held_end ? end : held_end;
      if (from >= to) {
        continue;
      }
      HeldBox kept = held;
      kept.box.start[d] = held.box.start[d] + (from - held_begin);
      kept.box.extent[d] = to - from;
      kept.local_start[d] = new_start + (from - begin);
      out.push_back(kept);
    }
  }
  return out;
}

}  // namespace detail

template <class>
Holding Shard::holding(Shape const& local, Layout const& layout, Coordinate const& at) const {
  Shape whole = global;
  if (whole.rank() == 0 && local.rank() != 0) {  // derive: every cut divided its dimension evenly
    whole = local;
    for (int i = 0; i < count; ++i) {
      if (cuts[i].dimension < whole.rank()) {
        whole[cuts[i].dimension] =
            checked_multiply<std::int64_t>(whole[cuts[i].dimension], layout.size(cuts[i].axis));
      }
    }
  }
  std::vector<HeldBox> boxes;
  if (!Box::whole(whole).empty()) {
    boxes.push_back(HeldBox{Box::whole(whole), Extents::filled(whole.rank(), 0)});
  }
  Shape held = whole;
  for (int i = 0; i < count; ++i) {
    Cut const& cut = cuts[i];
    int const d = cut.dimension;
    int const parts = layout.size(cut.axis);
    if (d >= whole.rank()) {
      fail(Errc::invalid_argument,
           text("a cut of dimension ", d, " does not fit a tensor of shape ", to_string(whole)));
    }
    std::int64_t const section = held[d] / cut.sections;
    if (held[d] % cut.sections != 0 || (cut.axis != Axis::sharded && section % parts != 0)) {
      fail(Errc::invalid_argument,
           text("dimension ", d, " of shape ", to_string(whole), " has ", held[d],
                " elements, which ", cut.sections, " sections over ", parts, " ranks of the ",
                to_string(cut.axis), " axis do not divide; choose another size of that axis"));
    }
    IndexRange const range = detail::cut_range(cut, section, parts, at.on(cut.axis));
    boxes = detail::apply_cut(boxes, d, cut.sections, section, range);
    held[d] = cut.sections * range.size();
  }
  if (held != local) {
    fail(Errc::invalid_argument,
         text("by its cuts this rank holds shape ", to_string(held), " of ", to_string(whole),
              ", but its tensor has shape ", to_string(local)));
  }
  return Holding{whole, static_cast<std::vector<HeldBox>&&>(boxes)};
}

}  // namespace rlhf::inline v0
