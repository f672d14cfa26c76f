// The kernel of adapters on the host, thread by thread: the bits of `add_low_rank`.
#include <rlhf/cuda/lora_tile.hpp>
#include <rlhf/tensor/low_rank.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "property/cases.hpp"

namespace cuda = rlhf::cuda;
using cuda::detail::LowRankJob;
using cuda::detail::LowRankThread;
using cuda::detail::LowRankTile;
using rlhf::DType;

namespace {

std::vector<std::byte> random_elements(cases::Dice& dice, DType dtype, std::int64_t count) {
  std::int64_t const size = rlhf::size_of(dtype);
  std::vector<std::byte> out(static_cast<std::size_t>(count * size));
  for (std::int64_t i = 0; i < count; ++i) {
    rlhf::detail::put_float(dtype, out.data() + i * size,
                            static_cast<float>(dice.between(-9999, 9999)) * 0.000123F);
  }
  return out;
}

/// What the kernel does with a grid of one block a tile.
void run(LowRankJob const& job) {
  for (std::int64_t row = 0; row < job.rows; row += LowRankTile::rows) {
    for (std::int64_t column = 0; column < job.columns; column += LowRankTile::columns) {
      std::vector<LowRankThread> threads(LowRankTile::threads);
      LowRankTile tile;
      for (std::int64_t k = 0; k < job.dim; k += LowRankTile::depth) {
        for (int t = 0; t < LowRankTile::threads; ++t) {
          LowRankThread::load(tile, job, t, row, column, k);
        }
        for (int t = 0; t < LowRankTile::threads; ++t) {
          threads[static_cast<std::size_t>(t)].add(tile, job, t, k);
        }
      }
      for (int t = 0; t < LowRankTile::threads; ++t) {
        threads[static_cast<std::size_t>(t)].store(job, t, row, column);
      }
    }
  }
}

}  // namespace

TEST_CASE("tiles of any shape and type give the bits of the host's loop, and write nothing else") {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    cases::Dice dice(seed);
    LowRankJob job;
    job.rows = dice.between(1, 70);
    job.columns = dice.between(1, 140);
    job.dim = dice.between(1, 40);
    job.weight_type = dice.pick({DType::f32, DType::bf16, DType::f16});
    job.a_type = dice.pick({DType::f32, DType::bf16, DType::f16});
    job.b_type = dice.pick({DType::f32, DType::bf16, DType::f16});
    job.weight_stride = job.columns + dice.between(0, 3);
    job.a_stride = job.columns + dice.between(0, 3);
    job.b_stride = job.dim + dice.between(0, 3);
    job.scale = 0.37F;
    auto weight = random_elements(dice, job.weight_type, job.rows * job.weight_stride);
    auto a = random_elements(dice, job.a_type, job.dim * job.a_stride);
    auto b = random_elements(dice, job.b_type, job.rows * job.b_stride);
    auto expected = weight;
    rlhf::add_low_rank(
        {expected.data(), job.weight_type, {}, {job.rows, job.columns}, {job.weight_stride, 1}},
        {.a = {a.data(), job.a_type, {}, {job.dim, job.columns}, {job.a_stride, 1}},
         .b = {b.data(), job.b_type, {}, {job.rows, job.dim}, {job.b_stride, 1}}},
        job.scale);
    CHECK(expected != weight);
    job.weight = weight.data();
    job.a = a.data();
    job.b = b.data();
    run(job);
    CHECK(weight == expected);
  }
}
