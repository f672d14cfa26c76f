#include <rlhf/config/check.hpp>
#include <rlhf/config/config.hpp>
#include <rlhf/config/data_policy.hpp>
#include <rlhf/config/read.hpp>
#include <rlhf/config/write.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/data/mixture.hpp>
#include <rlhf/data/sampler.hpp>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

namespace config = rlhf::config;
using config::Config;
using config::LinkPolicy;

namespace {

Config one_model() {
  Config out;
  out.models["policy"].num_gpu = 4;
  return out;
}

/// Visits every setting of a section and of those below it.
template <class Section, class See>
void see_all(See const& see) {
  std::set<std::string> names;
  Section const section{};
  Section::fields(section,
                  [&]<class T>(std::string_view name, T const& member, config::Limits const& limits,
                               std::string_view description) {
                    CHECK(names.insert(std::string(name)).second);
                    see(name, member, limits, description);
                    if constexpr (config::IsSection<T>) {
                      see_all<T>(see);
                    }
                  });
}

}  // namespace

TEST_CASE("every key is named once, says what it is, and has a default that is allowed") {
  int settings = 0;
  auto const see = [&]<class T>(std::string_view name, T const& member,
                                config::Limits const& limits, std::string_view description) {
    CAPTURE(name);
    ++settings;
    CHECK(description.size() > 8);
    CHECK(description.size() < 90);
    if constexpr (config::is_whole<T>) {
      CHECK(member >= limits.least);
      CHECK(member <= limits.most);
      CHECK(limits.least >= -1);  // no setting takes just any number
    } else if constexpr (std::is_same_v<T, double>) {
      CHECK(member >= limits.least_real);
      CHECK(member <= limits.most_real);
    } else if constexpr (std::is_same_v<T, std::string>) {
      CHECK((limits.required || static_cast<std::int64_t>(member.size()) >= limits.least));
    }
  };
  see_all<Config>(see);
  see_all<config::Model>(see);
  see_all<config::Link>(see);
  CHECK(settings > 110);
}

TEST_CASE("values of settings read back what was written, a default too") {
  Config settings = one_model();
  settings.runtime.data_weights = {0.1, 1.0 / 3.0};
  settings.runtime.colocation = {{"policy"}};
  settings.links["w"] = {.source = "a", .destination = "b", .policy = LinkPolicy::experts};
  settings.runtime.train_global_batch_size = 6;
  Config again;
  again.runtime.train_global_batch_size = 2;
  config::Reader<>().section(config::to_value(settings), again, "");
  CHECK(again == settings);
  CHECK(config::fingerprint(again) == config::fingerprint(settings));
}

TEST_CASE("any setting that differs makes another fingerprint") {
  Config const settings = one_model();
  std::set<std::uint64_t> seen = {config::fingerprint(settings)};
  Config other = settings;
  other.runtime.seed = 1;
  CHECK(seen.insert(config::fingerprint(other)).second);
  other = settings;
  other.runtime.train_global_batch_size = 2;  // null means 2, but is not what was written
  CHECK(seen.insert(config::fingerprint(other)).second);
  other = settings;
  other.models["policy"].model_args = config::to_value(config::TimeoutSettings{});
  CHECK(seen.insert(config::fingerprint(other)).second);
  other = settings;
  other.models["value"].num_gpu = 4;
  CHECK(seen.insert(config::fingerprint(other)).second);
  other = settings;
  other.runtime.data_path = {"a", "b"};
  CHECK(seen.insert(config::fingerprint(other)).second);
  other.runtime.data_path = {"ab"};
  CHECK(seen.insert(config::fingerprint(other)).second);
  for (double const weight : {1.0 / 3.0, 1.0 / 3.0 + 0x1p-54}) {
    other.runtime.data_weights = {weight};
    CHECK(seen.insert(config::fingerprint(other)).second);
  }
}

TEST_CASE("configurations made in code are checked like files") {
  Config settings = one_model();
  CHECK_NOTHROW(config::expect_valid(settings));
  settings.models["policy"].tensor_model_parallel_size = 3;
  CHECK_THROWS_WITH_AS(config::expect_valid(settings),
                       doctest::Contains("config: models.policy.num_gpu = 4 does not fit: layout "
                                         "tensor=3"),
                       rlhf::Error);
  settings.runtime.train_global_batch_size = 3;
  CHECK(config::faults_of(settings).size() == 2);  // all of them, in the order of the sections
  CHECK(config::faults_of(settings)[0].path == "runtime.train_global_batch_size");
}

