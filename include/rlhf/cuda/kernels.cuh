/// @file
/// Kernels that move jobs in chunks, and that ranks tell each other by when they may and have.
/// Layer: cuda.
#pragma once

#if !defined(__CUDACC__)
#  error "rlhf/cuda/kernels.cuh has kernels: compile it with nvcc"
#endif

#include <rlhf/cuda/error.hpp>
#include <rlhf/cuda/job.hpp>
#include <rlhf/cuda/move.hpp>
#include <rlhf/cuda/signals.hpp>
#include <rlhf/cuda/stream.hpp>

#include <cstddef>
#include <cstdint>

#include <cuda_runtime.h>

namespace rlhf::inline v0::cuda::detail {

/// Threads of a block.
inline constexpr int block_threads = 512;

__device__ inline std::uint64_t nanoseconds() {
  std::uint64_t now = 0;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  return now;
}
__device__ inline std::uint32_t load_flag(std::uint32_t const* flag) {
  std::uint32_t value = 0;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(flag) : "memory");
  return value;
}
/// Everything that the block's threads wrote before a barrier is seen by whoever sees the flag.
__device__ inline void raise_flag(std::uint32_t* flag, std::uint32_t epoch) {
  __threadfence_system();
  asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(flag), "r"(epoch) : "memory");
}

/// Whether a wait of this rank ran out of time: nobody may be written to any more, who may not have
/// begun.
__device__ inline bool gave_up(Waiting const& waiting) {
  return waiting.failed != nullptr && *static_cast<std::uint32_t volatile*>(waiting.failed) != 0;
}

/// Waits for a flag. Once one wait of this rank ran out of time, none waits any more.
__device__ inline bool await(std::uint32_t const* flag, std::uint32_t epoch, Waiting const& waiting,
                             Phase phase, std::uint32_t whom) {
  if (static_cast<std::int32_t>(load_flag(flag) - epoch) >= 0) {
    return true;
  }
  std::uint64_t const begin = nanoseconds();
  for (;;) {
    if (static_cast<std::int32_t>(load_flag(flag) - epoch) >= 0) {
      return true;
    }
    if (gave_up(waiting)) {
      return false;
    }
    if (nanoseconds() - begin > waiting.limit_ns) {
      if (atomicExch(waiting.failed, 1U) == 0) {
        waiting.report->phase = static_cast<std::uint32_t>(phase);
        waiting.report->whom = whom;
        __threadfence_system();
      }
      return false;
    }
    __nanosleep(200);
  }
}

/// Chunks for the blocks of one kernel.
struct MoveWork {
  Job const* jobs = nullptr;
  Chunk const* chunks = nullptr;
  std::uint32_t count = 0;
  std::ptrdiff_t from_base = 0;  ///< Added to the addresses of jobs.
  std::ptrdiff_t to_base = 0;
  unsigned long long* sums = nullptr;  ///< By the slots of jobs; used where fingerprints are taken.
  std::uint32_t* ticket = nullptr;     ///< 0 at the start; null: blocks take chunks in turn.
  std::uint32_t const* flags = nullptr;  ///< This rank's, for chunks that wait.
  std::uint32_t const* epoch = nullptr;
  Waiting waiting{};
};

