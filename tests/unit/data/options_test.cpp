#include <rlhf/core/error.hpp>
#include <rlhf/data/options.hpp>

#include <cstdint>
#include <string>
#include <unordered_set>

#include <doctest/doctest.h>

namespace data = rlhf::data;

namespace {

data::SamplerOptions good() {
  data::SamplerOptions options;
  options.dataset_sizes = {5, 9};
  options.samples_per_episode = 6;
  options.repeats = 2;
  return options;
}

std::string refusal(data::SamplerOptions const& options,
                    data::Exhausted exhausted = data::Exhausted::cycle) {
  try {
    data::check_options(options, exhausted);
  } catch (rlhf::Error const& error) {
    CHECK(error.code() == rlhf::Errc::invalid_argument);
    return error.what();
  }
  return "";
}

template <class Change>
std::string refusal_of(Change change) {
  data::SamplerOptions options = good();
  change(options);
  return refusal(options);
}

}  // namespace

#define CHECK_HAS(message, words) CHECK_MESSAGE((message).find(words) != std::string::npos, message)

TEST_CASE("good options are accepted") {
  CHECK(refusal(good()) == "");
  CHECK(refusal_of([](auto& o) { o.ratios = {0, 3}; }) == "");
  CHECK(refusal_of([](auto& o) { o.consumed = 2; }) == "");
}

TEST_CASE("every wrong option has a message of its own") {
  CHECK_HAS(refusal_of([](auto& o) { o.dataset_sizes.clear(); }), "dataset_sizes must name 1 to");
  CHECK_HAS(refusal_of([](auto& o) { o.dataset_sizes[1] = 0; }), "dataset 1 has size 0");
  CHECK_HAS(refusal_of([](auto& o) { o.dataset_sizes = {INT64_MAX, INT64_MAX}; }), "add up to");
  CHECK_HAS(refusal_of([](auto& o) { o.ratios = {1}; }), "1 ratios for 2 datasets");
  CHECK_HAS(refusal_of([](auto& o) { o.ratios = {1, -1}; }), "ratio of dataset 1 is -1");
  CHECK_HAS(refusal_of([](auto& o) { o.ratios = {0, 0}; }), "all ratios are 0");
  CHECK_HAS(refusal_of([](auto& o) { o.ratios = {INT64_MAX, 1}; }), "the ratios add up to");
  CHECK_HAS(refusal_of([](auto& o) { o.samples_per_episode = 0; }), "samples_per_episode is 0");
  CHECK_HAS(refusal_of([](auto& o) { o.samples_per_episode = -2; }), "samples_per_episode is -2");
  CHECK_HAS(refusal_of([](auto& o) { o.samples_per_episode = INT64_MAX; }), "samples_per_episode");
  CHECK_HAS(refusal_of([](auto& o) { o.repeats = 0; }), "repeats is 0");
  CHECK_HAS(refusal_of([](auto& o) { o.repeats = 4; }), "divide samples_per_episode, which is 6");
  CHECK_HAS(refusal_of([](auto& o) { o.consumed = 3; }), "consumed is 3");
  CHECK_HAS(refusal_of([](auto& o) { o.consumed = -2; }), "consumed is -2");
  CHECK_HAS(refusal_of([](auto& o) { o.dataset_fingerprints = {1}; }),
            "1 fingerprints for 2 datasets");
}

TEST_CASE("weights and schedules are refused stage by stage") {
  auto const refused = [](auto change) {
    data::SamplerOptions options = good();
    change(options);
    try {
      static_cast<void>(data::stages_of(options));
    } catch (rlhf::Error const& error) {
      CHECK(error.code() == rlhf::Errc::invalid_argument);
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(refused([](auto& o) { o.weights = {1, 2}; }) == "");
  CHECK(refused([](auto& o) { o.schedule = {{0, {1, 2}}, {7, {1, 0}}}; }) == "");
  CHECK_HAS(refused([](auto& o) { o.weights = {1}; }), "1 weights for 2 datasets");
  CHECK_HAS(refused([](auto& o) { o.weights = {1, -2}; }), "the weight of dataset 1 is negative");
  CHECK_HAS(refused([](auto& o) { o.schedule = {{1, {1, 2}}}; }), "stage 0 of the schedule begins");
  CHECK_HAS(refused([](auto& o) { o.schedule = {{0, {1, 2}}, {0, {1, 2}}}; }), "stage 1 of the");
  CHECK_HAS(refused([](auto& o) { o.schedule = {{0, {1, 2}}, {INT64_MAX, {1, 2}}}; }), "not above");
  CHECK_HAS(refused([](auto& o) { o.schedule = {{0, {1, 2, 3}}}; }), "3 weights for 2 datasets");
  CHECK_HAS(refused([](auto& o) {
              o.ratios = {1, 1};
              o.weights = {1, 1};
            }),
            "exclude each other");
}

TEST_CASE("drop and retain need one dataset; the reference cycled instead without a word") {
  CHECK_HAS(refusal(good(), data::Exhausted::drop), "Exhausted::drop needs exactly one dataset");
  CHECK_HAS(refusal(good(), data::Exhausted::retain), "Exhausted::retain needs exactly one");
}

TEST_CASE("datasets have seeds of their own, unless they share one") {
  CHECK(data::dataset_seed(7, data::Seeding::shared, 0) == 7);
  CHECK(data::dataset_seed(7, data::Seeding::shared, 9) == 7);
  CHECK(data::dataset_seed(7, data::Seeding::per_dataset, 0) !=
        data::dataset_seed(8, data::Seeding::per_dataset, 0));
  // What TorchOrder uses is the low half of seed + epoch.
  std::unordered_set<std::uint32_t> seen;
  for (std::size_t dataset = 0; dataset < 300; ++dataset) {
    std::uint64_t const seed = data::dataset_seed(7, data::Seeding::per_dataset, dataset);
    for (std::uint64_t epoch = 0; epoch < 1000; ++epoch) {
      seen.insert(static_cast<std::uint32_t>(seed + epoch));
    }
  }
  CHECK(seen.size() == 300 * 1000);
}
