// Kernels that pack, unpack, copy and take fingerprints, one rank and one stream: the bits of the
// host's packer. Small enough for every tool of compute-sanitizer.
#include <rlhf/cuda/buffer.hpp>
#include <rlhf/cuda/packer.cuh>
#include <rlhf/cuda/stream.hpp>
#include <rlhf/tensor/cast.hpp>
#include <rlhf/tensor/fingerprint.hpp>
#include <rlhf/tensor/pack.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "gpu/device_model.hpp"
#include "property/cases.hpp"

namespace cuda = rlhf::cuda;
using cases::Dice;
using rlhf::Box;
using rlhf::DType;
using rlhf::Extents;
using rlhf::PlacedBox;
using rlhf::Region;
using rlhf::Shape;
using rlhf::TensorView;

namespace {

std::int64_t below(Dice& dice, int count) {
  return dice.between(0, count - 1);
}

/// The same box of the same tensor on the host and on the device.
struct Twins {
  std::vector<std::byte> host;
  cuda::DeviceBuffer device;
  TensorView here{};
  TensorView there{};
  Box box{};
  DType wire{};

  /// `multiple`: of elements, what comes before and behind a row.
  Twins(Dice& dice, DType dtype, Extents const& extent, std::int64_t multiple = 1) {
    int const rank = extent.rank();
    Extents start = Extents::filled(rank, 0);
    here.dtype = wire = dtype;
    here.shape = extent;
    here.strides = Extents::filled(rank, 1);
    std::int64_t stride = 1;
    for (int d = rank - 1; d >= 0; --d) {
      start[d] = multiple * below(dice, 3);
      here.shape[d] += start[d] + multiple * below(dice, 3);
      here.strides[d] = stride;
      stride *= here.shape[d];
    }
    box = Box{start, extent};
    std::int64_t const size = rlhf::size_of(dtype);
    host.resize(static_cast<std::size_t>(stride * size));
    bool const is_float = dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
    for (std::int64_t i = 0; i < stride; ++i) {
      if (is_float) {
        rlhf::detail::put_float(dtype, host.data() + i * size,
                                static_cast<float>(below(dice, 20'001) - 10'000) * 0.0123F);
      } else {
        std::uint64_t const bits = dice.word();
        std::memcpy(host.data() + i * size, &bits, static_cast<std::size_t>(size));
      }
    }
    device = cuda::DeviceBuffer(host.size());
    upload();
    there = here;
    here.data = host.data();
    there.data = device.data();
    there.device = {rlhf::Device::Kind::cuda, 0};
  }
  void upload() {
    cuda::check(cudaMemcpy(device.data(), host.data(), host.size(), cudaMemcpyHostToDevice), "up");
  }
  void clear() {
    std::memset(host.data(), 0x55, host.size());
    upload();
  }
  [[nodiscard]] Region region(TensorView const& view) const {
    Region out = rlhf::region_of(view, box.start, box.extent);
    out.wire = wire;
    return out;
  }
  [[nodiscard]] bool equal() const {
    std::vector<std::byte> got(host.size());
    cuda::check(cudaMemcpy(got.data(), device.data(), got.size(), cudaMemcpyDeviceToHost), "down");
    return got == host;
  }
};

Extents random_extent(Dice& dice) {
  Extents extent;
  int const rank = 1 + static_cast<int>(below(dice, 4));
  for (int d = 0; d < rank; ++d) {
    bool const inner = d == rank - 1;
    extent.push_back(1 + below(dice, inner ? 300 : rank > 2 ? 9 : 40));
    if (inner && below(dice, 2) == 0) {
      extent[d] = extent[d] / 16 * 16 + 16;
    }
  }
  return extent;
}

/// Packs, unpacks and copies all of `from`, `bytes` when packed, into `to`, as the host does.
void check_packer(cuda::Packer const& packer, std::vector<Twins>& from, std::vector<Twins>& to,
                  std::int64_t bytes) {
  rlhf::HostPacker<cuda::StreamView> const by_host;
  cuda::Stream const stream;
  std::vector<Region> host_from, host_to, device_from, device_to;
  for (std::size_t i = 0; i < from.size(); ++i) {
    host_from.push_back(from[i].region(from[i].here));
    device_from.push_back(from[i].region(from[i].there));
    host_to.push_back(to[i].region(to[i].here));
    device_to.push_back(to[i].region(to[i].there));
  }
  std::vector<std::byte> expected(static_cast<std::size_t>(bytes));
  std::vector<std::byte> got(expected.size());
  cuda::DeviceBuffer const packed(expected.size());
  by_host.pack(by_host.prepare(host_from), expected.data());
  packer.pack(packer.prepare(device_from), packed.data(), stream);
  cuda::check(
      cudaMemcpyAsync(got.data(), packed.data(), got.size(), cudaMemcpyDeviceToHost, stream.get()),
      "download");
  stream.synchronize();
  CHECK(got == expected);
  by_host.unpack(by_host.prepare(host_to), expected.data());
  packer.unpack(packer.prepare(device_to), packed.data(), stream);
  stream.synchronize();
  for (Twins const& one : to) {
    CHECK(one.equal());
  }
  for (Twins& one : to) {
    one.clear();
  }
  by_host.copy(by_host.pair(host_from, host_to));
  packer.copy(packer.pair(device_from, device_to), stream);
  stream.synchronize();
  for (Twins const& one : to) {
    CHECK(one.equal());
  }
}

constexpr DType types[] = {DType::u8, DType::bf16, DType::f16, DType::f32, DType::i64};
constexpr DType floats[] = {DType::bf16, DType::f16, DType::f32};

}  // namespace

TEST_CASE("kernels pack, unpack and copy what the host packs, unpacks and copies, casts and all") {
  for (std::uint64_t seed = 0; seed < gpu::cases_of(60); ++seed) {
    Dice dice(seed);
    cuda::PackerOptions options;
    options.blocks = 1 + static_cast<int>(below(dice, 6));
    cuda::Packer const packer(options);
    std::vector<Twins> from;
    std::vector<Twins> to;
    std::int64_t bytes = 0;
    bool const casts = below(dice, 2) == 0;  // buckets are of one type
    DType const wire = casts ? floats[below(dice, 3)] : types[below(dice, 5)];
    for (std::int64_t i = 1 + below(dice, 6); i > 0; --i) {
      Extents const extent = random_extent(dice);
      from.emplace_back(dice, casts ? floats[below(dice, 3)] : wire, extent);
      to.emplace_back(dice, casts ? floats[below(dice, 3)] : wire, extent);
      from.back().wire = to.back().wire = wire;
      bytes += element_count(extent) * rlhf::size_of(from.back().wire);
    }
    CAPTURE(seed);
    check_packer(packer, from, to, bytes);
  }
}

TEST_CASE("kernels move long rows, which chunks cut anywhere, beside rows that fit no vector") {
  for (std::uint64_t seed = 200; seed < 200 + gpu::cases_of(40); ++seed) {
    Dice dice(seed);
    cuda::PackerOptions options;
    options.blocks = 1 + static_cast<int>(below(dice, 4));
    options.copy_blocks = 1 + static_cast<int>(below(dice, 4));
    cuda::Packer const packer(options);
    std::vector<Twins> from;
    std::vector<Twins> to;
    std::int64_t bytes = 0;
    // Rows of up to 50 KB. The last is small and fits nothing.
    std::int64_t const count = 1 + below(dice, 5);
    for (std::int64_t i = 0; i < count; ++i) {
      bool const odd = i + 1 == count && count > 1;
      std::int64_t const inner = odd                   ? 3
                                 : below(dice, 3) == 0 ? 256 + 8 * below(dice, 64)
                                                       : 256 + 8 * below(dice, 3000);
      Extents const extent{odd ? 5 : 1 + below(dice, 90), inner};
      from.emplace_back(dice, DType::bf16, extent, odd ? 1 : 8);
      to.emplace_back(dice, DType::bf16, extent, odd ? 1 : 8);
      bytes += element_count(extent) * 2;
    }
    CAPTURE(seed);
    check_packer(packer, from, to, bytes);
  }
}

TEST_CASE("kernels take the host's fingerprints, as they lie and as they will be after a cast") {
  for (std::uint64_t seed = 100; seed < 100 + gpu::cases_of(60); ++seed) {
    Dice dice(seed);
    cuda::Packer const packer;
    std::vector<Twins> all;
    std::vector<PlacedBox> placed;
    std::vector<std::uint64_t> expected;
    for (std::int64_t i = 1 + below(dice, 6); i > 0; --i) {
      bool const casts = below(dice, 2) == 0;
      all.emplace_back(dice, casts ? floats[below(dice, 3)] : types[below(dice, 5)],
                       random_extent(dice));
      Twins const& one = all.back();
      Box global_box = one.box;
      Shape global = one.box.extent;
      for (int d = 0; d < global.rank(); ++d) {
        global_box.start[d] = below(dice, 20);
        global[d] += global_box.start[d] + below(dice, 20);
      }
      std::uint64_t const key = dice.word();
      PlacedBox const there{one.there, one.box.start,         global_box, global, key,
                            casts,     floats[below(dice, 3)]};
      PlacedBox here = there;
      here.local = one.here;
      placed.push_back(there);
      expected.push_back(rlhf::fingerprint(here));
    }
    std::vector<std::uint64_t> got(expected.size());
    packer.fingerprints(placed, got.data());
    CAPTURE(seed);
    CHECK(got == expected);
  }
}
