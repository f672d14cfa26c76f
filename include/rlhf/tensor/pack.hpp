/// @file
/// Tensors to bucket bytes and back: the Packer concept and its host model. Layer: tensor.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/tensor/cast.hpp>
#include <rlhf/tensor/fingerprint.hpp>
#include <rlhf/tensor/region.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace rlhf::inline v0 {

/// Moves regions to and from contiguous bytes, and from region to region.
///
/// | expression | meaning |
/// |---|---|
/// | `P::Table` | a prepared list of regions, built once, used in every sync |
/// | `p.prepare(regions)` | the table of regions that follow each other in a bucket |
/// | `p.pack(table, bytes, stream)` | regions to bytes, each as its `wire` type |
/// | `p.unpack(table, bytes, stream)` | bytes to regions, each from its `wire` type |
/// | `p.pair(from, to)` | `P::Pairs`: regions and others of as many elements, prepared |
/// | `p.copy(pairs, stream)` | the first of each pair to the second |
/// | `p.fingerprints(placed, out)` | `rlhf::fingerprint` of boxes where they lie; done on return |
/// | `p.equal(bytes, others, count)` | whether two runs of packed bytes are; done on return |
/// | `p.allocate(bytes)` | an owner of that much staging memory, with `data()` |
///
/// Calls take effect in stream order. Models: `HostPacker`.
template <class P>
concept Packer = requires {
  typename P::Table;
  typename P::Pairs;
  typename P::Stream;
}
&&requires(P& p, std::span<Region const> regions, typename P::Table const& table, std::byte* to,
           std::byte const* from, typename P::Pairs const& pairs, std::span<PlacedBox const> placed,
           std::uint64_t* out, typename P::Stream stream) {
  { p.prepare(regions) } -> std::same_as<typename P::Table>;
  p.pack(table, to, stream);
  p.unpack(table, from, stream);
  { p.pair(regions, regions) } -> std::same_as<typename P::Pairs>;
  p.copy(pairs, stream);
  p.fingerprints(placed, out);
  { p.equal(from, from, std::int64_t{}) } -> std::same_as<bool>;
  { p.allocate(std::int64_t{}).data() } -> std::convertible_to<std::byte*>;
};

/// Work that may go on beside transfers, each kind in an order of its own.
enum class Lane : std::uint8_t { pack, unpack, copy };

/// A packer with streams of its own, so that packing, transfers and unpacking overlap. Optional;
/// where a packer has none, everything happens in the order of the caller's stream.
///
/// | expression | meaning |
/// |---|---|
/// | `p.lane(which)` | the stream of one kind of work |
/// | `p.fence()` | an owner of a place in a stream's order: `P::Fence` |
/// | `p.record(fence, stream)` | the fence stands behind what the stream has now |
/// | `p.wait(stream, fence)` | what the stream gets from now on is behind the fence |
/// | `p.done(fence)` | whether the place is passed; asks, does not wait |
template <class P>
concept HasLanes = Packer<P> &&
    requires(P& p, typename P::Fence& fence, typename P::Stream stream) {
  { p.lane(Lane::pack) } -> std::convertible_to<typename P::Stream>;
  { p.fence() } -> std::same_as<typename P::Fence>;
  p.record(fence, stream);
  p.wait(stream, fence);
  { p.done(fence) } -> std::same_as<bool>;
};

/// Host memory. `S` is the stream type of the communicator it works beside.
///
/// Cost: one memcpy a run. Thread safety: no state.
template <class S>
class HostPacker {
 public:
  using Stream = S;
  using Table = std::vector<detail::late<Region, S>>;
  struct Pairs {
    Table from{};
    Table to{};
  };

