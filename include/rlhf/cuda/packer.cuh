/// @file
/// A packer of device memory: one kernel a bucket, casts and all; stores straight into other ranks'
/// parameters where it can. Layer: cuda.
#pragma once

#if !defined(__CUDACC__)
#  error "rlhf/cuda/packer.cuh has kernels: compile it with nvcc, or use rlhf/cuda/copy_packer.hpp"
#endif

#include <rlhf/core/error.hpp>
#include <rlhf/cuda/buffer.hpp>
#include <rlhf/cuda/device.hpp>
#include <rlhf/cuda/direct.cuh>
#include <rlhf/cuda/direct_options.hpp>
#include <rlhf/cuda/event.hpp>
#include <rlhf/cuda/job.hpp>
#include <rlhf/cuda/kernels.cuh>
#include <rlhf/cuda/stream.hpp>
#include <rlhf/tensor/fingerprint.hpp>
#include <rlhf/tensor/pack.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace rlhf::inline v0::cuda {

/// Settings of a `Packer`; the same on every rank.
struct PackerOptions {
  DirectOptions direct{};
  /// Blocks of 512 threads that pack, and as many that unpack. Enough to be faster than a link, few
  /// enough to leave multiprocessors free for the transfers' own kernels beside them.
  int blocks = 28;
  /// Blocks that copy between parameters of the same rank, where the direct route does not. 0: as
  /// many as need about the time of the transfers beside them, 12 to 64.
  int copy_blocks = 0;
};

namespace detail {

/// Jobs and chunks in device memory that is freed without waiting for other ranks' kernels.
struct DeviceTable {
  StreamBuffer jobs;
  StreamBuffer chunks;
  std::uint32_t count = 0;
};

}  // namespace detail

template <comm::Communicator C>
class BoundDirect;

/// Packs, unpacks, copies and fingerprints regions of device memory with kernels, in lanes of its
/// own, and offers the direct route. Models `rlhf::Packer`, `HasLanes`, `comm::HasCourier`.
///
///     rlhf::sync::Link link(world, actor, generator, {}, rlhf::cuda::Packer{});
///
/// Tables are made once, on the device that is current then, and stay there. Cost of a call: one
/// launch. Thread safety: copies share their lanes; one caller for all of them. (A template, so
/// that kernels are compiled where they are used; `Packer` is the only instance.)
template <class Late = void>
class BasicPacker {
 public:
  using Stream = StreamView;
  using Fence = Event;
  template <class C>
  using Courier = BoundDirect<C>;

  /// Jobs and chunks on the device.
  class Table {
   public:
    Table() = default;

   private:
    friend class BasicPacker;
    detail::DeviceTable pack_;
    detail::DeviceTable unpack_;
  };
  class Pairs {
   public:
    Pairs() = default;

   private:
    friend class BasicPacker;
    detail::DeviceTable copy_;
    int blocks_ = 0;
  };

  explicit BasicPacker(PackerOptions options = {}) : options_(options) {}

  /// Errors: invalid_argument where a region cannot be one job (see `make_job`); cuda.
  [[nodiscard]] Table prepare(std::span<Region const> regions) const {
    std::vector<Job> pack;
    std::vector<Job> unpack;
    std::vector<std::int64_t> elements;
    std::int64_t offset = 0;
    for (Region const& region : regions) {
      JobEnd const here{region.data, region.dtype, walk_of(region)};
      std::int64_t const count = here.walk.elements();
      if (region.run_bytes == 0) {
        continue;
      }
      JobEnd const packed{reinterpret_cast<std::byte*>(static_cast<std::uintptr_t>(offset)),
                          region.wire, packed_walk(count, region.wire)};
      pack.push_back(make_job(here, packed));
      unpack.push_back(make_job(packed, here));
      elements.push_back(count);
      offset += count * size_of(region.wire);
    }
    Table table;
    table.pack_ = half_of(pack, elements);
    table.unpack_ = half_of(unpack, elements);
    return table;
  }
  void pack(Table const& table, std::byte* to, Stream stream = {}) const {
    move(table.pack_, 0, reinterpret_cast<std::ptrdiff_t>(to), options_.blocks, stream);
  }
  void unpack(Table const& table, std::byte const* from, Stream stream = {}) const {
    move(table.unpack_, reinterpret_cast<std::ptrdiff_t>(from), 0, options_.blocks, stream);
  }

  /// `beside`: bytes that this rank sends or receives while it copies, the larger of both.
  [[nodiscard]] Pairs pair(std::span<Region const> from, std::span<Region const> to,
                           std::int64_t beside = 0) const {
    std::vector<Job> jobs;
    std::int64_t bytes = 0;
    std::vector<std::int64_t> elements;
    for (std::size_t i = 0; i < from.size(); ++i) {
      JobEnd const source{from[i].data, from[i].dtype, walk_of(from[i])};
      if (from[i].run_bytes != 0) {
        jobs.push_back(make_job(source, {to[i].data, to[i].dtype, walk_of(to[i])}));
        elements.push_back(source.walk.elements());
        bytes += elements.back() * size_of(to[i].dtype);
      }
    }
    Pairs pairs;
    pairs.blocks_ = options_.copy_blocks > 0 ? options_.copy_blocks : copy_blocks(bytes, beside);
    pairs.copy_ = half_of(jobs, elements);
    return pairs;
  }
  void copy(Pairs const& pairs, Stream stream = {}) const {
    move(pairs.copy_, 0, 0, pairs.blocks_, stream);
  }