/// Moves chunks, and takes fingerprints of jobs that have a slot for one. Blocks take the next one
/// when they are done with theirs: while most warps move one, the last fetches the next and what
/// must be known of it, waits for it, and says that the one before is there. So a rank may report a
/// chunk only when another has come: chains of ranks must all go one way.
template <bool Prints, class = void>
__global__ void __launch_bounds__(block_threads, 2) move_kernel(MoveWork work) {
  constexpr std::uint32_t movers = block_threads - 32;
  constexpr std::uint32_t all = 0xffffffffU;
  __shared__ Job jobs[2];
  __shared__ Chunk chunks[2];
  __shared__ std::uint32_t go[2];
  bool const fetches = threadIdx.x >= movers;
  std::uint32_t const lane = fetches ? threadIdx.x - movers : threadIdx.x;
  std::uint32_t const epoch = work.epoch != nullptr ? *work.epoch : 0;
  std::uint32_t mine = blockIdx.x;
  auto const fetch = [&](int slot) {
    if (mine >= work.count) {
      go[slot] = 0;
      return;
    }
    Chunk const chunk = work.chunks[mine];
    for (std::uint32_t word = lane; word < sizeof(Job) / 4; word += 32) {
      reinterpret_cast<std::uint32_t*>(&jobs[slot])[word] =
          reinterpret_cast<std::uint32_t const*>(work.jobs + chunk.job)[word];
    }
    std::uint32_t next = 0;
    if (lane == 0) {
      chunks[slot] = chunk;
      next = work.ticket != nullptr ? gridDim.x + atomicAdd(work.ticket, 1U) : mine + gridDim.x;
      bool const waits = chunk.wait != Chunk::none;
      bool const may =
          waits ? await(work.flags + chunk.wait, epoch, work.waiting, Phase::arrival, chunk.wait)
                : !gave_up(work.waiting);
      go[slot] = may ? 1U : 0U;
    }
    mine = __shfl_sync(all, next, 0);
  };
  if (fetches) {
    fetch(0);
  }
  __syncthreads();
  for (int slot = 0; go[slot] != 0; slot ^= 1) {
    Chunk const& chunk = chunks[slot];
    if (fetches) {
      fetch(slot ^ 1);
    } else {
      Job const& job = jobs[slot];
      std::byte* const to =
          job.to != nullptr || work.to_base != 0 ? job.to + work.to_base : nullptr;
      std::byte const* const from = job.from + work.from_base;
      if (!Prints || job.sum == Job::no_sum) {
        move<false>(job, from, to, chunk.begin, chunk.end, lane, movers);
      } else if constexpr (Prints) {
        unsigned long long part = move<true>(job, from, to, chunk.begin, chunk.end, lane, movers);
        for (int distance = 16; distance > 0; distance /= 2) {
          part += __shfl_xor_sync(all, part, distance);
        }
        if (lane % 32 == 0) {
          atomicAdd(work.sums + job.sum, part);
        }
      }
    }
    __syncthreads();
    if (fetches) {
      if (lane == 0 && chunk.signal != Chunk::none) {
        raise_flag(jobs[slot].flags + chunk.signal, epoch);
      }
      __syncwarp();  // before the slot's next chunk
    }
  }
}

/// Begins a run of the direct route: tells those who write here that they may, and all who share a
/// delivery that this rank is there; waits until those who are written to have said so.
template <class = void>
__global__ void begin_kernel(Meeting meeting) {
  __shared__ std::uint32_t epoch;
  if (threadIdx.x == 0) {
    epoch = *meeting.epoch + 1;
    *meeting.epoch = epoch;
    meeting.tickets[0] = meeting.tickets[1] = 0;
  }
  __syncthreads();
  for (std::uint32_t i = threadIdx.x; i < meeting.writer_count; i += blockDim.x) {
    raise_flag(meeting.writers[i].ready, epoch);
  }
  for (std::uint32_t i = threadIdx.x; i < meeting.other_count; i += blockDim.x) {
    raise_flag(meeting.others[i].ready, epoch);
  }
  for (std::uint32_t i = threadIdx.x; i < meeting.reader_count; i += blockDim.x) {
    Peer const& peer = meeting.readers[i];
    await(meeting.ready + peer.rank, epoch, meeting.waiting, Phase::ready, peer.rank);
  }
}

