#include <rlhf/core/error.hpp>
#include <rlhf/data/state.hpp>

#include <string>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

namespace data = rlhf::data;

namespace {

data::SamplerState state() {
  data::SamplerState out;
  out.consumed = 20;
  out.samples_per_episode = 10;
  out.repeats = 2;
  out.repeat = data::Repeat::whole_list;
  out.seed = UINT64_MAX;
  out.order = "torch";
  out.dataset_sizes = {5, 9};
  out.ratios = {1, 3};
  out.dataset_fingerprints = {0x0123456789abcdefULL, 2};
  return out;
}
std::string difference(data::SamplerState const& now, data::AcceptedChanges const& accepted = {}) {
  try {
    data::check_compatible(state(), now, accepted);
  } catch (rlhf::Error const& error) {
    CHECK(error.code() == rlhf::Errc::invalid_argument);
    return error.what();
  }
  return "";
}

}  // namespace

#define CHECK_HAS(message, words) CHECK_MESSAGE((message).find(words) != std::string::npos, message)

TEST_CASE("a state is readable text and reads back") {
  std::string const text = data::to_text(state());
  CHECK(text.starts_with(
      "rlhf-sampler-state 2\nconsumed = 20\nsamples_per_episode = 10\nrepeats = 2\n"
      "shuffle = true\nrepeat = whole_list\nseed = 18446744073709551615\nseeding = per_dataset\n"
      "order = torch\nexhausted = cycle\ndataset_sizes = 5 9\nratios = 1 3\n"
      "stages = 0\nfingerprints = 0123456789abcdef 0000000000000002\nchecksum = "));
  CHECK(data::parse_sampler_state(text) == state());
  data::SamplerState bare = state();
  bare.dataset_fingerprints.clear();
  bare.order.clear();
  bare.shuffle = false;
  bare.exhausted = data::Exhausted::retain;
  bare.seeding = data::Seeding::shared;
  CHECK(data::parse_sampler_state(data::to_text(bare)) == bare);
}

TEST_CASE("weights and schedules are stored as decimals") {
  data::SamplerState weighted = state();
  weighted.ratios.clear();
  weighted.stages = {{0, data::shares_of<void>({7, 3})}, {900, data::shares_of<void>({0, 1})}};
  std::string const text = data::to_text(weighted);
  CHECK_HAS(text,
            "ratios =\nstages = 2\nbegin = 0\nweights = 0.7 0.3\nbegin = 900\nweights = 0 1\n");
  CHECK(data::parse_sampler_state(text) == weighted);
}

TEST_CASE("states of version 1, which had no stages, are still read") {
  std::string text = data::to_text(state());
  text.resize(text.rfind("checksum"));
  text.replace(text.find(" 2\n"), 3, " 1\n");
  text.erase(text.find("stages = 0\n"), 11);
  text += "checksum = " + data::hex_text(rlhf::Fingerprint().add(std::string_view(text)).value()) +
          "\n";
  CHECK(data::parse_sampler_state(text) == state());
}

TEST_CASE("a state cut anywhere is refused") {
  std::string const text = data::to_text(state());
  for (std::size_t size = 0; size < text.size(); ++size) {
    CHECK_THROWS_AS(data::parse_sampler_state(text.substr(0, size)), rlhf::Error);
  }
  CHECK_THROWS_AS(data::parse_sampler_state(text + "\n"), rlhf::Error);
}

TEST_CASE("values that fit no state are refused even under a right checksum") {
  auto const resealed = [](std::string from, std::string to) {
    std::string text = data::to_text(state());
    text.replace(text.find(from), from.size(), to);
    text.resize(text.rfind("checksum"));
    return text +
           "checksum = " + data::hex_text(rlhf::Fingerprint().add(std::string_view(text)).value()) +
           "\n";
  };
  auto const refused = [&](std::string from, std::string to, char const* words) {
    CHECK_THROWS_WITH_AS(data::parse_sampler_state(resealed(from, to), "a/path"),
                         doctest::Contains(words), rlhf::Error);
  };
  refused("shuffle = true", "shuffle = yes", "a/path: the value of 'shuffle' is not true or false");
  refused("repeat = whole_list", "repeat = none", "'repeat' is not one of the known choices");
  refused("ratios = 1 3", "ratios = 1", "'ratios' is not one number for each dataset");
  refused("ratios = 1 3", "ratios = 1  3", "'ratios' is not a list of numbers");
  refused("ratios = 1 3", "ratios = 1 3 ", "'ratios' is not a list of numbers");
  refused("sizes = 5 9", "sizes = 5 x", "'dataset_sizes' is not a list of numbers");
  refused(" 0000000000000002", "", "'fingerprints' is not one number for each dataset");
  refused("seed = 18446744073709551615", "seed = 18446744073709551616", "'seed' is not a number");
  refused("consumed = 20\n", "", "expected the key 'consumed'");
  refused("stages = 0", "stages = 1", "expected the key 'begin'");
  refused("stages = 0", "stages = 1\nbegin = 0\nweights = 0.7 0.3", "'ratios' is not empty");
  refused("stages = 0", "stages = 1\nbegin = 0\nweights = 0.7 0.2",
          "'weights' is not one for each");
  refused("stages = 0", "stages = 1\nbegin = 0\nweights = 1", "that add up to 1");
  refused("stages = 0", "stages = 1\nbegin = 0\nweights = 0.70 0.3", "not a list of numbers");
  refused("stages = 0", "stages = 1\nbegin = 2\nweights = 0.7 0.3",
          "'begin' is not 0 for the first");
  refused("rlhf-sampler-state 2", "rlhf-sampler-state 3", "reads versions up to 2");
  CHECK_NOTHROW(data::parse_sampler_state(resealed("order = torch", "order = other")));
}

