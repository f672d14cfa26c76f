#include <rlhf/tensor/convert.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

using rlhf::BFloat16;
using rlhf::Float16;

namespace {

/// A 16-bit float by its definition, in double, which holds all of them exactly.
double value_of(std::uint16_t bits, int exponent_bits) {
  int const mantissa_bits = 15 - exponent_bits;
  int const bias = (1 << (exponent_bits - 1)) - 1;
  int const exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  int const mantissa = bits & ((1 << mantissa_bits) - 1);
  double const sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  return exponent == 0
             ? sign * std::ldexp(mantissa, 1 - bias - mantissa_bits)
             : sign * std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

/// Nearest value of the format to a finite float, ties to the even pattern, by search.
std::uint16_t nearest(float wanted, int exponent_bits) {
  auto const infinity =
      static_cast<std::uint16_t>(((1 << exponent_bits) - 1) << (15 - exponent_bits));
  double const magnitude = std::fabs(static_cast<double>(wanted));
  std::uint16_t low = 0;  // the largest pattern not above the magnitude
  std::uint16_t high = infinity;
  while (high - low > 1) {
    auto const middle = static_cast<std::uint16_t>((low + high) / 2);
    (value_of(middle, exponent_bits) <= magnitude ? low : high) = middle;
  }
  // Infinity stands where the next larger value would be.
  double const below = value_of(low, exponent_bits);
  double const above =
      high == infinity ? 2 * below - value_of(static_cast<std::uint16_t>(low - 1), exponent_bits)
                       : value_of(high, exponent_bits);
  std::uint16_t result = magnitude - below < above - magnitude ? low : high;
  if (magnitude - below == above - magnitude) {
    result = low % 2 == 0 ? low : high;
  }
  return static_cast<std::uint16_t>(result | (std::signbit(wanted) ? 0x8000 : 0));
}

/// Floats around everything that matters: every 16-bit value, the middle between neighbours (ties)
/// and the floats next to those.
std::vector<float> interesting(int exponent_bits) {
  std::vector<float> out;
  auto const infinity =
      static_cast<std::uint16_t>(((1 << exponent_bits) - 1) << (15 - exponent_bits));
  for (std::uint16_t bits = 0; bits + 1 < infinity; ++bits) {
    double const a = value_of(bits, exponent_bits);
    double const b = value_of(static_cast<std::uint16_t>(bits + 1), exponent_bits);
    for (float const f : {static_cast<float>(a), static_cast<float>((a + b) / 2)}) {
      for (float const g : {std::nextafter(f, 0.0F), f, std::nextafter(f, 1e38F)}) {
        out.push_back(g);
        out.push_back(-g);
      }
    }
  }
  return out;
}

}  // namespace

TEST_CASE("bfloat16 to float and back, all 65536 patterns") {
  int wrong_value = 0;
  int wrong_trip = 0;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    BFloat16 const from{static_cast<std::uint16_t>(bits)};
    float const f = rlhf::to_float(from);
    BFloat16 const back = rlhf::to_bfloat16(f);
    if (std::isnan(value_of(from.bits, 8))) {
      wrong_value += std::isnan(f) ? 0 : 1;
      wrong_trip +=
          std::isnan(rlhf::to_float(back)) && (back.bits >> 15) == (from.bits >> 15) ? 0 : 1;
    } else {
      wrong_value += static_cast<double>(f) == value_of(from.bits, 8) ? 0 : 1;
      wrong_trip += back == from ? 0 : 1;
    }
  }
  CHECK(wrong_value == 0);
  CHECK(wrong_trip == 0);
}

TEST_CASE("half to float and back, all 65536 patterns") {
  int wrong_value = 0;
  int wrong_trip = 0;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    Float16 const from{static_cast<std::uint16_t>(bits)};
    float const f = rlhf::to_float(from);
    Float16 const back = rlhf::to_float16(f);
    if (std::isnan(value_of(from.bits, 5))) {
      wrong_value += std::isnan(f) ? 0 : 1;
      wrong_trip +=
          std::isnan(rlhf::to_float(back)) && (back.bits >> 15) == (from.bits >> 15) ? 0 : 1;
    } else {
      wrong_value += static_cast<double>(f) == value_of(from.bits, 5) ? 0 : 1;
      wrong_trip += back == from ? 0 : 1;
    }
  }
  CHECK(wrong_value == 0);
  CHECK(wrong_trip == 0);
}

TEST_CASE("float to bfloat16 is nearest, ties to even, around every value and every tie") {
  int wrong = 0;
  float first = 0;
  for (float const f : interesting(8)) {
    if (rlhf::to_bfloat16(f).bits != nearest(f, 8) && wrong++ == 0) {
      first = f;
    }
  }
  CAPTURE(first);
  CHECK(wrong == 0);
}

TEST_CASE("float to half is nearest, ties to even, around every value and every tie") {
  int wrong = 0;
  float first = 0;
  for (float const f : interesting(5)) {
    if (rlhf::to_float16(f).bits != nearest(f, 5) && wrong++ == 0) {
      first = f;
    }
  }
  CAPTURE(first);
  CHECK(wrong == 0);
}

TEST_CASE("the edges of the formats") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  CHECK(rlhf::to_float16(65504.0F).bits == 0x7bff);    // the largest
  CHECK(rlhf::to_float16(65519.996F).bits == 0x7bff);  // just below the middle
  CHECK(rlhf::to_float16(65520.0F).bits == 0x7c00);    // tie: to even, which is infinity
  CHECK(rlhf::to_float16(1e30F).bits == 0x7c00);
  CHECK(rlhf::to_float16(-infinity).bits == 0xfc00);
  CHECK(rlhf::to_float16(-0.0F).bits == 0x8000);
  CHECK(rlhf::to_float16(0x1p-25F).bits == 0);  // tie with zero
  CHECK(rlhf::to_float16(0x1.000002p-25F).bits == 1);
  CHECK(rlhf::to_float16(1e-45F).bits == 0);  // a subnormal float
  CHECK(rlhf::to_bfloat16(infinity).bits == 0x7f80);
  CHECK(rlhf::to_bfloat16(std::numeric_limits<float>::max()).bits == 0x7f80);
  CHECK(rlhf::to_bfloat16(-0.0F).bits == 0x8000);
  CHECK(rlhf::to_bfloat16(1.0F).bits == 0x3f80);
  // A NaN whose payload lies in the low half only must not become infinity.
  float const low_payload = std::bit_cast<float>(0x7f800001U);
  CHECK(std::isnan(rlhf::to_float(rlhf::to_bfloat16(low_payload))));
  CHECK(std::isnan(rlhf::to_float(rlhf::to_float16(low_payload))));
  CHECK(std::isnan(rlhf::to_float(rlhf::to_bfloat16(std::bit_cast<float>(0xffffffffU)))));
}
