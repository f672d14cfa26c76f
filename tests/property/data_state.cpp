// Texts of sampler states that were changed at random: refused, or what was written.
#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/rng.hpp>
#include <rlhf/data/state.hpp>

#include <cstdint>
#include <string>
#include <string_view>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

namespace data = rlhf::data;

namespace {

data::SamplerState state() {
  data::SamplerState out;
  out.consumed = 20;
  out.samples_per_episode = 10;
  out.order = "torch";
  out.dataset_sizes = {5, 9};
  out.ratios = {1, 3};
  out.dataset_fingerprints = {1, 2};
  return out;
}

std::string mutated(std::string text, std::uint64_t seed) {
  rlhf::CounterRandom const random(seed, 3);
  std::uint32_t const changes = 1 + random.below(0, 4);
  constexpr std::string_view palette = "0123456789 =\n-abcdefx";
  for (std::uint32_t i = 0; i < changes && !text.empty(); ++i) {
    std::size_t const at = random.below(4 * i + 1, static_cast<std::uint32_t>(text.size()));
    std::uint32_t const what = random.below(4 * i + 2, 5);
    char const value = palette[random.below(4 * i + 3, palette.size())];
    if (what == 0) {
      text.erase(at, 1 + random.below(4 * i + 4, 10));
    } else if (what == 1) {
      text.insert(at, 1, value);
    } else if (what == 2) {
      text[at] = static_cast<char>(random.bits(4 * i + 4));
    } else if (what == 3) {
      text[at] = value;
    } else {
      text.insert(at, text.substr(text.size() / 2, 12));
    }
  }
  return text;
}

}  // namespace

TEST_CASE("a changed text is refused") {
  std::string const text = data::to_text(state());
  for (std::uint64_t seed = 0; seed < 20'000; ++seed) {
    std::string const changed = mutated(text, seed);
    if (changed != text) {
      CHECK_THROWS_AS(data::parse_sampler_state(changed), rlhf::Error);
    }
  }
}

TEST_CASE("a changed text under a right checksum is refused, or writes itself back") {
  std::string content = data::to_text(state());
  content.resize(content.rfind("checksum"));
  int accepted = 0;
  for (std::uint64_t seed = 0; seed < 40'000; ++seed) {
    std::string changed = mutated(content, seed);
    changed +=
        "checksum = " + data::hex_text(rlhf::Fingerprint().add(std::string_view(changed)).value()) +
        "\n";
    try {
      data::SamplerState const parsed = data::parse_sampler_state(changed);
      CHECK(data::to_text(parsed) == changed);
      ++accepted;
    } catch (rlhf::Error const&) {
    }
  }
  CHECK(accepted > 100);
}
