/// @file
/// Adapters in weights of device memory: `runtime::Adapted<cuda::LoraKernels>`. Layer: cuda.
#pragma once

#if !defined(__CUDACC__)
#  error "rlhf/cuda/lora.cuh has kernels: compile it with nvcc"
#endif

#include <rlhf/core/hash.hpp>
#include <rlhf/cuda/buffer.hpp>
#include <rlhf/cuda/error.hpp>
#include <rlhf/cuda/lora_tile.hpp>
#include <rlhf/cuda/stream.hpp>
#include <rlhf/tensor/low_rank.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstdint>

#include <cuda_runtime.h>

namespace rlhf::inline v0::cuda {
namespace detail {

/// A block for each tile of the weight.
template <class = void>
__global__ void __launch_bounds__(LowRankTile::threads) add_low_rank(LowRankJob job) {
  __shared__ LowRankTile tile;
  auto const thread = static_cast<int>(threadIdx.x);
  std::int64_t const column = static_cast<std::int64_t>(blockIdx.x) * LowRankTile::columns;
  for (std::int64_t row = static_cast<std::int64_t>(blockIdx.y) * LowRankTile::rows; row < job.rows;
       row += static_cast<std::int64_t>(gridDim.y) * LowRankTile::rows) {
    LowRankThread mine;
    for (std::int64_t k = 0; k < job.dim; k += LowRankTile::depth) {
      __syncthreads();  // the tile before is read
      LowRankThread::load(tile, job, thread, row, column, k);
      __syncthreads();
      mine.add(tile, job, thread, k);
    }
    mine.store(job, thread, row, column);
  }
}

/// Adds mix(place, byte) of all bytes of a matrix to `sum`.
template <class = void>
__global__ void digest(std::byte const* matrix, std::int64_t rows, std::int64_t row_bytes,
                       std::int64_t stride_bytes, std::uint64_t key, unsigned long long* sum) {
  std::uint64_t mine = 0;
  std::int64_t const step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
       i < rows * row_bytes; i += step) {
    auto const byte =
        static_cast<std::uint64_t>(matrix[i / row_bytes * stride_bytes + i % row_bytes]);
    mine += mix64(key + (static_cast<std::uint64_t>(i) << 8) + byte);
  }
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    mine += __shfl_down_sync(0xffffffffU, mine, static_cast<unsigned>(lanes));
  }
  if (threadIdx.x % 32 == 0) {
    atomicAdd(sum, static_cast<unsigned long long>(mine));
  }
}

}  // namespace detail

/// weight += scale * B A in device memory, in the order of `stream`; the bits are those of
/// `rlhf::add_low_rank` on the host. Requires `expect_adapter`. Cost: the weight read and written
/// once, the factors once for each row and column of tiles.
template <class = void>
void add_low_rank(TensorView const& weight, Adapter const& adapter, float scale,
                  StreamView stream = {}) {
  if (weight.elements() == 0) {
    return;
  }
  int const rank = weight.shape.rank();
  std::int64_t const matrices =
      weight.elements() / (weight.shape[rank - 2] * weight.shape[rank - 1]);
  for (std::int64_t m = 0; m < matrices; ++m) {
    TensorView const w = rlhf::detail::matrix_of(weight, m);
    TensorView const a = rlhf::detail::matrix_of(adapter.a, m);
    TensorView const b = rlhf::detail::matrix_of(adapter.b, m);
    detail::LowRankJob job;
    job.weight = static_cast<std::byte*>(w.data);
    job.a = static_cast<std::byte const*>(a.data);
    job.b = static_cast<std::byte const*>(b.data);
    job.weight_type = w.dtype;
    job.a_type = a.dtype;
    job.b_type = b.dtype;
    job.weight_stride = w.strides[0];
    job.a_stride = a.strides[0];
    job.b_stride = b.strides[0];
    job.rows = w.shape[0];
    job.columns = w.shape[1];
    job.dim = a.shape[0];
    job.scale = scale;
    std::int64_t const tiles =
        (job.rows + detail::LowRankTile::rows - 1) / detail::LowRankTile::rows;
    dim3 const grid(static_cast<unsigned>((job.columns + detail::LowRankTile::columns - 1) /
                                          detail::LowRankTile::columns),
                    static_cast<unsigned>(tiles < 65'535 ? tiles : 65'535));
    detail::add_low_rank<><<<grid, detail::LowRankTile::threads, 0, stream.get()>>>(job);
    check(cudaGetLastError(), "launch of add_low_rank");
  }
}

