#include <rlhf/adapters/config_json.hpp>
#include <rlhf/adapters/config_schema.hpp>
#include <rlhf/config/config.hpp>

#include <cstddef>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <unit/adapters/config_files.hpp>

namespace config = rlhf::config;
using nlohmann::json;

namespace {

json read_json(std::string const& content) {
  return json::parse(content, nullptr, true, /*ignore_comments=*/true);
}

bool has_type(json const& value, std::string const& type) {
  return (type == "object" && value.is_object()) || (type == "array" && value.is_array()) ||
         (type == "string" && value.is_string()) || (type == "boolean" && value.is_boolean()) ||
         (type == "null" && value.is_null()) || (type == "number" && value.is_number()) ||
         (type == "integer" && value.is_number() &&
          value.get<double>() == static_cast<double>(static_cast<long long>(value.get<double>())));
}

/// Whether a schema of the kind that we write accepts a value: the keywords that occur in it, no
/// others. The only pattern of texts is that of variables, the other one is of names.
bool accepts(json const& schema,
             json const& value) {  // NOLINT(readability-function-cognitive-complexity)
  for (auto const& [keyword, rule] : schema.items()) {
    bool right = true;
    if (keyword == "type") {
      json const types = rule.is_array() ? rule : json::array({rule});
      right = false;
      for (json const& type : types) {
        right = right || has_type(value, type);
      }
    } else if (keyword == "anyOf") {
      right = false;
      for (json const& one : rule) {
        right = right || accepts(one, value);
      }
    } else if (keyword == "enum") {
      right = false;
      for (json const& one : rule) {
        right = right || one == value;
      }
    } else if (keyword == "minimum" && value.is_number()) {
      right = value.get<double>() >= rule.get<double>();
    } else if (keyword == "maximum" && value.is_number()) {
      right = value.get<double>() <= rule.get<double>();
    } else if (keyword == "exclusiveMaximum" && value.is_number()) {
      right = value.get<double>() < rule.get<double>();
    } else if (keyword == "minLength" && value.is_string()) {
      right = value.get<std::string>().size() >= rule.get<std::size_t>();
    } else if (keyword == "pattern" && value.is_string()) {
      std::string const words = value.get<std::string>();
      right = rule == "^[A-Za-z0-9_-]{1,64}$"
                  ? !words.empty() && words.find_first_of(". /") == std::string::npos
                  : words.find("${") != std::string::npos;
    } else if (keyword == "items" && value.is_array()) {
      for (json const& one : value) {
        right = right && accepts(rule, one);
      }
    } else if (keyword == "properties" && value.is_object()) {
      for (auto const& [key, property] : rule.items()) {
        right = right && (!value.contains(key) || accepts(property, value[key]));
      }
    } else if (keyword == "additionalProperties" && value.is_object()) {
      for (auto const& [key, property] : value.items()) {
        bool const known = schema.contains("properties") && schema["properties"].contains(key);
        right = right && (known || (rule.is_object() && accepts(rule, property)));
      }
    } else if (keyword == "propertyNames" && value.is_object()) {
      for (auto const& [key, property] : value.items()) {
        right = right && accepts(rule, json(key));
      }
    } else if (keyword == "required" && value.is_object()) {
      for (json const& key : rule) {
        right = right && value.contains(key.get<std::string>());
      }
    }
    if (!right) {
      return false;
    }
  }
  return true;
}

json const& schema() {
  static json const made = json::parse(rlhf::adapters::config_schema());
  return made;
}
bool accepts(std::string const& content) {
  return accepts(schema(), read_json(content));
}

/// Every keyword of a schema and of those within it.
void expect_keywords(json const& of) {
  for (auto const& [keyword, rule] : of.items()) {
    std::string const word = keyword;  // no lambda may capture a binding
    CAPTURE(word);
    bool known = false;
    for (char const* one :
         {"$schema", "title", "description", "default", "type", "anyOf", "enum", "minimum",
          "maximum", "exclusiveMaximum", "minLength", "pattern", "items", "properties",
          "additionalProperties", "propertyNames", "required"}) {
      known = known || word == one;
    }
    CHECK(known);
    if (keyword == "properties") {
      for (auto const& [key, property] : rule.items()) {
        expect_keywords(property);
      }
    } else if (keyword == "anyOf") {
      for (json const& one : rule) {
        expect_keywords(one);
      }
    } else if (rule.is_object()) {
      expect_keywords(rule);
    }
  }
}

}  // namespace

TEST_CASE("the schema has the keywords that this test understands, and every default passes") {
  CHECK(schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema");
  expect_keywords(schema());
  CHECK(schema()["properties"]["runtime"]["properties"]["num_episode"]["default"] == 5000);
  json const& model = schema()["properties"]["models"]["additionalProperties"];
  CHECK(model["properties"]["lora"]["properties"]["lora_dim"]["default"] == 8);
  for (json const& section : {schema()["properties"]["runtime"], model}) {
    for (auto const& [key, property] : section["properties"].items()) {
      std::string const name = key;
      CAPTURE(name);
      CHECK((!property.contains("default") || accepts(property, property["default"])));
      CHECK(property.contains("description"));
    }
  }
}

TEST_CASE("the schema accepts the examples, and configurations as they are written") {
  std::string const data = RLHF_TEST_DATA_DIR "/../unit/adapters/data/";
  for (char const* const name : {"ppo.json", "base.json"}) {
    std::ifstream file(data + name);
    std::string const content{std::istreambuf_iterator<char>(file), {}};
    CHECK(content.size() > 50);
    CHECK(accepts(content));
  }
  config::Config const example = rlhf::adapters::read_config_file(data + "ppo.json");
  CHECK(accepts(rlhf::adapters::write_config(example)));
  CHECK(accepts(R"({"$schema": "x.json", "runtime": {"num_episode": "${N:3}", "seed": null,
    "data_shuffle": "${S}", "data_path": "a", "colocation": ["a,b", ["c", "d"]], "seed": 1.0}})"));
}

TEST_CASE("the schema refuses what is wrong by itself") {
  CHECK_FALSE(accepts("[]"));
  CHECK_FALSE(accepts(R"({"runtimes": {}})"));
  for (char const* const members :
       {R"("num_episode": 0)", R"("num_episode": "10")", R"("num_episode": 2.5)",
        R"("num_episodes": 3)", R"("data_shuffle": 1)", R"("exp_name": "")",
        R"("log_level": "warn")", R"("data_ratio": [1, -3])", R"("data_ratio": ["1"])",
        R"("data_path": [3])", R"("timeouts": {"sync_ms": 0})", R"("timeouts": 3)",
        R"("colocation": "a,b")", R"("coalesced_buffer_mb": 1e9)"}) {
    CAPTURE(members);
    CHECK_FALSE(accepts(std::string("{\"runtime\": {") + members + "}}"));
  }
  for (char const* const members :
       {R"("trainble": true)", R"("num_gpu": -1)", R"("lora": {"lora_dropout": 1.0})",
        R"("lora": {"lora_layer": ["Linear"]})", R"("model_args": [1])", R"("fsdp_size": -2)"}) {
    CAPTURE(members);
    CHECK_FALSE(accepts(std::string("{\"models\": {\"a\": {") + members + "}}}"));
  }
  CHECK_FALSE(accepts(R"({"models": {"a.b": {}}})"));
  CHECK_FALSE(accepts(R"({"links": {"w": {"source": "a"}}})"));
  CHECK_FALSE(accepts(R"({"links": {"w": {"source": "a", "destination": ""}}})"));
  CHECK(accepts(R"({"links": {"w": {"source": "a", "destination": "b"}}})"));
}
