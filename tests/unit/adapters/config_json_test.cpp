#include <rlhf/adapters/config_json.hpp>
#include <rlhf/config/check.hpp>
#include <rlhf/config/config.hpp>
#include <rlhf/config/rank_plan.hpp>
#include <rlhf/config/read.hpp>
#include <rlhf/config/write.hpp>
#include <rlhf/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

#include <property/cases.hpp>
#include <unit/adapters/config_files.hpp>

namespace config = rlhf::config;
using config_files::one;
using config_files::Texts;

namespace {

std::string const examples = RLHF_TEST_DATA_DIR "/../unit/adapters/data/";

/// A minimal configuration with this in its section `runtime`.
Texts runtime(std::string const& members) {
  return one("{\"models\": {\"a\": {\"num_gpu\": 1}}, \"runtime\": {" + members + "}}");
}

/// Any value within the limits of each setting; what they ask of each other is left aside.
class RandomSettings {
 public:
  explicit RandomSettings(std::uint64_t seed) : dice_(seed) {}

  template <class Section>
  void fill(Section& section) {
    Section::fields(section, [this](std::string_view, auto& member, config::Limits const& limits,
                                    std::string_view) { this->set(member, limits); });
  }

 private:
  template <class T>
  void set(T& member, config::Limits const& limits) {
    if constexpr (std::is_same_v<T, bool>) {
      member = dice_.one_in(2);
    } else if constexpr (config::is_whole<T>) {
      std::int64_t const least = limits.least == INT64_MIN ? -1000000 : limits.least;
      std::int64_t const most = limits.most == INT64_MAX ? INT64_MAX / 2 : limits.most;
      auto const range = static_cast<std::uint64_t>(most - least) + 1;
      std::uint64_t const offset =
          dice_.one_in(2) ? dice_.word() % range : dice_.word() % (range < 100 ? range : 100);
      member = static_cast<T>(least + static_cast<std::int64_t>(offset));
    } else if constexpr (std::is_same_v<T, double>) {
      double const part = static_cast<double>(dice_.word() >> 11) * 0x1p-53;
      double const least = limits.least_real < -1e300 ? -1e300 : limits.least_real;
      double const most = limits.most_real > 1e300 ? 1e300 : limits.most_real;
      member = dice_.one_in(3) ? least : least + part * (most / 2 - least / 2);
    } else if constexpr (std::is_same_v<T, std::string>) {
      member = words(limits.least > 0);
    } else if constexpr (config::HasChoices<T>) {
      member = static_cast<T>(
          dice_.between(0, static_cast<int>(std::size(config::Choices<T>::names)) - 1));
    } else if constexpr (config::is_optional<T>) {
      member.reset();
      if (dice_.one_in(2)) {
        typename T::value_type value{};
        set(value, limits);
        member = value;
      }
    } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      member.clear();
      for (int i = dice_.between(0, 3); i > 0; --i) {
        member.push_back(words(true));
      }
    } else if constexpr (config::is_list<T>) {
      member.clear();
      for (int i = dice_.between(0, 3); i > 0; --i) {
        typename T::value_type value{};
        set(value, limits);
        member.push_back(value);
      }
    } else if constexpr (std::is_same_v<T, config::Value>) {
      member = dice_.one_in(3) ? config::Value{} : open_section(2);
    } else if constexpr (config::NamedSections<T>) {
      for (int i = dice_.between(0, 3); i > 0; --i) {
        fill(member["name-" + std::to_string(dice_.between(0, 9))]);
      }
    } else {
      fill(member);
    }
  }

  std::string words(bool some) {
    std::string out = some ? "x" : "";
    for (int i = dice_.between(0, 5); i > 0; --i) {
      out += dice_.pick<std::string>({"a", "/", "${", "$${", "$", "}", "\"", "\\", "\n", "\xc3\xa9",
                                      " ", ",", "[", std::string(1, '\0'), "${HOME}", "10"});
    }
    return out;
  }