TEST_CASE("links in chains, and links that bring weights once, are right") {
  Config settings;
  for (char const* const name : {"policy", "generator", "copy", "reference", "frozen"}) {
    settings.models[name].num_gpu = 1;
  }
  settings.models["policy"].trainable = true;
  settings.runtime.colocation = {{"policy", "reference"}};
  settings.runtime.max_version_lag = 1;
  settings.links["fresh"] = {.source = "policy", .destination = "generator"};
  settings.links["on"] = {.source = "generator", .destination = "copy"};
  settings.links["first"] = {.source = "policy", .destination = "reference", .frequency = 0};
  CHECK_NOTHROW(config::expect_valid(settings));
  settings.links["of-frozen"] = {
      .source = "frozen", .destination = "reference", .frequency = 0, .only = {"head"}};
  CHECK_NOTHROW(config::expect_valid(settings));
  settings.links["of-frozen"].frequency = 1;
  CHECK_THROWS_WITH_AS(config::expect_valid(settings), doctest::Contains("does not train"),
                       rlhf::Error);
}

TEST_CASE("a name that is not there is answered with the nearest") {
  Config const settings = one_model();
  CHECK(&settings.models.at("policy") == settings.models.find("policy"));
  CHECK_THROWS_WITH_AS(static_cast<void>(settings.models.at("polici")),
                       doctest::Contains("has no \"polici\"; the nearest is \"policy\""),
                       rlhf::Error);
  CHECK_THROWS_WITH_AS(static_cast<void>(settings.links.at("w")),
                       doctest::Contains("there is none at all"), rlhf::Error);
}

TEST_CASE("the run's name is appended to the output directory once") {
  config::OutputSettings settings;
  CHECK(settings.output_path() == "./CHATLEARN");
  settings.output_dir = "/out/run/";
  settings.exp_name = "run";
  CHECK(settings.output_path() == "/out/run");
  settings.output_dir = "/out/rerun";
  CHECK(settings.output_path() == "/out/rerun/run");  // the reference looks anywhere in the text
  settings.output_dir = "/";
  CHECK(settings.output_path() == "/run");
  CHECK(settings.below_output("trace.json") == "/run/trace.json");
  CHECK(settings.below_output("/tmp/trace.json") == "/tmp/trace.json");
  CHECK(settings.below_output("").empty());
}

TEST_CASE("memory settings by themselves and together") {
  config::Model model;
  CHECK_FALSE(model.offloads_weights());
  model.free_memory = true;
  CHECK(model.offloads_weights());
  CHECK_FALSE(model.offloads_optimizer());  // nothing to offload: it does not train
  model.trainable = true;
  CHECK(model.offloads_optimizer());
  CHECK(model.frees_gradients());
}

TEST_CASE("the sampler's options follow from the settings") {
  config::DataSettings settings;
  settings.data_ratio = {3, 1};
  settings.data_rerank = true;
  settings.data_seed = 5;
  settings.consumed_samples = 8;
  rlhf::data::SamplerOptions const options =
      config::sampler_options<>(settings, 16, 4, std::vector<std::int64_t>{10, 20});
  CHECK(options.ratios == std::vector<std::int64_t>{3, 1});
  CHECK(options.repeat == rlhf::data::Repeat::whole_list);
  CHECK(options.repeats == 4);
  CHECK(options.samples_per_episode == 16);
  CHECK(options.seed == 5);
  CHECK(options.consumed == 8);
  CHECK(options.dataset_sizes == std::vector<std::int64_t>{10, 20});
  CHECK_NOTHROW(rlhf::data::check_options(options, rlhf::data::Exhausted::cycle));
}

TEST_CASE("order and end of data choose the policy that draws") {
  using rlhf::data::Exhausted;
  Config settings = one_model();
  settings.runtime.sample_per_episode = 4;
  auto const drawn = [&] {
    std::vector<std::int64_t> out;
    config::visit_data_policy(settings, settings.models.at("policy"), [&]<class Data>(Data) {
      auto sampler = rlhf::data::make_sampler<Data>(config::sampler_options<>(
          settings.runtime, settings.runtime.sample_per_episode, 1, std::vector<std::int64_t>{6}));
      std::vector<rlhf::data::Draw> draws;
      for (int episode = 0; episode < 2; ++episode) {
        sampler.next(0, 1, draws);
        for (rlhf::data::Draw const& draw : draws) {
          out.push_back(draw.index);
        }
      }
    });
    return out;
  };
  settings.runtime.data_order = config::DataOrder::sequential;
  CHECK(drawn() == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 0, 1});
  settings.runtime.data_exhaustion = Exhausted::retain;
  CHECK(drawn() == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5});
  settings.runtime.data_exhaustion = Exhausted::cycle;
  settings.models["policy"].drop_last = true;
  CHECK(drawn() == std::vector<std::int64_t>{0, 1, 2, 3, 0, 1, 2, 3});
  settings.models["policy"].drop_last = false;
  std::set<std::vector<std::int64_t>> orders = {drawn()};
  settings.runtime.data_order = config::DataOrder::torch;
  CHECK(orders.insert(drawn()).second);
  settings.runtime.data_order = config::DataOrder::keyed;
  CHECK(orders.insert(drawn()).second);
  settings.runtime.data_shuffle = false;
  CHECK(drawn() == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 0, 1});
}