  [[nodiscard]] Table prepare(std::span<detail::late<Region, S> const> regions) const {
    return Table(regions.begin(), regions.end());
  }
  [[nodiscard]] Pairs pair(std::span<detail::late<Region, S> const> from,
                           std::span<detail::late<Region, S> const> to) const {
    return Pairs{prepare(from), prepare(to)};
  }
  void pack(Table const& table, std::byte* to, Stream = {}) const {
    for (Region const& region : table) {
      std::int64_t const count = region.run_bytes / size_of(region.dtype);
      std::int64_t const bytes = count * size_of(region.wire);
      for_each_run(region, [&](std::byte const* run) {
        if (region.converts()) {
          cast_elements(region.dtype, run, region.wire, to, count);
        } else {
          std::memcpy(to, run, static_cast<std::size_t>(bytes));
        }
        to += bytes;
      });
    }
  }
  void unpack(Table const& table, std::byte const* from, Stream = {}) const {
    for (Region const& region : table) {
      std::int64_t const count = region.run_bytes / size_of(region.dtype);
      std::int64_t const bytes = count * size_of(region.wire);
      for_each_run(region, [&](std::byte* run) {
        if (region.converts()) {
          cast_elements(region.wire, from, region.dtype, run, count);
        } else {
          std::memcpy(run, from, static_cast<std::size_t>(bytes));
        }
        from += bytes;
      });
    }
  }
  void copy(Pairs const& pairs, Stream = {}) const { copy(pairs.from, pairs.to); }
  /// Regions of the same elements may be cut into runs differently on both sides.
  void copy(Table const& from, Table const& to) const {
    for (std::size_t i = 0; i < from.size(); ++i) {
      Region const& source = from[i];
      Region const& target = to[i];
      if (source.dtype != target.dtype) {
        copy_cast(source, target);
        continue;
      }
      if (source.contiguous() && target.contiguous()) {  // most small tensors
        std::memmove(target.data, source.data, static_cast<std::size_t>(source.run_bytes));
        continue;
      }
      bool const source_finer = source.run_bytes <= target.run_bytes;
      std::int64_t const step = source_finer ? source.run_bytes : target.run_bytes;
      RunCursor reader(source);
      RunCursor writer(target);
      for (std::int64_t left = source.bytes(); left > 0; left -= step) {
        std::memmove(writer.take(step), reader.take(step), static_cast<std::size_t>(step));
      }
    }
  }
  void fingerprints(std::span<detail::late<PlacedBox, S> const> placed, std::uint64_t* out) const {
    for (PlacedBox const& one : placed) {
      *out++ = rlhf::fingerprint(one);
    }
  }
  [[nodiscard]] bool equal(std::byte const* a, std::byte const* b, std::int64_t bytes) const {
    return std::memcmp(a, b, static_cast<std::size_t>(bytes)) == 0;
  }
  [[nodiscard]] std::vector<detail::late<std::byte, S>> allocate(std::int64_t bytes) const {
    return std::vector<detail::late<std::byte, S>>(static_cast<std::size_t>(bytes));
  }

 private:
  static void copy_cast(Region const& source, Region const& target) {
    std::int64_t const read = size_of(source.dtype);
    std::int64_t const write = size_of(target.dtype);
    bool const source_finer = source.run_bytes / read <= target.run_bytes / write;
    std::int64_t const step = source_finer ? source.run_bytes / read : target.run_bytes / write;
    RunCursor reader(source);
    RunCursor writer(target);
    for (std::int64_t left = source.bytes() / read; left > 0; left -= step) {
      std::byte const* const in = reader.take(step * read);
      cast_elements(source.dtype, in, target.dtype, writer.take(step * write), step);
    }
  }

  /// Walks a region in steps that divide its runs.
  class RunCursor {
   public:
    explicit RunCursor(Region const& region)
        : region_(&region),
          index_(Extents::filled(region.counts.rank(), 0)),
          run_(region.data) {}
    std::byte* take(std::int64_t bytes) {
      std::byte* const at = run_ + used_;
      used_ += bytes;
      if (used_ == region_->run_bytes) {
        used_ = 0;
        for (int d = region_->counts.rank() - 1; d >= 0; --d) {
          run_ += region_->byte_strides[d];
          if (++index_[d] < region_->counts[d]) {
            break;
          }
          run_ -= region_->byte_strides[d] * region_->counts[d];
          index_[d] = 0;
        }
      }
      return at;
    }

   private:
    Region const* region_;
    Extents index_;
    std::byte* run_;
    std::int64_t used_ = 0;
  };
};

}  // namespace rlhf::inline v0
