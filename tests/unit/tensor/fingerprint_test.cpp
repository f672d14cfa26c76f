#include <rlhf/core/rng.hpp>
#include <rlhf/tensor/fingerprint.hpp>

#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using rlhf::Box;
using rlhf::DType;
using rlhf::Extents;
using rlhf::PlacedBox;
using rlhf::Shape;
using rlhf::TensorView;

namespace {

constexpr std::uint64_t key = 77;

template <class T>
PlacedBox placed(std::vector<T>& memory, Box const& box, Shape const& global,
                 std::uint64_t parameter = key) {
  return PlacedBox{rlhf::view(memory, box.extent), Extents::filled(box.rank(), 0), box, global,
                   parameter};
}

/// The part of a global tensor that a box holds, as a tensor of its own.
template <class T>
std::vector<T> slice(std::vector<T> const& global, Shape const& shape, Box const& box) {
  std::vector<T> out;
  for (std::int64_t i = 0; i < box.elements(); ++i) {
    std::int64_t rest = i;
    std::int64_t at = 0;
    std::int64_t stride = 1;
    for (int d = box.rank() - 1; d >= 0; --d) {
      at += (box.start[d] + rest % box.extent[d]) * stride;
      rest /= box.extent[d];
      stride *= shape[d];
    }
    out.push_back(global[static_cast<std::size_t>(at)]);
  }
  return out;
}

template <class T>
std::vector<T> random_elements(std::size_t count, std::uint64_t seed) {
  std::vector<T> out(count);
  rlhf::CounterRandom const random(seed, 1);
  auto* const bytes = reinterpret_cast<unsigned char*>(out.data());
  for (std::size_t i = 0; i < count * sizeof(T); ++i) {
    bytes[i] = static_cast<unsigned char>(random.bits(i));
  }
  return out;
}

}  // namespace

TEST_CASE_TEMPLATE("fingerprints of shards add up to that of the tensor", T, std::uint8_t,
                   rlhf::BFloat16, float, double) {
  Shape const global{6, 5, 4};
  std::vector<T> whole = random_elements<T>(120, 3);
  std::uint64_t const want = rlhf::fingerprint(placed(whole, Box::whole(global), global));
  rlhf::CounterRandom const random(9, 9);
  std::uint64_t at = 0;
  int wrong = 0;
  for (int round = 0; round < 200; ++round) {
    // Cut the tensor at a random place of each dimension into up to eight boxes.
    std::int64_t cut[3];
    for (int d = 0; d < 3; ++d) {
      cut[d] = random.below(at++, static_cast<std::uint32_t>(global[d] + 1));
    }
    std::uint64_t sum = 0;
    for (int part = 0; part < 8; ++part) {
      Box box = Box::whole(global);
      for (int d = 0; d < 3; ++d) {
        bool const upper = (part >> d & 1) != 0;
        box.start[d] = upper ? cut[d] : 0;
        box.extent[d] = upper ? global[d] - cut[d] : cut[d];
      }
      std::vector<T> local = box.empty() ? std::vector<T>{} : slice(whole, global, box);
      sum += rlhf::fingerprint(placed(local, box, global));
    }
    wrong += sum == want ? 0 : 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("it does not matter how the rank lays its part out") {
  Shape const global{4, 6};
  std::vector<float> whole = random_elements<float>(24, 4);
  Box const box{{1, 2}, {2, 3}};
  std::vector<float> packed = slice(whole, global, box);
  // The same box inside the whole tensor, and column by column.
  PlacedBox const inside{rlhf::view(whole, global), {1, 2}, box, global, key};
  std::vector<float> turned(6);
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      turned[j * 2 + i] = packed[i * 3 + j];
    }
  }
  TensorView columns = rlhf::view(turned, {2, 3});
  columns.strides = {1, 2};
  PlacedBox const by_column{columns, {0, 0}, box, global, key};
  std::uint64_t const want = rlhf::fingerprint(placed(packed, box, global));
  CHECK(rlhf::fingerprint(inside) == want);
  CHECK(rlhf::fingerprint(by_column) == want);
}

