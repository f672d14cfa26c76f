/// @file
/// A kernel that moves rows with the bulk copies of compute capability 9: a warp a block, which
/// keeps many tiles on their way through shared memory. Layer: cuda.
///
/// A multiprocessor moves several times as much as with loads and stores of its threads, so that
/// fewer of them fill a link. Only bytes as they are: casts and fingerprints are for
/// `detail::move_kernel`.
#pragma once

#if !defined(__CUDACC__)
#  error "rlhf/cuda/bulk.cuh has kernels: compile it with nvcc"
#endif

#include <rlhf/cuda/bulk_copy.cuh>
#include <rlhf/cuda/device.hpp>
#include <rlhf/cuda/error.hpp>
#include <rlhf/cuda/job.hpp>
#include <rlhf/cuda/kernels.cuh>
#include <rlhf/cuda/move.hpp>
#include <rlhf/cuda/stream.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

#include <cuda_runtime.h>

namespace rlhf::inline v0::cuda::detail {

/// Shared memory of a block: tiles that are loaded ahead of those that are stored.
struct BulkRing {
  static constexpr std::uint32_t tile = 16U << 10;  // bytes
  static constexpr std::uint32_t stages = 12;
  static constexpr std::uint32_t ahead = 8;  // tiles that are loaded before the first is stored
  static constexpr std::uint32_t stored = stages - ahead - 1;  // whose stores may still read
  static constexpr std::uint32_t lag = 2;  // tiles that are stored before the first is reported
  static_assert(stored >= 1 && lag < stages - ahead);
  static constexpr std::size_t bytes = std::size_t{tile} * stages;
};

/// Whether bulk copies move a job well: bytes as they are, in rows of at least 512.
[[nodiscard]] RLHF_HOST_DEVICE constexpr bool bulk_fits(Job const& job) noexcept {
  return job.from_type == job.to_type && job.width * size_of(job.to_type) == 16 &&
         (job.outer == 0 || job.per_row >= 32);
}
/// Whether nearly all bytes of jobs are in such.
[[nodiscard]] inline bool bulk_fits(std::vector<Job> const& jobs) noexcept {
  std::int64_t fit = 0;
  std::int64_t rest = 0;
  for (Job const& job : jobs) {
    (bulk_fits(job) ? fit : rest) += std::int64_t{job.vectors} * job.width * size_of(job.to_type);
  }
  return rest <= fit / 1024;  // which go slowly
}

#if defined(RLHF_HAS_BULK_COPIES)

/// What a lane stores of a tile.
struct BulkPart {
  std::byte* to;
  std::uint32_t bytes;  // from lane * stride on
  std::uint32_t stride;
};

/// What one block shares between its two warps.
struct BulkShared {
  Job jobs[2];
  Chunk chunks[2];
  std::uint32_t go[2];
  std::uint32_t volatile filled[2];   // how often a slot was filled
  std::uint32_t volatile emptied[2];  // and was done with
  std::uint64_t landed[BulkRing::stages];
  std::uint32_t* reports[BulkRing::stages];  // flag to raise once a tile is stored, or null
  BulkPart parts[BulkRing::stages][32];
};

/// The few vectors that are for no bulk copy, element by element: little code.
__device__ inline void move_slowly(Job const& job, std::byte const* from, std::byte* to,
                                   std::uint32_t begin, std::uint32_t end, std::uint32_t lane) {
  auto const read = static_cast<int>(size_of(job.from_type));
  auto const write = static_cast<int>(size_of(job.to_type));
  bool const casts = job.from_type != job.to_type;
  for (std::uint64_t v = std::uint64_t{begin} + lane; v < end; v += 32) {
    At const at = locate(job, Cursor(job, static_cast<std::uint32_t>(v)));
    for (int e = 0; e < job.width; ++e) {
      std::byte const* const in = from + at.from + e * read;
      std::byte* const out = to + at.to + e * write;
      if (casts) {
        rlhf::detail::put_float(job.to_type, out, rlhf::detail::as_float(job.from_type, in));
      } else {
        for (int byte = 0; byte < write; ++byte) {
          out[byte] = in[byte];
        }
      }
    }
  }
}

/// What lane 0 reads, for all lanes, which then see what was written before it.
__device__ inline std::uint32_t seen_by_first(std::uint32_t const volatile& word,
                                              std::uint32_t lane) {
  std::uint32_t value = 0;
  if (lane == 0) {
    value = word;
    __threadfence_block();
  }
  __syncwarp();  // a shuffle orders no memory
  return __shfl_sync(0xffffffffU, value, 0);
}

/// The warp that moves. Tiles are numbered: `loaded` is the next to load, `stored` the next to
/// store, `reported` the next to report.
class BulkMover {
 public:
  __device__ BulkMover(BulkShared& shared, std::byte* ring, std::uint32_t lane, std::uint32_t epoch)
      : shared_(shared),
        ring_(ring),
        lane_(lane),
        epoch_(epoch) {}

