// What kernels do, done on the host: the same jobs, chunks, threads and conversions.
#include <rlhf/core/rng.hpp>
#include <rlhf/cuda/job.hpp>
#include <rlhf/cuda/move.hpp>
#include <rlhf/tensor/fingerprint.hpp>
#include <rlhf/tensor/pack.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>

using rlhf::Box;
using rlhf::DType;
using rlhf::Extents;
using rlhf::PlacedBox;
using rlhf::Region;
using rlhf::Shape;
using rlhf::TensorView;
namespace cuda = rlhf::cuda;

namespace {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed, 5) {}
  std::int64_t below(std::int64_t n) { return random_.below(at_++, static_cast<std::uint32_t>(n)); }
  std::uint32_t word() { return random_.bits(at_++); }

 private:
  rlhf::CounterRandom random_;
  std::uint64_t at_ = 0;
};

/// A tensor with room around a box, rows further apart than they are long.
struct Holder {
  std::vector<std::byte> memory;
  TensorView view{};
  Extents start{};

  Holder(Dice& dice, Box const& box, DType dtype, bool tight) {
    int const rank = box.rank();
    view.dtype = dtype;
    view.shape = box.extent;
    view.strides = Extents::filled(rank, 1);
    start = Extents::filled(rank, 0);
    std::int64_t stride = 1;
    for (int d = rank - 1; d >= 0; --d) {
      start[d] = tight ? 0 : dice.below(3) * (d == rank - 1 ? 8 : 1);
      view.shape[d] += start[d] + (tight ? 0 : dice.below(2) * 8);
      view.strides[d] = stride;
      stride = stride * view.shape[d] + (tight ? 0 : dice.below(2) * (dice.below(2) == 0 ? 1 : 16));
    }
    memory.resize(static_cast<std::size_t>(stride * rlhf::size_of(dtype)) + 64);
    auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    std::uintptr_t const offset =
        (16 - address % 16) % 16 +
        static_cast<std::uintptr_t>(rlhf::size_of(dtype) * (tight ? 0 : dice.below(2)));
    view.data = memory.data() + offset;
    for (std::byte& byte : memory) {
      byte = static_cast<std::byte>(dice.word());
    }
  }
  [[nodiscard]] Region region(Box const& box) const {
    return rlhf::region_of(view, start, box.extent);
  }
  [[nodiscard]] PlacedBox placed(Box const& box, Shape const& global, std::uint64_t key) const {
    return PlacedBox{view, start, box, global, key};
  }
};

bool is_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

/// Plays all threads of all chunks.
std::uint64_t play(cuda::Job const& job, bool prints, std::int64_t elements, std::int64_t chunk,
                   std::uint32_t lanes) {
  std::uint64_t sum = 0;
  for (std::int64_t c = 0; c < cuda::chunks_of(elements, chunk); ++c) {
    auto const begin = static_cast<std::uint32_t>(c * chunk / job.width);
    auto const end = static_cast<std::uint32_t>(std::min((c + 1) * chunk, elements) / job.width);
    for (std::uint32_t lane = 0; lane < lanes; ++lane) {
      sum += prints ? cuda::detail::move<true>(job, job.from, job.to, begin, end, lane, lanes)
                    : cuda::detail::move<false>(job, job.from, job.to, begin, end, lane, lanes);
    }
  }
  return sum;
}

}  // namespace

