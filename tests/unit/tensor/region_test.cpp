#include <rlhf/core/rng.hpp>
#include <rlhf/tensor/pack.hpp>
#include <rlhf/tensor/region.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using rlhf::Error;
using rlhf::Extents;
using rlhf::Region;
using rlhf::TensorView;

namespace {

struct NoStream {};
using Packer = rlhf::HostPacker<NoStream>;

/// A strided tensor of bytes (any element size) with gaps, and its elements by index.
struct Strided {
  TensorView view;
  std::vector<std::byte> memory;

  [[nodiscard]] std::size_t offset(Extents const& index) const {
    std::int64_t at = 0;
    for (int d = 0; d < index.rank(); ++d) {
      at += index[d] * view.strides[d];
    }
    return static_cast<std::size_t>(at * rlhf::size_of(view.dtype));
  }
};

Strided random_tensor(rlhf::CounterRandom const& random, std::uint64_t& at, rlhf::DType dtype,
                      Extents const& shape) {
  Strided out;
  out.view.dtype = dtype;
  out.view.shape = shape;
  out.view.strides = Extents::filled(shape.rank(), 1);
  std::int64_t stride = 1;
  for (int d = shape.rank() - 1; d >= 0; --d) {  // gaps behind some dimensions
    stride += random.below(at++, 3) == 0 ? 1 + random.below(at++, 3) : 0;
    out.view.strides[d] = stride;
    stride *= shape[d] > 0 ? shape[d] : 1;
  }
  out.memory.resize(static_cast<std::size_t>((stride + 8) * rlhf::size_of(dtype)));
  for (std::byte& byte : out.memory) {
    byte = static_cast<std::byte>(random.bits(at++));
  }
  out.view.data = out.memory.data();
  return out;
}

/// Calls `visit(index)` for every index of a box, row-major.
template <class Visit>
void for_each_index(Extents const& start, Extents const& extent, Visit&& visit) {
  std::int64_t const count = rlhf::element_count(extent);
  for (std::int64_t i = 0; i < count; ++i) {
    Extents index = start;
    std::int64_t rest = i;
    for (int d = extent.rank() - 1; d >= 0; --d) {
      index[d] += rest % extent[d];
      rest /= extent[d];
    }
    visit(index);
  }
}

/// The bytes of a box, element by element.
std::vector<std::byte> expected(Strided const& tensor, Extents const& start,
                                Extents const& extent) {
  auto const element = static_cast<std::size_t>(rlhf::size_of(tensor.view.dtype));
  std::vector<std::byte> out;
  for_each_index(start, extent, [&](Extents const& index) {
    auto const* const from = tensor.memory.data() + tensor.offset(index);
    out.insert(out.end(), from, from + element);
  });
  return out;
}

struct Case {
  Extents shape;
  Extents start;
  Extents extent;
};

Case random_case(rlhf::CounterRandom const& random, std::uint64_t& at) {
  Case out;
  int const rank = static_cast<int>(random.below(at++, 5));
  for (int d = 0; d < rank; ++d) {
    std::int64_t const size = 1 + random.below(at++, 5);
    std::int64_t const start =
        random.below(at++, 3) == 0 ? random.below(at++, static_cast<std::uint32_t>(size)) : 0;
    std::int64_t const most = size - start;
    std::int64_t const extent = random.below(at++, 2) == 0
                                    ? most
                                    : 1 + random.below(at++, static_cast<std::uint32_t>(most));
    out.shape.push_back(size);
    out.start.push_back(start);
    out.extent.push_back(extent);
  }
  return out;
}

constexpr rlhf::DType dtypes[] = {rlhf::DType::u8, rlhf::DType::bf16, rlhf::DType::f32,
                                  rlhf::DType::f64};

}  // namespace

TEST_CASE("packing a box gives its elements in row-major order, unpacking puts them back") {
  rlhf::CounterRandom const random(5, 0);
  std::uint64_t at = 0;
  Packer packer;
  int wrong_pack = 0;
  int wrong_unpack = 0;
  for (int round = 0; round < 1500; ++round) {
    Case const box = random_case(random, at);
    Strided tensor = random_tensor(random, at, dtypes[round % 4], box.shape);
    std::vector<std::byte> const want = expected(tensor, box.start, box.extent);
    Region const region = rlhf::region_of(tensor.view, box.start, box.extent);
    Packer::Table const table = packer.prepare(std::vector<Region>{region});
    std::vector<std::byte> packed(want.size() + 1, std::byte{0xee});
    packer.pack(table, packed.data());
    wrong_pack += region.bytes() == static_cast<std::int64_t>(want.size()) &&
                          std::memcmp(packed.data(), want.data(), want.size()) == 0 &&
                          packed.back() == std::byte{0xee}
                      ? 0
                      : 1;
    // Other bytes, back into the tensor: only the box changes.
    std::vector<std::byte> after = tensor.memory;
    std::vector<std::byte> fresh(want.size());
    for (std::size_t i = 0; i < fresh.size(); ++i) {
      fresh[i] = static_cast<std::byte>(i * 7 + 1);
    }
    std::size_t next = 0;
    auto const element = static_cast<std::size_t>(rlhf::size_of(tensor.view.dtype));
    for_each_index(box.start, box.extent, [&](Extents const& index) {
      std::memcpy(after.data() + tensor.offset(index), fresh.data() + next, element);
      next += element;
    });
    packer.unpack(table, fresh.data());
    wrong_unpack += tensor.memory == after ? 0 : 1;
  }
  CHECK(wrong_pack == 0);
  CHECK(wrong_unpack == 0);
}