  __device__ void move(Job const& job, Chunk const& chunk, std::byte const* from, std::byte* to) {
    constexpr std::uint32_t vectors = BulkRing::tile / 16;
    if (chunk.wait != Chunk::none) {
      bulk_fence();
    }
    std::uint32_t const row_vectors = job.outer == 0 ? job.vectors : job.per_row;
    for (std::uint32_t at = chunk.begin; at < chunk.end;) {
      std::uint32_t const row = at / row_vectors;
      std::uint32_t const column = at - row * row_vectors;
      std::uint32_t next = 0;
      std::uint32_t begin = at;  // this lane's vectors
      std::uint32_t end = at;
      std::uint32_t stride = 0;
      if (row_vectors > vectors / 2) {  // a part of a row
        std::uint32_t const left = row_vectors - column;
        next = at + (left < vectors ? left : vectors);
        next = next < chunk.end ? next : chunk.end;
        end = lane_ == 0 ? next : at;
      } else {  // several rows, each a lane's
        std::uint32_t const most = vectors / row_vectors;
        std::uint32_t const rows = most < 32 ? most : 32;
        std::uint64_t const behind = std::uint64_t{row + rows} * row_vectors;
        next = behind < chunk.end ? static_cast<std::uint32_t>(behind) : chunk.end;
        if (lane_ < rows) {
          std::uint64_t const first = std::uint64_t{row + lane_} * row_vectors;
          begin = first < at ? at : first < next ? static_cast<std::uint32_t>(first) : next;
          std::uint64_t const last = first + row_vectors;
          end = last < next ? static_cast<std::uint32_t>(last) : next;
        }
        stride = row_vectors * 16;
      }
      At where{0, 0, 0};
      if (begin < end) {
        where = locate(job, Cursor(job, begin));
      }
      load(from + where.from, to + where.to, (end - begin) * 16, stride, (next - at) * 16,
           next == chunk.end && chunk.signal != Chunk::none ? job.flags + chunk.signal : nullptr);
      at = next;
    }
  }
  /// Everything that was loaded is stored and reported.
  __device__ void finish() {
    while (stored_ != loaded_) {
      store();
    }
    bulk_wait<0>();
    __syncwarp();
    while (reported_ != stored_) {
      report();
    }
  }
  [[nodiscard]] __device__ bool busy() const { return reported_ != loaded_; }

 private:
  __device__ void load(std::byte const* from, std::byte* to, std::uint32_t bytes,
                       std::uint32_t stride, std::uint32_t all, std::uint32_t* flag) {
    std::uint32_t const stage = loaded_ % BulkRing::stages;
    bulk_wait_read<BulkRing::stored>();  // who used the stage before
    __syncwarp();
    shared_.parts[stage][lane_] = BulkPart{to, bytes, stride};
    if (lane_ == 0) {
      shared_.reports[stage] = flag;
      barrier_expect(&shared_.landed[stage], all);
    }
    __syncwarp();
    if (bytes != 0) {
      bulk_load(ring_ + stage * BulkRing::tile + lane_ * stride, from, bytes,
                &shared_.landed[stage]);
    }
    ++loaded_;
    if (loaded_ - stored_ > BulkRing::ahead) {
      store();
    }
  }
  __device__ void store() {
    std::uint32_t const stage = stored_ % BulkRing::stages;
    barrier_wait(&shared_.landed[stage], stored_ / BulkRing::stages & 1U);
    BulkPart const part = shared_.parts[stage][lane_];
    if (part.bytes != 0) {
      bulk_store(part.to, ring_ + stage * BulkRing::tile + lane_ * part.stride, part.bytes);
    }
    bulk_commit();  // of every lane, so that all count alike
    ++stored_;
    if (stored_ - reported_ > BulkRing::lag) {
      if (shared_.reports[reported_ % BulkRing::stages] != nullptr) {
        bulk_wait<BulkRing::lag>();
        __syncwarp();
      }
      report();
    }
  }
  __device__ void report() {
    std::uint32_t* const flag = shared_.reports[reported_ % BulkRing::stages];
    if (flag != nullptr && lane_ == 0) {
      raise_flag(flag, epoch_);
    }
    ++reported_;
  }