TEST_CASE("every changed bit, swapped pair and moved box changes it") {
  Shape const global{5, 4};
  std::vector<std::uint16_t> bits(20);
  for (std::size_t i = 0; i < bits.size(); ++i) {
    bits[i] = static_cast<std::uint16_t>(i * 2654435761U >> 7);
  }
  auto const of = [&](std::vector<std::uint16_t> const& values, Box const& box,
                      std::uint64_t parameter = key) {
    std::vector<rlhf::BFloat16> memory;
    for (std::uint16_t const value : values) {
      memory.push_back({value});
    }
    return rlhf::fingerprint(placed(memory, box, global, parameter));
  };
  Box const whole = Box::whole(global);
  std::set<std::uint64_t> seen{of(bits, whole)};
  std::size_t variants = 1;
  for (std::size_t i = 0; i < bits.size(); ++i) {
    for (int bit = 0; bit < 16; ++bit) {
      auto changed = bits;
      changed[i] = static_cast<std::uint16_t>(changed[i] ^ (1U << bit));
      seen.insert(of(changed, whole));
      ++variants;
    }
    for (std::size_t j = i + 1; j < bits.size(); ++j) {
      auto changed = bits;
      std::swap(changed[i], changed[j]);
      seen.insert(of(changed, whole));
      ++variants;
    }
  }
  CHECK(seen.size() == variants);
  // The same bytes elsewhere, or of another parameter, or missing.
  std::vector<std::uint16_t> const row(bits.begin(), bits.begin() + 4);
  std::set<std::uint64_t> const rows{of(row, Box{{0, 0}, {1, 4}}), of(row, Box{{1, 0}, {1, 4}}),
                                     of(row, Box{{0, 0}, {1, 4}}, key + 1),
                                     of({row.begin(), row.begin() + 3}, Box{{0, 0}, {1, 3}}), 0};
  CHECK(rows.size() == 5);
}

TEST_CASE("no part of the sum is weak: swaps and double flips change all 16-bit quarters alike") {
  // A quarter that is unchanged more often than one time in 65536 would tell of structure.
  std::uint64_t const trials = 1U << 18;
  rlhf::CounterRandom const random(31, 7);
  std::uint64_t at = 0;
  auto const term = [](std::uint64_t index, std::uint32_t bits) {
    return rlhf::element_fingerprint(rlhf::group_fingerprint(key, index / 8),
                                     static_cast<std::uint32_t>(index % 8), bits);
  };
  int unchanged[2][4] = {};
  for (std::uint64_t trial = 0; trial < trials; ++trial) {
    std::uint64_t const i = random.bits(at++) % (1U << 30);
    std::uint64_t const j = i + 1 + random.bits(at++) % (trial % 2 == 0 ? 7U : 1U << 20);
    std::uint32_t const a = random.bits(at++);
    std::uint32_t const flip = 1U << (31 - trial % 4);  // high bits: the hardest for products
    std::uint64_t const swapped = term(i, a) + term(j, a ^ flip) - term(i, a ^ flip) - term(j, a);
    std::uint32_t const b = random.bits(at++);
    std::uint64_t const flipped = term(i, a) + term(j, b) - term(i, a ^ flip) - term(j, b ^ flip);
    for (int quarter = 0; quarter < 4; ++quarter) {
      unchanged[0][quarter] += (swapped >> 16 * quarter & 0xffffU) == 0 ? 1 : 0;
      unchanged[1][quarter] += (flipped >> 16 * quarter & 0xffffU) == 0 ? 1 : 0;
    }
  }
  for (auto const& kind : unchanged) {
    for (int const count : kind) {
      CHECK(count < 30);  // 4 expected
    }
  }
}

TEST_CASE("scalars and empty boxes") {
  std::vector<float> one{3.0F};
  std::vector<float> other{4.0F};
  CHECK(rlhf::fingerprint(placed(one, Box::whole({}), {})) !=
        rlhf::fingerprint(placed(other, Box::whole({}), {})));
  std::vector<float> none;
  CHECK(rlhf::fingerprint(placed(none, Box{{0, 0}, {0, 4}}, {3, 4})) == 0);
}