/// Ends a run: hands fingerprints over, tells those who were written to that all is there, waits
/// for those who write here, and compares what arrived with what was sent.
template <class = void>
__global__ void end_kernel(Meeting meeting) {
  std::uint32_t const epoch = *meeting.epoch;
  if (gave_up(meeting.waiting)) {
    return;
  }
  for (std::uint32_t i = threadIdx.x; i < meeting.echo_count; i += blockDim.x) {
    Echo const& echo = meeting.echoes[i];
    *echo.to = meeting.sums[echo.sum];
  }
  __threadfence_system();
  __syncthreads();
  for (std::uint32_t i = threadIdx.x; i < meeting.reader_count; i += blockDim.x) {
    raise_flag(meeting.readers[i].done, epoch);
  }
  bool there = true;
  for (std::uint32_t i = threadIdx.x; i < meeting.writer_count; i += blockDim.x) {
    Peer const& peer = meeting.writers[i];
    there =
        await(meeting.done + peer.rank, epoch, meeting.waiting, Phase::done, peer.rank) && there;
  }
  if (__syncthreads_and(there ? 1 : 0) == 0) {
    return;
  }
  for (std::uint32_t i = threadIdx.x; i < meeting.expected_count; i += blockDim.x) {
    auto const sent = *static_cast<unsigned long long const volatile*>(meeting.expected + i);
    if (sent != meeting.arrived[i]) {
      atomicMin(&meeting.waiting.report->wrong, i);
    }
  }
}

/// Fingerprints that arrive late are sums of nothing.
inline void clear(void* data, std::size_t bytes, StreamView stream) {
  if (bytes != 0) {
    check(cudaMemsetAsync(data, 0, bytes, stream.get()), "cudaMemsetAsync");
  }
}

/// The kernels that a program launches. Every translation unit compiles kernel templates for itself
/// (their stubs are local to it), while functions that launch them are merged: these variables are,
/// too, so that the kernel that was loaded and set up is the one that is launched.
template <class Late = void>
struct Kernels {
  static inline void (*move)(MoveWork) = move_kernel<false, Late>;
  static inline void (*move_and_print)(MoveWork) = move_kernel<true, Late>;
  static inline void (*begin)(Meeting) = begin_kernel<Late>;
  static inline void (*end)(Meeting) = end_kernel<Late>;
};

/// Loads the kernels into the current device now. CUDA loads them at their first launch otherwise,
/// and then waits for kernels of the device that run: those of another rank may be waiting for this
/// one.
template <class = void>
void load_kernels() {
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, Kernels<>::move), "loading of a kernel");
  check(cudaFuncGetAttributes(&attributes, Kernels<>::move_and_print), "loading of a kernel");
  check(cudaFuncGetAttributes(&attributes, Kernels<>::begin), "loading of a kernel");
  check(cudaFuncGetAttributes(&attributes, Kernels<>::end), "loading of a kernel");
}

/// Puts `work` into a stream on at most `blocks` blocks.
template <class = void>
void launch_move(MoveWork const& work, bool prints, int blocks, StreamView stream) {
  if (work.count == 0) {
    return;
  }
  auto const most = static_cast<std::uint32_t>(blocks < 1 ? 1 : blocks);
  std::uint32_t const grid = work.count < most ? work.count : most;
  if (prints) {
    Kernels<>::move_and_print<<<grid, block_threads, 0, stream.get()>>>(work);
  } else {
    Kernels<>::move<<<grid, block_threads, 0, stream.get()>>>(work);
  }
  check(cudaGetLastError(), "launch of a move kernel");
}
template <class = void>
void launch_begin(Meeting const& meeting, StreamView stream) {
  Kernels<>::begin<<<1, 128, 0, stream.get()>>>(meeting);
  check(cudaGetLastError(), "launch of a begin kernel");
}
template <class = void>
void launch_end(Meeting const& meeting, StreamView stream) {
  Kernels<>::end<<<1, 1024, 0, stream.get()>>>(meeting);
  check(cudaGetLastError(), "launch of an end kernel");
}

}  // namespace rlhf::inline v0::cuda::detail