TEST_CASE("copying a region to another that is cut into runs differently") {
  rlhf::CounterRandom const random(6, 0);
  std::uint64_t at = 0;
  Packer packer;
  int wrong = 0;
  int differ = 0;
  for (int round = 0; round < 1500; ++round) {
    Case const box = random_case(random, at);
    Strided const source = random_tensor(random, at, dtypes[round % 4], box.shape);
    Strided target = random_tensor(random, at, dtypes[round % 4], box.extent);
    Extents const origin = Extents::filled(box.extent.rank(), 0);
    Region const from = rlhf::region_of(source.view, box.start, box.extent);
    Region const to = rlhf::region_of(target.view, origin, box.extent);
    differ += from.run_bytes != to.run_bytes ? 1 : 0;
    packer.copy({from}, {to});
    wrong +=
        expected(target, origin, box.extent) == expected(source, box.start, box.extent) ? 0 : 1;
  }
  CHECK(wrong == 0);
  CHECK(differ > 100);
}

TEST_CASE("what lies together in memory is one run") {
  std::vector<float> memory(60);
  TensorView const tensor = rlhf::view(memory, {3, 4, 5});
  CHECK(rlhf::region_of(tensor, {0, 0, 0}, {3, 4, 5}).contiguous());
  CHECK(rlhf::region_of(tensor, {1, 0, 0}, {2, 4, 5}).contiguous());
  CHECK(rlhf::region_of(tensor, {1, 2, 0}, {1, 2, 5}).contiguous());
  CHECK(rlhf::region_of(tensor, {1, 2, 3}, {1, 1, 2}).contiguous());
  Region const columns = rlhf::region_of(tensor, {0, 0, 1}, {3, 4, 2});
  CHECK_FALSE(columns.contiguous());
  CHECK(columns.run_bytes == 8);
  Region const rows = rlhf::region_of(tensor, {0, 1, 0}, {3, 2, 5});
  CHECK(rows.run_bytes == 40);
  CHECK(rows.data == reinterpret_cast<std::byte*>(memory.data() + 5));
}

TEST_CASE("an empty box is no bytes, wherever it lies") {
  std::vector<float> memory(24, 1.0F);
  TensorView const tensor = rlhf::view(memory, {2, 3, 4});
  Packer packer;
  for (Extents const& extent :
       {Extents{0, 3, 4}, Extents{0, 3, 2}, Extents{2, 0, 2}, Extents{2, 3, 0}}) {
    Region const region = rlhf::region_of(tensor, {0, 0, 0}, extent);
    CHECK(region.bytes() == 0);
    std::vector<std::byte> packed(64, std::byte{0xee});
    packer.pack({region}, packed.data());
    CHECK(packed == std::vector<std::byte>(64, std::byte{0xee}));
    int runs = 0;
    rlhf::for_each_run(region, [&](std::byte const*) { ++runs; });
    CHECK(runs == 0);
  }
}

TEST_CASE("a box outside of its tensor is refused with both") {
  std::vector<float> memory(12);
  TensorView const tensor = rlhf::view(memory, {3, 4});
  for (auto const& [start, extent] : {std::pair<Extents, Extents>{{0, 0}, {4, 4}},
                                      {{-1, 0}, {2, 2}},
                                      {{2, 3}, {1, 2}},
                                      {{0}, {3}},
                                      {{0, 0, 0}, {1, 1, 1}}}) {
    CHECK_THROWS_AS(static_cast<void>(rlhf::region_of(tensor, start, extent)), Error);
  }
  try {
    static_cast<void>(rlhf::region_of(tensor, {0, 2}, {3, 4}));
    FAIL("nothing was thrown");
  } catch (Error const& error) {
    CHECK(std::string(error.what()).find("[0:3, 2:6]") != std::string::npos);
    CHECK(std::string(error.what()).find("(3, 4)") != std::string::npos);
  }
}

TEST_CASE("HostPacker models Packer and allocates what it is asked for") {
  CHECK(rlhf::Packer<Packer>);
  CHECK(Packer{}.allocate(1000).size() == 1000);
}
