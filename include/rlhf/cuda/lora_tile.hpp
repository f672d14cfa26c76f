/// @file
/// What one thread does of W += scale * B A: load a tile of the factors, add up, store. Layer:
/// cuda.
///
/// Runs on the device in the kernel of lora.cuh, and on the host in tests of the same code.
/// Products and sums are rounded one by one, in the order of the low rank: the bits are those of
/// `add_low_rank` on the host.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/tensor/cast.hpp>
#include <rlhf/tensor/dtype.hpp>

#include <cstddef>
#include <cstdint>

namespace rlhf::inline v0::cuda::detail {

/// One matrix (rows, columns) and its factors; the elements of a row lie side by side.
struct LowRankJob {
  std::byte* weight = nullptr;
  std::byte const* a = nullptr;  // (dim, columns)
  std::byte const* b = nullptr;  // (rows, dim)
  DType weight_type = DType::f32;
  DType a_type = DType::f32;
  DType b_type = DType::f32;
  std::int64_t weight_stride = 0;  // elements between rows
  std::int64_t a_stride = 0;
  std::int64_t b_stride = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t dim = 0;
  float scale = 0;
};

/// The factors of a block's part of the weight, as far as `depth` of the low rank.
struct LowRankTile {
  static constexpr int rows = 32;
  static constexpr int columns = 64;
  static constexpr int depth = 16;
  static constexpr int threads = 256;

  float a[depth][columns];
  float b[rows][depth];
};

/// Rounds products and sums one by one.
struct RoundedArithmetic {
  RLHF_HOST_DEVICE static float multiply(float x, float y) noexcept {
#ifdef __CUDA_ARCH__
    return __fmul_rn(x, y);
#else
    return x * y;
#endif
  }
  RLHF_HOST_DEVICE static float add(float x, float y) noexcept {
#ifdef __CUDA_ARCH__
    return __fadd_rn(x, y);
#else
    return x + y;
#endif
  }
};

/// One of the threads of a block: a column of the tile, and every fourth of its rows.
struct LowRankThread {
  static constexpr int stride = LowRankTile::threads / LowRankTile::columns;
  static constexpr int count = LowRankTile::rows / stride;

  float sums[count] = {};

  /// This thread's share of the tile at (row, column, k). All threads load, then all add.
  RLHF_HOST_DEVICE static void load(LowRankTile& tile, LowRankJob const& job, int thread,
                                    std::int64_t row, std::int64_t column,
                                    std::int64_t k) noexcept {
    for (int i = thread; i < LowRankTile::depth * LowRankTile::columns; i += LowRankTile::threads) {
      int const d = i / LowRankTile::columns;
      int const c = i % LowRankTile::columns;
      bool const inside = k + d < job.dim && column + c < job.columns;
      tile.a[d][c] =
          inside
              ? rlhf::detail::as_float(
                    job.a_type, job.a + ((k + d) * job.a_stride + column + c) * size_of(job.a_type))
              : 0.0F;
    }
    for (int i = thread; i < LowRankTile::rows * LowRankTile::depth; i += LowRankTile::threads) {
      int const r = i / LowRankTile::depth;
      int const d = i % LowRankTile::depth;
      bool const inside = row + r < job.rows && k + d < job.dim;
      tile.b[r][d] =
          inside ? rlhf::detail::as_float(
                       job.b_type, job.b + ((row + r) * job.b_stride + k + d) * size_of(job.b_type))
                 : 0.0F;
    }
  }
  RLHF_HOST_DEVICE void add(LowRankTile const& tile, LowRankJob const& job, int thread,
                            std::int64_t k) noexcept {
    int const c = thread % LowRankTile::columns;
    int const first = thread / LowRankTile::columns;
    std::int64_t const left = job.dim - k;
    int const depth = left < LowRankTile::depth ? static_cast<int>(left) : LowRankTile::depth;
    for (int d = 0; d < depth; ++d) {
      for (int i = 0; i < count; ++i) {
        sums[i] = RoundedArithmetic::add(
            sums[i], RoundedArithmetic::multiply(tile.b[first + i * stride][d], tile.a[d][c]));
      }
    }
  }
  RLHF_HOST_DEVICE void store(LowRankJob const& job, int thread, std::int64_t row,
                              std::int64_t column) const noexcept {
    std::int64_t const c = column + thread % LowRankTile::columns;
    for (int i = 0; i < count; ++i) {
      std::int64_t const r = row + thread / LowRankTile::columns + i * stride;
      if (r < job.rows && c < job.columns) {
        std::byte* const element =
            job.weight + (r * job.weight_stride + c) * size_of(job.weight_type);
        rlhf::detail::put_float(
            job.weight_type, element,
            RoundedArithmetic::add(rlhf::detail::as_float(job.weight_type, element),
                                   RoundedArithmetic::multiply(job.scale, sums[i])));
      }
    }
  }
};

}  // namespace rlhf::inline v0::cuda::detail