  BulkShared& shared_;
  std::byte* ring_;
  std::uint32_t lane_;
  std::uint32_t epoch_;
  std::uint32_t loaded_ = 0;
  std::uint32_t stored_ = 0;
  std::uint32_t reported_ = 0;
};

#endif

/// Moves chunks as `move_kernel<false>` does. One warp of a block moves, the other fetches chunks
/// and what must be known of them, and waits for those that must arrive first; until then the
/// first finishes what it has, so that a rank reports its chunks though it has no other.
template <class = void>
__global__ void __launch_bounds__(64, 1) bulk_kernel(MoveWork work) {
#if defined(RLHF_HAS_BULK_COPIES)
  extern __shared__ __align__(128) unsigned char ring[];
  __shared__ BulkShared shared;
  std::uint32_t const lane = threadIdx.x % 32;
  std::uint32_t const epoch = work.epoch != nullptr ? *work.epoch : 0;
  if (threadIdx.x < BulkRing::stages) {
    barrier_init(&shared.landed[threadIdx.x]);
    shared.reports[threadIdx.x] = nullptr;
  }
  if (threadIdx.x < 2) {
    shared.filled[threadIdx.x] = 0;
    shared.emptied[threadIdx.x] = 0;
  }
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  __syncthreads();
  if (threadIdx.x >= 32) {
    std::uint32_t mine = blockIdx.x;
    for (std::uint32_t n = 0;; ++n) {
      std::uint32_t const slot = n % 2;
      while (seen_by_first(shared.emptied[slot], lane) != n / 2) {
        __nanosleep(40);
      }
      bool go = mine < work.count;
      if (go) {
        Chunk const chunk = work.chunks[mine];
        for (std::uint32_t word = lane; word < sizeof(Job) / 4; word += 32) {
          reinterpret_cast<std::uint32_t*>(&shared.jobs[slot])[word] =
              reinterpret_cast<std::uint32_t const*>(work.jobs + chunk.job)[word];
        }
        std::uint32_t next = 0;
        std::uint32_t there = 1;
        if (lane == 0) {
          shared.chunks[slot] = chunk;
          next = work.ticket != nullptr ? gridDim.x + atomicAdd(work.ticket, 1U) : mine + gridDim.x;
          there = chunk.wait == Chunk::none || await(work.flags + chunk.wait, epoch, work.waiting,
                                                     Phase::arrival, chunk.wait)
                      ? 1U
                      : 0U;
        }
        mine = __shfl_sync(0xffffffffU, next, 0);
        go = __shfl_sync(0xffffffffU, there, 0) != 0;
      }
      __threadfence_block();  // of every lane
      __syncwarp();
      if (lane == 0) {
        shared.go[slot] = go ? 1U : 0U;
        __threadfence_block();
        shared.filled[slot] = n / 2 + 1;
      }
      if (!go) {
        return;
      }
    }
  }
  BulkMover mover(shared, reinterpret_cast<std::byte*>(ring), lane, epoch);
  for (std::uint32_t n = 0;; ++n) {
    std::uint32_t const slot = n % 2;
    while (seen_by_first(shared.filled[slot], lane) != n / 2 + 1) {
      if (mover.busy()) {
        mover.finish();
      }
    }
    if (shared.go[slot] == 0) {
      break;
    }
    Job const& job = shared.jobs[slot];
    Chunk const& chunk = shared.chunks[slot];
    std::byte const* const from = job.from + work.from_base;
    std::byte* const to = job.to + work.to_base;
    if (bulk_fits(job)) {
      mover.move(job, chunk, from, to);
    } else {
      move_slowly(job, from, to, chunk.begin, chunk.end, lane);
      __syncwarp();
      if (lane == 0 && chunk.signal != Chunk::none) {
        raise_flag(job.flags + chunk.signal, epoch);
      }
    }
    __syncwarp();
    if (lane == 0) {
      __threadfence_block();
      shared.emptied[slot] = n / 2 + 1;
    }
  }
  mover.finish();
#else
  static_cast<void>(work);
  asm volatile("trap;");  // never launched: see `has_bulk_kernel`
#endif
}

/// The kernel that a program launches: see `Kernels`.
template <class = void>
struct BulkKernel {
  static inline void (*run)(MoveWork) = bulk_kernel<>;
};

/// Whether the current device runs the kernel that was compiled for bulk copies. Makes it ready.
template <class = void>
[[nodiscard]] bool has_bulk_kernel() {
  if (device_attribute(cudaDevAttrComputeCapabilityMajor, current_device()) < 9) {
    return false;
  }
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, BulkKernel<>::run), "loading of a kernel");
  int const most = device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, current_device());
  if (attributes.ptxVersion < 90 ||
      attributes.sharedSizeBytes + BulkRing::bytes > static_cast<std::size_t>(most)) {
    return false;
  }
  check(cudaFuncSetAttribute(BulkKernel<>::run, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(BulkRing::bytes)),
        "cudaFuncSetAttribute of a kernel");
  return true;
}

/// Puts `work` into a stream on at most `blocks` blocks. `has_bulk_kernel` was true here.
template <class = void>
void launch_bulk(MoveWork const& work, int blocks, StreamView stream) {
  if (work.count == 0) {
    return;
  }
  auto const most = static_cast<std::uint32_t>(blocks < 1 ? 1 : blocks);
  std::uint32_t const grid = work.count < most ? work.count : most;
  BulkKernel<>::run<<<grid, 64, BulkRing::bytes, stream.get()>>>(work);
  check(cudaGetLastError(), "launch of a bulk kernel");
}

}  // namespace rlhf::inline v0::cuda::detail
