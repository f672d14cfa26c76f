/// @file
/// A packer of device memory without kernels, for programs that are compiled without nvcc.
/// Layer: cuda.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/cuda/buffer.hpp>
#include <rlhf/cuda/error.hpp>
#include <rlhf/cuda/stream.hpp>
#include <rlhf/tensor/fingerprint.hpp>
#include <rlhf/tensor/pack.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <cuda_runtime_api.h>

namespace rlhf::inline v0::cuda {

/// Packs and unpacks with the driver's copies, one or more a region. Models `rlhf::Packer`.
///
/// Slower than `Packer` (cuda/packer.cuh): host work grows with regions, small copies reach a tenth
/// of the link, and fingerprints are computed on the host from a copy. Types are not converted:
/// that takes kernels. Thread safety: no state.
class CopyPacker {
 public:
  using Stream = StreamView;
  using Table = std::vector<Region>;
  struct Pairs {
    Table from;
    Table to;
  };

  /// Errors: invalid_argument where a region converts its elements.
  [[nodiscard]] Table prepare(std::span<Region const> regions) const {
    for (Region const& region : regions) {
      if (region.converts()) {
        fail(Errc::invalid_argument,
             text("weights that change from ", to_string(region.dtype), " to ",
                  to_string(region.wire),
                  " on the way need kernels: compile with nvcc and give the link a cuda::Packer"));
      }
    }
    return {regions.begin(), regions.end()};
  }
  void pack(Table const& table, std::byte* to, Stream stream = {}) const {
    for (Region const& region : table) {
      rows(region, [&](std::byte* data, std::int64_t pitch, std::int64_t count) {
        copy_rows(to, region.run_bytes, data, pitch, region.run_bytes, count, stream);
        to += region.run_bytes * count;
      });
    }
  }
  void unpack(Table const& table, std::byte const* from, Stream stream = {}) const {
    for (Region const& region : table) {
      rows(region, [&](std::byte* data, std::int64_t pitch, std::int64_t count) {
        copy_rows(data, pitch, from, region.run_bytes, region.run_bytes, count, stream);
        from += region.run_bytes * count;
      });
    }
  }
  [[nodiscard]] Pairs pair(std::span<Region const> from, std::span<Region const> to) const {
    for (std::size_t i = 0; i < from.size(); ++i) {
      if (from[i].dtype != to[i].dtype) {
        fail(Errc::invalid_argument,
             "weights that change their type on the way need kernels: compile with nvcc and give "
             "the link a cuda::Packer");
      }
    }
    return {{from.begin(), from.end()}, {to.begin(), to.end()}};
  }
  /// Through device memory that is taken and given back in stream order, where the two sides' rows
  /// differ.
  void copy(Pairs const& pairs, Stream stream = {}) const {
    for (std::size_t i = 0; i < pairs.from.size(); ++i) {
      Region const& from = pairs.from[i];
      Region const& to = pairs.to[i];
      std::int64_t const bytes = from.bytes();
      if (from.contiguous()) {
        unpack({to}, from.data, stream);
      } else if (to.contiguous()) {
        pack({from}, to.data, stream);
      } else {
        StreamBuffer const between(static_cast<std::size_t>(bytes), stream);
        pack({from}, between.data(), stream);
        unpack({to}, between.data(), stream);
      }
    }
  }
  void fingerprints(std::span<PlacedBox const> placed, std::uint64_t* out) const {
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    for (PlacedBox const& one : placed) {
      Region const region = region_of(one.local, one.local_start, one.box.extent);
      std::vector<std::byte> host(static_cast<std::size_t>(region.bytes()));
      std::byte* to = host.data();
      rows(region, [&](std::byte* data, std::int64_t pitch, std::int64_t count) {
        check(cudaMemcpy2D(to, static_cast<std::size_t>(region.run_bytes), data,
                           static_cast<std::size_t>(pitch),
                           static_cast<std::size_t>(region.run_bytes),
                           static_cast<std::size_t>(count), cudaMemcpyDeviceToHost),
              "cudaMemcpy2D");
        to += region.run_bytes * count;
      });
      PlacedBox copy = one;
      copy.local.data = host.data();
      copy.local.shape = one.box.extent;
      copy.local.strides = row_major_strides(one.box.extent);
      copy.local_start = Extents::filled(one.box.rank(), 0);
      *out++ = rlhf::fingerprint(copy);
    }
  }
  /// Compares on the host, after the device's work.
  [[nodiscard]] bool equal(std::byte const* a, std::byte const* b, std::int64_t bytes) const {
    return detail::equal_bytes(a, b, bytes);
  }
  [[nodiscard]] DeviceBuffer allocate(std::int64_t bytes) const {
    return DeviceBuffer(static_cast<std::size_t>(bytes));
  }

 private:
  /// Calls `visit(first row, distance of rows, rows)` for each innermost block of equal rows.
  template <class Visit>
  static void rows(Region const& region, Visit&& visit) {
    if (region.run_bytes == 0) {
      return;
    }
    if (region.contiguous()) {
      visit(region.data, region.run_bytes, std::int64_t{1});
      return;
    }
    Region blocks = region;
    int const last = region.counts.rank() - 1;
    blocks.counts = {};
    blocks.byte_strides = {};
    for (int d = 0; d < last; ++d) {
      blocks.counts.push_back(region.counts[d]);
      blocks.byte_strides.push_back(region.byte_strides[d]);
    }
    for_each_run(blocks, [&](std::byte* data) {
      visit(data, region.byte_strides[last], region.counts[last]);
    });
  }
  static void copy_rows(std::byte* to, std::int64_t to_pitch, std::byte const* from,
                        std::int64_t from_pitch, std::int64_t bytes, std::int64_t count,
                        Stream stream) {
    check(
        cudaMemcpy2DAsync(to, static_cast<std::size_t>(to_pitch), from,
                          static_cast<std::size_t>(from_pitch), static_cast<std::size_t>(bytes),
                          static_cast<std::size_t>(count), cudaMemcpyDeviceToDevice, stream.get()),
        "cudaMemcpy2DAsync");
  }
};

}  // namespace rlhf::inline v0::cuda