  config::Value open_section(int depth) {
    config::Value out;
    out.kind = config::Kind::section;
    for (int i = dice_.between(0, 4); i > 0; --i) {
      config::Value item = open_value(depth);
      item.key = "key" + std::to_string(i);
      out.items.push_back(item);
    }
    return out;
  }
  config::Value open_value(int depth) {
    switch (dice_.between(0, depth > 0 ? 6 : 4)) {
      case 0:
        return config::to_value(dice_.one_in(2));
      case 1:
        return config::to_value(static_cast<std::int64_t>(dice_.word()));
      case 2:
        return config::to_value(static_cast<double>(dice_.word()) / 3e5);
      case 3:
        return config::to_value(words(false));
      case 4:
        return {};
      case 5:
        return open_section(depth - 1);
      default:
        config::Value list;
        list.kind = config::Kind::list;
        list.items = {open_value(depth - 1), open_value(0)};
        return list;
    }
  }

  cases::Dice dice_;
};

/// Reads without asking whether settings fit each other.
config::Config read_settings(std::string const& content) {
  config::Value tree = rlhf::adapters::detail::values_of(content, "run.json");
  auto const nothing = [](std::string const&) -> char const* { return nullptr; };
  config::Substitution<decltype(nothing)>{nothing}(tree);
  config::Config out;
  config::Reader<rlhf::adapters::detail::ParseRaw>().section(tree, out, "");
  return out;
}

}  // namespace

TEST_CASE("a configuration that is written reads back equal") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    config::Config settings;
    RandomSettings(seed).fill(settings);
    std::string const written = rlhf::adapters::write_config(settings);
    config::Config const again = read_settings(written);
    CHECK_MESSAGE(again == settings, written);
    CHECK(config::fingerprint(again) == config::fingerprint(settings));
    CHECK(rlhf::adapters::write_config(again) == written);
    RandomSettings(seed + 1000).fill(settings.runtime);
    CHECK_FALSE(again == settings);
    CHECK(config::fingerprint(again) != config::fingerprint(settings));
  }
}

TEST_CASE("the example reads, and is right again when it was written") {
  config::Config const read = rlhf::adapters::read_config_file(examples + "ppo.json");
  CHECK(read.models.size() == 5);
  CHECK(read.models.at("policy").layout() == rlhf::Layout{.tensor = 4, .data = 0});
  CHECK(read.models.at("reward").model_args.find("hidden_size") != nullptr);
  CHECK(read.runtime.num_episode == 40);
  CHECK(read.links.at("policy").policy == config::LinkPolicy::two_stage);
  config::RankPlan const ranks = config::rank_plan(read);
  CHECK(ranks.ranks == 4);
  std::string const written = rlhf::adapters::write_config(read);
  CHECK(one(written).read() == read);

  // Apart instead of together, by options.
  config::Config const apart = rlhf::adapters::read_config_file(
      examples + "ppo.json", {"runtime.colocation=[[\"policy_trainer\", \"value\"]]",
                              "runtime.max_version_lag=1", "models.policy.num_cpu=8"});
  CHECK(apart.runtime.max_version_lag == 1);
  CHECK(config::rank_plan(apart).ranks == 20);
  CHECK(config::rank_plan(apart).at("policy").layout.data == 2);
}

TEST_CASE("later files win over earlier ones, the including file over all") {
  Texts texts;
  texts.files["run.json"] = R"({"includes": ["a.json", "sub/b.json"],
    "runtime": {"seed": 3, "data_path": "own", "timeouts": {"sync_ms": 30}},
    "models": {"gone": null, "m": {"num_gpu": 4}}})";
  texts.files["a.json"] = R"({"includes": ["c.json"], "runtime": {"num_episode": 1,
    "timeouts": {"sync_ms": 10, "save_ms": 11}, "data_path": ["a", "b"]},
    "models": {"gone": {"num_gpu": 1}, "m": {"num_gpu": 1, "trainable": false, "sync_frequency": 5}}})";
  texts.files["sub/b.json"] =
      R"({"runtime": {"num_episode": 2, "timeouts": {"save_ms": 21}, "seed": 2}})";
  texts.files["c.json"] = R"({"runtime": {"num_episode": 9, "num_training_epoch": 9}})";
  config::Config const read = texts.read();
  CHECK(read.runtime.num_episode == 2);
  CHECK(read.runtime.num_training_epoch == 9);
  CHECK(read.runtime.seed == 3);
  CHECK(read.runtime.timeouts.sync_ms == 30);
  CHECK(read.runtime.timeouts.save_ms == 21);
  CHECK(read.runtime.data_path == std::vector<std::string>{"own"});
  CHECK(read.models.size() == 1);
  CHECK(read.models.at("m").num_gpu == 4);
  CHECK(read.models.at("m").sync_frequency == 5);
}