TEST_CASE("jobs move and fingerprint what the host's packer does, whatever the strides and types") {
  DType const types[] = {DType::f32, DType::bf16, DType::f16, DType::f64,
                         DType::i64, DType::i32,  DType::u8};
  int wide = 0;
  int cut = 0;
  int converted = 0;
  int wrong = 0;
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    Dice dice(seed);
    DType const source_type = types[dice.below(7)];
    DType target_type = source_type;
    if (is_float(source_type)) {
      target_type = types[dice.below(3)];
    }
    int const rank = static_cast<int>(dice.below(5));
    Shape global = Extents::filled(rank, 1);
    Box box{Extents::filled(rank, 0), Extents::filled(rank, 1)};
    bool const round = dice.below(2) == 0;  // extents that vectors like
    for (int d = 0; d < rank; ++d) {
      std::int64_t const step = round && d == rank - 1 ? 16 : 1;
      box.start[d] = dice.below(4) * step;
      box.extent[d] = (1 + dice.below(6)) * step;
      global[d] = box.start[d] + box.extent[d] + dice.below(3) * step;
    }
    bool const tight = dice.below(2) == 0;
    Holder source(dice, box, source_type, tight);
    Holder target(dice, box, target_type, dice.below(2) == 0);
    auto expected = target.memory;
    Region const from = source.region(box);
    Region const to = target.region(box);
    {  // what the host's packer makes of it, in the same place of a copy
      Region there = to;
      there.data = expected.data() + (to.data - target.memory.data());
      rlhf::HostPacker<int> host;
      host.copy(host.prepare({&from, 1}), host.prepare({&there, 1}));
    }
    bool const prints = dice.below(2) == 0;
    std::uint64_t const key = dice.word();
    cuda::Job job = cuda::make_job({from.data, from.dtype, cuda::walk_of(from)},
                                   {to.data, to.dtype, cuda::walk_of(to)}, prints,
                                   cuda::index_walk(box, global));
    job.key = key;
    job.index = cuda::first_index(box, global);
    std::int64_t const elements = box.elements();
    wrong += std::int64_t{job.vectors} * job.width == elements ? 0 : 1;
    std::int64_t const chunk = cuda::chunk_elements(64, target_type);
    std::uint64_t const sum =
        play(job, prints, elements, chunk, 1 + static_cast<std::uint32_t>(dice.below(9)));
    wrong += target.memory == expected ? 0 : 1;
    std::uint64_t const want = rlhf::fingerprint(target.placed(box, global, key));
    wrong += sum == (prints ? want : 0) ? 0 : 1;
    if (prints) {  // what arrived, read where it lies
      cuda::Job look = cuda::make_job({to.data, to.dtype, cuda::walk_of(to)},
                                      {nullptr, to.dtype, cuda::walk_of(to)}, true,
                                      cuda::index_walk(box, global));
      look.key = key;
      look.index = job.index;
      wrong += play(look, true, elements, chunk, 3) == want ? 0 : 1;
      wrong += target.memory == expected ? 0 : 1;
    }
    wide += job.width > 1 ? 1 : 0;
    cut += job.outer > 1 ? 1 : 0;
    converted += source_type != target_type ? 1 : 0;
    CAPTURE(seed);
    CHECK(wrong == 0);
    if (wrong != 0) {
      break;
    }
  }
  CHECK(wide > 200);
  CHECK(cut > 100);
  CHECK(converted > 200);
}

TEST_CASE("rows are as long as both ends allow") {
  // Columns of half a matrix, packed: one row of 32 elements a row of the matrix, 16 bytes a
  // vector.
  std::vector<float> memory(64 * 8 + 4);
  auto* const aligned =
      reinterpret_cast<float*>((reinterpret_cast<std::uintptr_t>(memory.data()) + 15) / 16 * 16);
  TensorView const whole = rlhf::view(aligned, {8, 64});
  Region const half = rlhf::region_of(whole, {0, 32}, {8, 32});
  cuda::Job const packed =
      cuda::make_job({half.data, DType::f32, cuda::walk_of(half)},
                     {nullptr, DType::f32, cuda::packed_walk(256, DType::f32)});
  CHECK(packed.outer == 1);
  CHECK(packed.per_row == 8);
  CHECK(packed.width == 4);
  CHECK(packed.vectors == 64);
  Region const all = rlhf::region_of(whole, {0, 0}, {8, 64});
  cuda::Job const plain = cuda::make_job({all.data, DType::f32, cuda::walk_of(all)},
                                         {nullptr, DType::f32, cuda::packed_walk(512, DType::f32)});
  CHECK(plain.outer == 0);
  CHECK(plain.vectors == 128);
  // Ends that do not fit together, and boxes too large for one job.
  CHECK_THROWS_AS(
      static_cast<void>(cuda::make_job({half.data, DType::f32, cuda::walk_of(half)},
                                       {nullptr, DType::f32, cuda::packed_walk(512, DType::f32)})),
      rlhf::Error);
  CHECK_THROWS_AS(static_cast<void>(cuda::make_job(
                      {nullptr, DType::u8, cuda::packed_walk(std::int64_t{1} << 40, DType::u8)},
                      {nullptr, DType::u8, cuda::packed_walk(std::int64_t{1} << 40, DType::u8)})),
                  rlhf::Error);
}