TEST_CASE("a run that differs is refused, everything that differs is named") {
  CHECK(difference(state()) == "");
  data::SamplerState now = state();
  now.consumed = 0;
  CHECK(difference(now) == "");
  now.dataset_sizes = {5, 12};
  now.ratios = {2, 3};
  now.dataset_fingerprints = {1, 2};
  now.samples_per_episode = 8;
  now.seed = 1;
  now.order = "sequential";
  std::string const all = difference(now);
  CHECK_HAS(all, "the size of dataset 1 was 9, is 12");
  CHECK_HAS(all, "the ratio of dataset 0 was 1, is 2");
  CHECK_HAS(all,
            "the fingerprint of dataset 0 was 0123456789abcdef, is 0000000000000001 (.contents)");
  CHECK_HAS(all, "samples_per_episode was 10, is 8");
  CHECK_HAS(all, "seed was 18446744073709551615, is 1");
  CHECK_HAS(all, "order was torch, is sequential");
  CHECK_HAS(all, "AcceptedChanges");
  std::string const fewer = difference(now, {.dataset_sizes = true, .ratios = true});
  CHECK(fewer.find("the size of") == std::string::npos);
  CHECK(fewer.find("ratio") == std::string::npos);
  CHECK_HAS(fewer, "samples_per_episode was 10, is 8");
  CHECK(difference(now, {.dataset_sizes = true,
                         .contents = true,
                         .ratios = true,
                         .episode = true,
                         .order = true}) == "");
}

TEST_CASE("other weights are a change of the mixture") {
  data::SamplerState saved = state();
  saved.ratios.clear();
  saved.stages = {{0, data::shares_of<void>({7, 3})}};
  data::SamplerState now = saved;
  now.stages.push_back({50, data::shares_of<void>({1, 0})});
  CHECK_THROWS_WITH_AS(
      data::check_compatible(saved, now),
      doctest::Contains("the weights was from prompt 0: 0.7 0.3, is from prompt 0: 0.7 0.3, from "
                        "prompt 50: 1 0 (.ratios)"),
      rlhf::Error);
  CHECK_NOTHROW(data::check_compatible(saved, now, {.ratios = true}));
  CHECK_THROWS_WITH_AS(data::check_compatible(saved, state()),
                       doctest::Contains("is none (.ratios)"), rlhf::Error);
}

TEST_CASE(
    "fingerprints that a run no longer gives are a change, those that a state lacks are none") {
  data::SamplerState now = state();
  now.dataset_fingerprints.clear();
  CHECK_HAS(difference(now),
            "; the fingerprint of dataset 0 was 0123456789abcdef, is not given (.contents); the "
            "fingerprint of dataset 1 was");
  CHECK(difference(now, {.contents = true}) == "");
  data::SamplerState unknown = state();
  unknown.dataset_fingerprints.clear();
  CHECK_NOTHROW(data::check_compatible(unknown, state()));
}

TEST_CASE("a refusal says what follows from accepting it") {
  data::SamplerState now = state();
  now.seed = 1;
  CHECK_HAS(difference(now), "a number of samples, so items may come again or be left out");
  CHECK(difference(now).find("schedule") == std::string::npos);
  now.ratios = {3, 1};
  CHECK_HAS(difference(now),
            "to change weights without that, add a stage to SamplerOptions::sched");
}

TEST_CASE("another number of datasets is a change of its own") {
  data::SamplerState now = state();
  now.dataset_sizes = {5, 9, 4};
  now.ratios = {1, 3, 1};
  now.dataset_fingerprints.push_back(3);
  CHECK_HAS(difference(now), "the number of datasets was 2, is 3");
  CHECK(difference(now, {.dataset_sizes = true}) == "");
}