TEST_CASE("a model's file is its section, and what the section gives itself wins") {
  Texts texts;
  texts.files["run.json"] = R"({"models": {"m": {"model_config_file": "${FILE:m.json}",
    "num_gpu": 8, "model_args": {"lr": 0.5}}}})";
  texts.files["m.json"] = R"({"num_gpu": 2, "tensor_model_parallel_size": 4,
    "model_args": {"lr": 0.1, "layers": 3}})";
  texts.options = {"models.m.tensor_model_parallel_size=2", "models.m.model_args.layers=4"};
  config::Model const model = texts.read().models.at("m");
  CHECK(model.num_gpu == 8);
  CHECK(model.tensor_model_parallel_size == 2);
  REQUIRE(model.model_args.find("lr") != nullptr);
  CHECK(model.model_args.find("lr")->real == 0.5);
  REQUIRE(model.model_args.find("layers") != nullptr);
  CHECK(model.model_args.find("layers")->kind == config::Kind::integer);
  CHECK(model.model_args.find("layers")->integer == 4);
}

TEST_CASE("null is the default, and takes back what an included file says") {
  Texts texts;
  texts.files["run.json"] =
      R"({"includes": "a.json", "runtime": {"seed": null, "train_global_batch_size": null},
          "models": {"m": {"num_gpu": 1}}})";
  texts.files["a.json"] = R"({"runtime": {"seed": 7, "train_global_batch_size": 8}})";
  config::Config const read = texts.read();
  CHECK(read.runtime.seed == 0);
  CHECK_FALSE(read.runtime.train_global_batch_size.has_value());
  CHECK(read.runtime.global_batch() == 2);
}

TEST_CASE("numbers are numbers, whole where they are") {
  CHECK(runtime("\"num_episode\": 1e3").read().runtime.num_episode == 1000);
  CHECK(runtime("\"num_episode\": 10.0").read().runtime.num_episode == 10);
  CHECK(runtime("\"seed\": 9223372036854775807").read().runtime.seed == INT64_MAX);
  CHECK(one(R"({"models": {"a": {"num_gpu": 1, "lora": {"lora_scaling": 2}}}})")
            .read()
            .models.at("a")
            .lora.lora_scaling == 2.0);
  CHECK(runtime("\"exp_name\": \"10\"").read().runtime.exp_name == "10");
}

TEST_CASE("one element stands for a list of it") {
  CHECK(runtime(R"("data_path": "a.jsonl", "data_ratio": 2)").read().runtime.data_ratio ==
        std::vector<std::int64_t>{2});
  Texts groups = one(R"({"runtime": {"colocation": ["a , b", ["c"]]},
    "models": {"a": {"num_gpu": 1}, "b": {"num_gpu": 1}, "c": {"num_gpu": 1}}})");
  CHECK(groups.read().runtime.colocation ==
        std::vector<std::vector<std::string>>{{"a", "b"}, {"c"}});
}

