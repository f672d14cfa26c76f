#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/data/loader_state.hpp>

#include <cstddef>
#include <string>
#include <string_view>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

namespace data = rlhf::data;

namespace {

data::LoaderState state() {
  data::LoaderState out;
  out.sampler.consumed = 96;
  out.sampler.samples_per_episode = 32;
  out.sampler.order = "keyed";
  out.sampler.dataset_sizes = {5, 9};
  out.sampler.ratios = {1, 3};
  out.sampler.dataset_fingerprints = {1, 2};
  out.position = {96, 4, 104, 8};
  return out;
}
std::string resealed(std::string const& from, std::string const& to) {
  std::string text = data::to_text(state());
  text.replace(text.find(from), from.size(), to);
  text.resize(text.rfind("checksum"));
  return text +
         "checksum = " + data::hex_text(rlhf::Fingerprint().add(std::string_view(text)).value()) +
         "\n";
}
void refused(std::string const& from, std::string const& to, char const* words) {
  CHECK_THROWS_WITH_AS(data::parse_loader_state(resealed(from, to), "a/path"),
                       doctest::Contains(words), rlhf::Error);
}

}  // namespace

TEST_CASE("a loader's state reads back from its text") {
  std::string const text = data::to_text(state());
  CHECK(text.starts_with(
      "rlhf-loader-state 1\ntaken = 4\nfirst_id = 104\nshare = 8\nconsumed = 96\n"));
  CHECK(data::parse_loader_state(text) == state());
  data::LoaderState between = state();
  between.position = {96, 0, 0, 0};
  CHECK(data::parse_loader_state(data::to_text(between)) == between);
  between.position.consumed = 64;
  CHECK_THROWS_AS(data::to_text(between), rlhf::Error);
}

TEST_CASE("a state cut or changed anywhere is refused, as damaged") {
  std::string const whole = data::to_text(state());
  auto const code_of = [](std::string const& text) {
    try {
      static_cast<void>(data::parse_loader_state(text));
    } catch (rlhf::Error const& error) {
      return error.code();
    }
    return rlhf::Errc::aborted;
  };
  for (std::size_t i = 0; i < whole.size(); ++i) {
    CHECK(code_of(whole.substr(0, i)) == rlhf::Errc::corrupted);
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      CHECK(code_of(changed) == rlhf::Errc::corrupted);
    }
  }
}

TEST_CASE("values that fit no position are refused even under a right checksum") {
  char const* const words = "a/path: the value of 'taken' is not 0, with a share of 0, or below";
  refused("taken = 4", "taken = 8", words);
  refused("taken = 4", "taken = 0", words);
  refused("share = 8", "share = 4", words);
  refused("taken = 4", "taken = -4", "'taken' is not a number");
  refused("ratios = 1 3", "ratios = 1", "'ratios' is not one number for each dataset");
  refused("rlhf-loader-state 1", "rlhf-loader-state 2",
          "a/path is a rlhf-loader-state of version 2, this program reads versions up to 1");
  refused("rlhf-loader-state 1", "rlhf-sampler-state 2", "this is no rlhf-loader-state");
}