/// What `runtime::Lora` needs of device memory: the bits of fused weights wait in pinned host
/// memory. Work on the null stream of the current device; `keep`, `restore` and `digest` wait for
/// it.
struct LoraKernels {
  using Kept = PinnedBuffer;

  [[nodiscard]] static Kept keep(TensorView const& weight) {
    Kept kept(static_cast<std::size_t>(weight.bytes()));
    copy(weight, kept.data(), cudaMemcpyDeviceToHost);
    return kept;
  }
  static void restore(TensorView const& weight, Kept const& kept) {
    copy(weight, kept.data(), cudaMemcpyHostToDevice);
  }
  static void add(TensorView const& weight, Adapter const& adapter, float scale) {
    cuda::add_low_rank(weight, adapter, scale, StreamView{});
  }
  [[nodiscard]] static std::uint64_t digest(TensorView const& weight) {
    if (weight.elements() == 0) {
      return 0;
    }
    DeviceBuffer sum(sizeof(std::uint64_t));
    check(cudaMemsetAsync(sum.data(), 0, sum.size(), nullptr), "cudaMemsetAsync");
    each_matrix(weight, [&](TensorView const& matrix, std::int64_t number, std::size_t) {
      std::int64_t const size = size_of(matrix.dtype);
      detail::digest<><<<264, 512, 0, nullptr>>>(
          static_cast<std::byte const*>(matrix.data), matrix.shape[0], matrix.shape[1] * size,
          matrix.strides[0] * size, mix64(static_cast<std::uint64_t>(number) + 1),
          reinterpret_cast<unsigned long long*>(sum.data()));
      check(cudaGetLastError(), "launch of digest");
    });
    std::uint64_t out = 0;
    check(cudaMemcpy(&out, sum.data(), sizeof out, cudaMemcpyDeviceToHost), "cudaMemcpy");
    return out;
  }

 private:
  template <class Call>
  static void each_matrix(TensorView const& weight, Call&& call) {
    int const rank = weight.shape.rank();
    std::int64_t const elements = weight.shape[rank - 2] * weight.shape[rank - 1];
    if (elements == 0) {
      return;
    }
    std::int64_t const matrices = weight.elements() / elements;
    for (std::int64_t m = 0; m < matrices; ++m) {
      call(rlhf::detail::matrix_of(weight, m), m,
           static_cast<std::size_t>(m * elements * size_of(weight.dtype)));
    }
  }
  static void copy(TensorView const& weight, std::byte* host, cudaMemcpyKind kind) {
    each_matrix(weight, [&](TensorView const& matrix, std::int64_t, std::size_t offset) {
      auto const size = static_cast<std::size_t>(size_of(matrix.dtype));
      std::size_t const row = static_cast<std::size_t>(matrix.shape[1]) * size;
      std::size_t const pitch = static_cast<std::size_t>(matrix.strides[0]) * size;
      auto const rows = static_cast<std::size_t>(matrix.shape[0]);
      bool const out = kind == cudaMemcpyDeviceToHost;
      check(cudaMemcpy2DAsync(out ? host + offset : matrix.data, out ? row : pitch,
                              out ? matrix.data : host + offset, out ? pitch : row, row, rows, kind,
                              nullptr),
            "copy of a weight between device and pinned memory");
    });
    check(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");
  }
};

}  // namespace rlhf::inline v0::cuda
