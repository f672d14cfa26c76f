/// @file
/// Flat shards: a parameter flattened, its elements dealt out in runs (ZeRO, FSDP-1). Layer:
/// parallel.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/parallel/holding.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/parallel/shard.hpp>
#include <rlhf/tensor/box.hpp>

#include <cstdint>
#include <vector>

namespace rlhf::inline v0 {
namespace detail {

/// Calls `visit(box, position)` for each of the at most 2 * rank - 1 boxes that elements
/// [range.begin, range.end) of a row-major tensor make, in order; `position` is the box's first.
template <class Visit>
void for_each_rectangle(Shape const& shape, IndexRange range, Visit&& visit) {
  Extents const strides = row_major_strides(shape);
  std::int64_t begin = range.begin;
  while (begin < range.end) {
    int d = 0;  // the outermost dimension along which whole rows begin here and fit
    while (d + 1 < shape.rank() && (begin % strides[d] != 0 || range.end - begin < strides[d])) {
      ++d;
    }
    Box box = Box::whole(shape);
    std::int64_t elements = 1;
    if (shape.rank() != 0) {
      std::int64_t rest = begin;
      for (int outer = 0; outer <= d; ++outer) {
        box.start[outer] = rest / strides[outer];
        box.extent[outer] = 1;
        rest %= strides[outer];
      }
      std::int64_t const left = shape[d] - box.start[d];
      std::int64_t const wanted = (range.end - begin) / strides[d];
      box.extent[d] = wanted < left ? wanted : left;
      elements = box.extent[d] * strides[d];
    }
    visit(box, begin);
    begin += elements;
  }
}

/// The holding of elements `range` of a rank's flattened tensor of shape `whole`, of which `held`
/// holds boxes, in a 1-D tensor of shape `local` from element `offset` on.
template <class Late = void>
[[nodiscard]] Holding flattened(late<Holding, Late> const& held, Shape const& whole,
                                IndexRange range, Shape const& local, std::int64_t offset) {
  if (local.rank() != 1 || offset < 0 || range.size() > local[0] - offset) {
    fail(Errc::invalid_argument,
         text("a flat shard of ", range.size(), " elements does not fit a tensor of shape ",
              to_string(local), " from element ", offset, " on; it needs one dimension"));
  }
  Extents const strides = row_major_strides(whole);
  late<Holding, Late> out{held.global, {}};
  for_each_rectangle(whole, range, [&](Box const& rectangle, std::int64_t) {
    for (HeldBox const& one : held.boxes) {
      expects(!one.strided(), "a flat shard cannot be flattened again");
      Box const here = intersection(rectangle, Box{one.local_start, one.box.extent});
      if (here.empty()) {
        continue;
      }
      HeldBox flat{here, {}, offset - range.begin, strides};
      for (int d = 0; d < here.rank(); ++d) {
        flat.box.start[d] = one.box.start[d] + here.start[d] - one.local_start[d];
        flat.offset += here.start[d] * strides[d];
      }
      out.boxes.push_back(flat);
    }
  });
  return out;
}

}  // namespace detail

/// A rule for a part of what `base` leaves on the rank, flattened, in a 1-D tensor. Made by
/// `shard::flat` and `shard::flat_in_unit`.
template <class Base>
struct FlatShard {
  Base base{};
  Axis axis = Axis::sharded;
  std::int64_t start = 0;  ///< Where the parameter starts in its unit.
  std::int64_t unit = -1;  ///< Elements of the unit; -1: the parameter is the unit.

  /// Errors: invalid_argument where the local tensor is not 1-D or shorter than its part, or the
  /// parameter does not lie in its unit; what `base` reports.
  [[nodiscard]] Holding holding(Shape const& local, Layout const& layout,
                                Coordinate const& at) const {
    Shape const whole = base.local_shape(layout, at);
    std::int64_t const elements = element_count(whole);
    std::int64_t const all = unit < 0 ? elements : unit;
    if (start < 0 || start > all - elements) {
      fail(Errc::invalid_argument, text("a parameter of ", elements, " elements from element ",
                                        start, " on does not lie in a unit of ", all));
    }
    std::int64_t const chunk = ceil_div<std::int64_t>(all, layout.size(axis));
    std::int64_t const first = chunk * at.on(axis);
    std::int64_t const last = first + chunk;
    std::int64_t const end = start + elements;
    IndexRange const mine{first > start ? first : start, last < end ? last : end};
    if (mine.size() <= 0) {
      return detail::flattened(base.holding(whole, layout, at), whole, {0, 0}, local, 0);
    }
    return detail::flattened(base.holding(whole, layout, at), whole,
                             {mine.begin - start, mine.end - start}, local, mine.begin - first);
  }
};

/// A rule for a run of elements that the user names for this rank. Made by `shard::flat_range`.
template <class Base>
struct FlatRange {
  Base base{};
  IndexRange range{};
  std::int64_t offset = 0;  ///< Where the run starts in the rank's own tensor.

  /// Errors: invalid_argument where the run is not in the parameter or not in the local tensor.
  [[nodiscard]] Holding holding(Shape const& local, Layout const& layout,
                                Coordinate const& at) const {
    Shape const whole = base.local_shape(layout, at);
    if (range.begin < 0 || range.size() < 0 || range.end > element_count(whole)) {
      fail(Errc::invalid_argument,
           text("elements ", range.begin, " to ", range.end, " are not all in a tensor of shape ",
                to_string(whole), ", flattened"));
    }
    return detail::flattened(base.holding(whole, layout, at), whole, range, local, offset);
  }
};

namespace shard {

/// What `base` leaves on the rank is flattened, row-major, to n elements, and these are dealt out
/// over the ranks of `axis`: rank i holds [i * c, min((i + 1) * c, n)), c = ceil(n / ranks).
///
/// Shapes: the rank's tensor is 1-D and may be longer (padding at the end is neither read nor
/// written). `base` must know its global shape: `shard::flat(shard::rows().of(shape))`.
/// Source: ZeRO-3 of DeepSpeed; FSDP-1 with one parameter a unit.
template <SizedShardRule Base>
[[nodiscard]] constexpr FlatShard<Base> flat(Base const& base, Axis axis = Axis::sharded) {
  return {base, axis, 0, -1};
}
/// The same of a tensor that nothing else cuts.
template <class = void>
[[nodiscard]] constexpr FlatShard<Shard> flat(Shape const& global, Axis axis = Axis::sharded) {
  return {replicated().of(global), axis, 0, -1};
}

/// One of several parameters that lie one after the other in a unit of `unit` elements, which is
/// dealt out as by `flat`. The parameter's first element is element `start` of the unit. Listed
/// with the rank's part of the unit as its tensor, by every rank, whether or not it holds any of
/// the parameter. Source: the flat parameter of PyTorch's FSDP-1.
template <SizedShardRule Base>
[[nodiscard]] constexpr FlatShard<Base> flat_in_unit(Base const& base, std::int64_t start,
                                                     std::int64_t unit, Axis axis = Axis::sharded) {
  return {base, axis, start, unit};
}

/// This rank holds `count` elements from `begin` on of what `base` leaves on it, flattened; they
/// start at element `offset` of its 1-D tensor. For flat buffers that are dealt out otherwise.
template <SizedShardRule Base>
[[nodiscard]] constexpr FlatRange<Base> flat_range(Base const& base, std::int64_t begin,
                                                   std::int64_t count, std::int64_t offset = 0) {
  return {base, {begin, begin + count}, offset};
}

}  // namespace shard
}  // namespace rlhf::inline v0
