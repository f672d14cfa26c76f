/// @file
/// Which part of a parameter a rank holds: cuts along axes, evaluated to boxes. Layer: parallel.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/parallel/holding.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/tensor/box.hpp>

#include <cstdint>
#include <string_view>
#include <vector>

namespace rlhf::inline v0 {

/// How a cut divides its dimension among the ranks of its axis.
enum class CutKind : std::uint8_t {
  even,    ///< Equal parts (chunks as PyTorch's over the sharded axis).
  heads,   ///< Whole heads; each by several ranks where there are more ranks than heads.
  padded,  ///< Equal parts of a larger extent, whose end belongs to no element.
};

/// One cut of a tensor: dimension `dimension`, made of `sections` equal sections (fused matrices),
/// each divided among the ranks of `axis`.
struct Cut {
  Axis axis = Axis::tensor;
  std::int8_t dimension = 0;
  std::int16_t sections = 1;
  CutKind kind = CutKind::even;
  std::int64_t count = 0;   ///< heads: how many; padded: the extent without padding.
  std::int64_t padded = 0;  ///< padded: the extent with padding; 0: what the ranks' tensors give.

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
    expects(dimension >= 0 && dimension < max_rank, "a cut needs a dimension below 6");
    expects(sections >= 1 && sections <= 32767, "a cut needs 1 to 32767 sections");
    return then(
        Cut{axis, static_cast<std::int8_t>(dimension), static_cast<std::int16_t>(sections)});
  }
  [[nodiscard]] constexpr Shard then(Cut const& cut) const {
    expects(count < max_cuts, "a shard has at most 4 cuts");
    Shard out = *this;
    out.cuts[out.count++] = cut;
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
  /// The shape of the tensor of the rank at `at`. Requires the global shape (`of`), and of padded
  /// cuts the padded extent. Errors: as `holding`.
  template <class = void>
  [[nodiscard]] Shape local_shape(Layout const& layout, Coordinate const& at) const;
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

/// `heads` heads along dimension `dimension`, over the tensor axis; no head is cut. With fewer
/// heads than tensor ranks (key/value heads of grouped-query attention), each head is held by ranks
/// / heads consecutive ranks. One of both numbers must divide the other. Source: Megatron and vLLM,
/// `num_query_groups` and `num_kv_heads` against the tensor size.
[[nodiscard]] constexpr Shard heads(int dimension, std::int64_t heads) {
  expects(dimension >= 0 && dimension < max_rank, "a cut needs a dimension below 6");
  expects(heads >= 1, "a cut by heads needs at least one head");
  return Shard{}.then(
      Cut{Axis::tensor, static_cast<std::int8_t>(dimension), 1, CutKind::heads, heads});
}
/// Dimension `dimension` has `extent` elements (a vocabulary); the tensors of the tensor ranks are
/// equally long and together at least as long: the rest is padding at the end, which is neither
/// read nor written and may differ from module to module.
///
/// `padded` is the extent with padding, a multiple of the tensor ranks. Left out, it is what the
/// ranks' tensors give; needed where the dimension is cut again or the tensor is flattened.
[[nodiscard]] constexpr Shard padded(int dimension, std::int64_t extent, std::int64_t padded = 0) {
  expects(dimension >= 0 && dimension < max_rank, "a cut needs a dimension below 6");
  expects(extent >= 0 && (padded == 0 || padded >= extent),
          "a padded extent must not be below the extent without padding");
  return Shard{}.then(
      Cut{Axis::tensor, static_cast<std::int8_t>(dimension), 1, CutKind::padded, extent, padded});
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

/// A rank's boxes while a tensor is being cut, laid out in a tensor of shape `held`.
template <class Late>
struct Cutting {
  Shape whole{};
  Shape held{};
  std::vector<late<HeldBox, Late>> boxes;

  /// Nothing cut yet.
  explicit Cutting(Shape const& shape) : whole(shape), held(shape) {
    if (!Box::whole(whole).empty()) {
      boxes.push_back(HeldBox{Box::whole(whole), Extents::filled(whole.rank(), 0)});
    }
  }
  /// Keeps `range` of each section of dimension `d`.
  void keep(int d, int sections, std::int64_t section, IndexRange range) {
    boxes = apply_cut(boxes, d, sections, section, range);
    held[d] = sections * range.size();
  }
  /// The result for a rank whose tensor has shape `local`. Errors: invalid_argument where the cuts
  /// leave another shape.
  [[nodiscard]] Holding finish(Shape const& local) && {
    if (held != local) {
      fail(Errc::invalid_argument,
           text("by its cuts this rank holds shape ", to_string(held), " of ", to_string(whole),
                ", but its tensor has shape ", to_string(local)));
    }
    return Holding{whole, static_cast<std::vector<HeldBox>&&>(boxes)};
  }
};

/// The global shape of which these cuts leave `local`: every cut divided its dimension evenly.
template <class = void>
[[nodiscard]] Shape whole_of(Shard const& shard, Shape const& local, Layout const& layout) {
  Shape whole = local;
  for (int i = 0; i < shard.count; ++i) {
    Cut const& cut = shard.cuts[i];
    if (cut.dimension < whole.rank() && cut.kind != CutKind::padded) {
      std::int64_t const ranks = layout.size(cut.axis);
      bool const copies = cut.kind == CutKind::heads && cut.count < ranks;
      whole[cut.dimension] = checked_multiply(whole[cut.dimension], copies ? cut.count : ranks);
    }
  }
  for (int i = 0; i < shard.count; ++i) {
    if (shard.cuts[i].dimension < whole.rank() && shard.cuts[i].kind == CutKind::padded) {
      whole[shard.cuts[i].dimension] = shard.cuts[i].count;
    }
  }
  return whole;
}

/// The heads of rank `index` of `parts`, as elements.
template <class = void>
[[nodiscard]] IndexRange head_range(Cut const& cut, Shape const& whole, std::int64_t extent,
                                    int parts, int index) {
  if (extent % cut.count != 0) {
    fail(Errc::invalid_argument,
         text("dimension ", static_cast<int>(cut.dimension), " of shape ", to_string(whole),
              " has ", extent, " elements, which are not ", cut.count, " heads of one size"));
  }
  if (cut.count % parts == 0) {
    return split_evenly(extent, parts, index);
  }
  if (parts % cut.count != 0) {
    fail(Errc::invalid_argument,
         text(cut.count, " heads over ", parts, " ranks of the ", to_string(cut.axis),
              " axis: neither number divides the other, so that a head would be cut; choose a size "
              "of that axis that divides ",
              cut.count, " or is a multiple of it"));
  }
  std::int64_t const head = extent / cut.count;
  std::int64_t const mine = index / (parts / cut.count);
  return IndexRange{mine * head, (mine + 1) * head};
}

/// The elements of rank `index` of `parts`, padding included. `local`: its tensor's extent, or -1
/// where that does not say.
template <class = void>
[[nodiscard]] IndexRange padded_range(Cut const& cut, Shape const& whole, std::int64_t local,
                                      int parts, int index) {
  int const d = cut.dimension;
  if (cut.padded == 0 && local < 0) {
    fail(Errc::invalid_argument,
         text("the padded extent of dimension ", d, " of shape ", to_string(whole),
              " is not known here; give it: shard::padded(", d, ", ", cut.count, ", padded)"));
  }
  std::int64_t const share = cut.padded == 0 ? local : cut.padded / parts;
  if (cut.padded % parts != 0 || whole[d] != cut.count ||
      checked_multiply<std::int64_t>(share, parts) < cut.count) {
    fail(Errc::invalid_argument,
         text("dimension ", d, " of shape ", to_string(whole), " is ", cut.count,
              " long without padding, which ", parts, " ranks of the ", to_string(cut.axis),
              " axis with ", share, " each", cut.padded == 0 ? "" : text(" (", cut.padded, ")"),
              " do not hold"));
  }
  return IndexRange{index * share, (index + 1) * share};
}

/// Cuts one after the other. `local`: the shape that the rank's tensor has, null where not known.
template <class Late>
void apply_cuts(Cutting<Late>& cutting, Shard const& shard, Shape const* local,
                Layout const& layout, Coordinate const& at) {
  for (int i = 0; i < shard.count; ++i) {
    Cut const& cut = shard.cuts[i];
    int const d = cut.dimension;
    int const parts = layout.size(cut.axis);
    int const index = at.on(cut.axis);
    if (d >= cutting.held.rank()) {
      fail(Errc::invalid_argument,
           text("a cut of dimension ", d, " does not fit a tensor of shape ",
                to_string(cutting.whole)));
    }
    std::int64_t const extent = cutting.held[d];
    if (cut.kind == CutKind::heads) {
      cutting.keep(d, 1, extent, head_range(cut, cutting.whole, extent, parts, index));
      continue;
    }
    if (cut.kind == CutKind::padded) {
      bool alone = local != nullptr && d < local->rank();
      for (int other = 0; other < shard.count; ++other) {
        alone = alone && (other == i || shard.cuts[other].dimension != d);
      }
      cutting.keep(d, 1, extent,
                   padded_range(cut, cutting.whole, alone ? (*local)[d] : -1, parts, index));
      continue;
    }
    std::int64_t const section = extent / cut.sections;
    if (extent % cut.sections != 0 || (cut.axis != Axis::sharded && section % parts != 0)) {
      fail(Errc::invalid_argument,
           text("dimension ", d, " of shape ", to_string(cutting.whole), " has ", extent,
                " elements, which ", static_cast<int>(cut.sections), " sections over ", parts,
                " ranks of the ", to_string(cut.axis),
                " axis do not divide; choose another size of that axis"));
    }
    cutting.keep(d, cut.sections, section, cut_range(cut, section, parts, index));
  }
}

}  // namespace detail

template <class Late>
Holding Shard::holding(Shape const& local, Layout const& layout, Coordinate const& at) const {
  bool const derived = global.rank() == 0 && local.rank() != 0;
  detail::Cutting<Late> cutting(derived ? detail::whole_of(*this, local, layout) : global);
  detail::apply_cuts(cutting, *this, &local, layout, at);
  return static_cast<detail::Cutting<Late>&&>(cutting).finish(local);
}

template <class Late>
Shape Shard::local_shape(Layout const& layout, Coordinate const& at) const {
  expects(global.rank() != 0 || count == 0,
          "the shape of a rank's tensor needs the global shape; give it: rule.of(shape)");
  detail::Cutting<Late> cutting(global);
  detail::apply_cuts(cutting, *this, nullptr, layout, at);
  return cutting.held;
}

}  // namespace rlhf::inline v0
