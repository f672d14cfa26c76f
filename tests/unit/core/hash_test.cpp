#include <rlhf/core/hash.hpp>

#include <bit>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

using rlhf::Fingerprint;
using rlhf::mix64;

TEST_CASE("mix64 is the finaliser of SplitMix64") {
  // The generator with state 0: outputs published with its reference implementation.
  std::uint64_t state = 0;
  auto const next = [&] { return mix64(state += 0x9e3779b97f4a7c15ULL); };
  CHECK(next() == 0xe220a8397b1dcdafULL);
  CHECK(next() == 0x6e789e6aa1b965f4ULL);
  CHECK(next() == 0x06c45d188009454fULL);
}

TEST_CASE("flipping any input bit flips about half of the output bits") {
  int least = 64;
  int most = 0;
  for (int bit = 0; bit < 64; ++bit) {
    int flipped = 0;
    for (std::uint64_t x = 1; x <= 64; ++x) {
      std::uint64_t const word = x * 0x9e3779b97f4a7c15ULL;
      flipped += std::popcount(mix64(word) ^ mix64(word ^ (std::uint64_t{1} << bit)));
    }
    least = flipped / 64 < least ? flipped / 64 : least;
    most = flipped / 64 > most ? flipped / 64 : most;
  }
  CHECK(least >= 26);
  CHECK(most <= 38);
}

TEST_CASE("fingerprints depend on every word, their order and their number") {
  auto const of = [](std::vector<std::uint64_t> const& words) {
    Fingerprint print;
    for (std::uint64_t const word : words) {
      print.add(word);
    }
    return print.value();
  };
  std::set<std::uint64_t> const values{of({}),     of({0}),    of({0, 0}),   of({1}),
                                       of({1, 2}), of({2, 1}), of({1, 2, 0})};
  CHECK(values.size() == 7);
  CHECK(of({5, 6}) == of({5, 6}));
}

TEST_CASE("fingerprints of strings know where a string ends") {
  auto const of = [](std::vector<std::string> const& strings) {
    Fingerprint print;
    for (std::string const& string : strings) {
      print.add(std::string_view(string));
    }
    return print.value();
  };
  std::string const zeros(8, '\0');
  std::set<std::uint64_t> const values{of({"ab", "c"}),   of({"a", "bc"}),       of({"abc"}),
                                       of({"abc", ""}),   of({"", "abc"}),       of({""}),
                                       of({zeros}),       of({zeros.substr(1)}), of({"12345678"}),
                                       of({"123456789"}), of({"\xff"}),          of({"\x7f"})};
  CHECK(values.size() == 12);
}

TEST_CASE("fingerprints never change: plans of two programs are compared by them") {
  constexpr std::uint64_t words = Fingerprint{}.add(1).add(2).value();
  constexpr std::uint64_t name = Fingerprint{}.add(std::string_view("layers.0.weight")).value();
  // By hand: state = mix(state + golden + word), value = mix(state).
  std::uint64_t state = 0x6a09e667f3bcc908ULL;
  state = mix64(state + 0x9e3779b97f4a7c15ULL + 1);
  state = mix64(state + 0x9e3779b97f4a7c15ULL + 2);
  CHECK(words == mix64(state));
  CHECK(name != words);
}