  /// Of boxes in device memory, in one launch. Waits for the device.
  void fingerprints(std::span<PlacedBox const> placed, std::uint64_t* out) const {
    std::vector<Job> jobs;
    std::vector<std::int64_t> elements;
    for (std::size_t i = 0; i < placed.size(); ++i) {
      PlacedBox const& one = placed[i];
      out[i] = 0;
      if (one.box.empty()) {
        continue;
      }
      JobEnd const end = detail::end_of(one);
      JobEnd as = end;
      as.data = nullptr;
      if (one.cast && one.as != end.dtype) {
        as.dtype = one.as;
        as.walk = packed_walk(one.box.elements(), one.as);
      }
      Job job = make_job(end, as, true, index_walk(one.box, one.global));
      job.key = one.key;
      job.index = first_index(one.box, one.global);
      job.sum = static_cast<std::uint32_t>(i);
      jobs.push_back(job);
      elements.push_back(one.box.elements());
    }
    if (jobs.empty()) {
      return;
    }
    detail::DeviceTable const half = half_of(jobs, elements);
    cuda::Stream const stream;
    StreamBuffer const sums(8 * placed.size(), stream);
    check(cudaMemsetAsync(sums.data(), 0, sums.size(), stream.get()), "cudaMemsetAsync");
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");  // what the weights are written by
    detail::MoveWork work = work_of(half);
    work.sums = reinterpret_cast<unsigned long long*>(sums.data());
    detail::launch_move(work, true, 4 * multiprocessors(), stream);
    check(cudaMemcpyAsync(out, sums.data(), sums.size(), cudaMemcpyDeviceToHost, stream.get()),
          "cudaMemcpyAsync of fingerprints");
    stream.synchronize();
  }

  /// Compares on the host, after the device's work.
  [[nodiscard]] bool equal(std::byte const* a, std::byte const* b, std::int64_t bytes) const {
    return detail::equal_bytes(a, b, bytes);
  }
  [[nodiscard]] DeviceBuffer allocate(std::int64_t bytes) const {
    return DeviceBuffer(static_cast<std::size_t>(bytes));
  }

  [[nodiscard]] Stream lane(Lane which) {
    if (lanes_ == nullptr) {
      lanes_ = std::make_shared<Lanes>();
    }
    return lanes_->streams[static_cast<std::size_t>(which)];
  }
  [[nodiscard]] Fence fence() const { return Event(); }
  void record(Fence& fence, Stream stream) const { fence.record(stream); }
  void wait(Stream stream, Fence const& fence) const { fence.wait(stream); }
  [[nodiscard]] bool done(Fence const& fence) const {
    cudaError_t const status = cudaEventQuery(fence.get());
    forget(status);
    return status == cudaSuccess;
  }

  [[nodiscard]] PackerOptions const& options() const noexcept { return options_; }

 private:
  struct Lanes {
    cuda::Stream streams[3];
  };

  /// Blocks that copy as fast as an NVLink of the fourth generation transfers: 24 of an H100. More
  /// than 64 gain nothing, and slow the transfers down.
  [[nodiscard]] static int copy_blocks(std::int64_t bytes, std::int64_t beside) noexcept {
    double const blocks =
        24.0 * static_cast<double>(bytes) / static_cast<double>(beside < 1 ? 1 : beside);
    return blocks < 12 ? 12 : blocks > 64 ? 64 : static_cast<int>(blocks);
  }
  [[nodiscard]] static detail::DeviceTable half_of(std::vector<Job> const& jobs,
                                                   std::vector<std::int64_t> const& elements) {
    detail::DeviceTable half;
    std::vector<Chunk> chunks;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      std::int64_t const each = chunk_elements(chunk_bytes, jobs[i].to_type);
      for (std::int64_t c = 0; c < chunks_of(elements[i], each); ++c) {
        std::int64_t const end = (c + 1) * each < elements[i] ? (c + 1) * each : elements[i];
        Chunk chunk;
        chunk.job = static_cast<std::uint32_t>(i);
        chunk.begin = static_cast<std::uint32_t>(c * each / jobs[i].width);
        chunk.end = static_cast<std::uint32_t>(end / jobs[i].width);
        chunks.push_back(chunk);
      }
    }
    half.count = static_cast<std::uint32_t>(chunks.size());
    half.jobs = upload(jobs.data(), jobs.size() * sizeof(Job));
    half.chunks = upload(chunks.data(), chunks.size() * sizeof(Chunk));
    return half;
  }
  [[nodiscard]] static StreamBuffer upload(void const* data, std::size_t bytes) {
    StreamBuffer buffer(bytes, StreamView());
    if (bytes != 0) {
      check(cudaMemcpy(buffer.data(), data, bytes, cudaMemcpyHostToDevice),
            "cudaMemcpy of a table");
    }
    return buffer;
  }
  [[nodiscard]] static detail::MoveWork work_of(detail::DeviceTable const& half) {
    detail::MoveWork work;
    work.jobs = reinterpret_cast<Job const*>(half.jobs.data());
    work.chunks = reinterpret_cast<Chunk const*>(half.chunks.data());
    work.count = half.count;
    return work;
  }
  void move(detail::DeviceTable const& half, std::ptrdiff_t from, std::ptrdiff_t to, int blocks,
            Stream stream) const {
    detail::MoveWork work = work_of(half);
    work.from_base = from;
    work.to_base = to;
    detail::launch_move(work, false, blocks, stream);
  }

  static constexpr std::int64_t chunk_bytes = std::int64_t{128} << 10;

  PackerOptions options_;
  std::shared_ptr<Lanes> lanes_;
};

using Packer = BasicPacker<>;

/// The direct route of a packer.
template <comm::Communicator C>
class BoundDirect : public Direct<C> {
 public:
  BoundDirect(C& world, Packer const& packer, std::span<TensorView const> views)
      : Direct<C>(world, packer.options().direct, views) {}
};

}  // namespace rlhf::inline v0::cuda