TEST_CASE("variables become what their setting wants") {
  Texts texts = runtime(R"("num_episode": "${N:7}", "output_dir": "${DIR:http://h:80/{x}/o}",
    "exp_name": "${NAME}", "data_shuffle": "${SHUFFLE:false}", "data_path": "${DATA:a,b}",
    "data_ratio": ["${R:2}", 1], "trace_path": "$${N} costs $5", "train_global_batch_size": "${G:null}",
    "log_level": "${LEVEL:debug}", "timeouts": "${T:{\"sync_ms\": 5}}")");
  texts.variables = {{"NAME", "${N}"}, {"G", "8"}, {"DIR2", "unused"}};
  config::Runtime const read = texts.read().runtime;
  CHECK(read.num_episode == 7);
  CHECK(read.output_dir == "http://h:80/{x}/o");
  CHECK(read.exp_name == "${N}");  // not again
  CHECK_FALSE(read.data_shuffle);
  CHECK(read.data_path == std::vector<std::string>{"a", "b"});
  CHECK(read.data_ratio == std::vector<std::int64_t>{2, 1});
  CHECK(read.trace_path == "${N} costs $5");
  CHECK(read.train_global_batch_size == 8);
  CHECK(read.log_level == config::LogLevel::debug);
  CHECK(read.timeouts.sync_ms == 5);
}

TEST_CASE("options come last, and say what they are in errors") {
  Texts texts =
      runtime(R"("seed": 1, "num_episode": 2, "data_path": ["x"], "timeouts": {"sync_ms": 5})");
  texts.options = {"runtime.seed=2",
                   "runtime.data_path=a, b",
                   "runtime.data_weights=[0.25, 0.75]",
                   "runtime.exp_name=10",
                   "runtime.timeouts={\"save_ms\": 6}",
                   "runtime.timeouts.train_ms=7",
                   "runtime.trace_path=a=b",
                   "models.a.lora.enable_lora=true",
                   "runtime.seed=3",
                   "runtime.num_episode=null",
                   "runtime.log_path=null"};
  config::Config const read = texts.read();
  CHECK(read.runtime.seed == 3);
  CHECK(read.runtime.data_path == std::vector<std::string>{"a", "b"});
  CHECK(read.runtime.data_weights == std::vector<double>{0.25, 0.75});
  CHECK(read.runtime.exp_name == "10");
  CHECK(read.runtime.timeouts.save_ms == 6);
  CHECK(read.runtime.timeouts.train_ms == 7);
  CHECK(read.runtime.timeouts.sync_ms == config::TimeoutSettings{}.sync_ms);
  CHECK(read.runtime.trace_path == "a=b");
  CHECK(read.runtime.num_episode == 5000);
  CHECK(read.runtime.log_path == "null");
  CHECK(read.models.at("a").lora.enable_lora);

  std::vector<std::string> arguments = {"run", "--set", "a.b=c", "--fast", "--set=d.e=f"};
  CHECK(rlhf::adapters::take_set_options(arguments) == std::vector<std::string>{"a.b=c", "d.e=f"});
  CHECK(arguments == std::vector<std::string>{"run", "--fast"});
  arguments = {"--set"};
  CHECK_THROWS_AS(rlhf::adapters::take_set_options(arguments), rlhf::Error);
}

TEST_CASE("files that cannot be read are named") {
  CHECK_THROWS_WITH_AS(rlhf::adapters::read_config_file(examples + "none.json"),
                       doctest::Contains("none.json cannot be read"), rlhf::Error);
  CHECK_THROWS_WITH_AS(rlhf::adapters::read_config_file(examples),
                       doctest::Contains("cannot be read"), rlhf::Error);
}

namespace {

struct Optimizer {
  double learning_rate = 1e-3;
  std::optional<std::int64_t> warmup{};

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("learning_rate", self.learning_rate, config::between(0.0, 1.0), "step size");
    visit("warmup", self.warmup, config::at_least(0), "steps of warm-up");
  }
};

}  // namespace

TEST_CASE("a program's own keys are read into its own section, with the same errors") {
  auto const optimizer = [](std::string const& args) {
    config::Config const read =
        one("{\"models\": {\"a\": {\"num_gpu\": 1,\n\"model_args\": " + args + "}}}").read();
    Optimizer out;
    config::read_section(read.models.at("a").model_args, out, "models.a.model_args");
    return out;
  };
  CHECK(optimizer("{\"learning_rate\": 0.5, \"warmup\": \"${W:3}\"}").learning_rate == 0.5);
  CHECK(optimizer("{\"warmup\": \"${W:3}\"}").warmup == 3);
  CHECK(optimizer("null").learning_rate == 1e-3);
  CHECK_THROWS_WITH_AS(optimizer("{\n\"learning_rate\": 5}"),
                       doctest::Contains("config run.json:3: models.a.model_args.learning_rate is "
                                         "5; it must be a number from 0 to 1 (step size)"),
                       rlhf::Error);
  CHECK_THROWS_WITH_AS(
      optimizer("{\"learning_rte\": 5}"),
      doctest::Contains("unknown key \"learning_rte\"; the nearest known one is \"learning_rate\""),
      rlhf::Error);
}
