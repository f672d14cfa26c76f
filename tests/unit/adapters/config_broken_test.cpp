#include <cstddef>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <unit/adapters/config_files.hpp>

namespace {

struct Case {
  std::string title{};
  config_files::Texts texts{};
  std::vector<std::string> said{};
};

std::vector<Case> read_cases(std::string const& path) {
  std::vector<Case> cases;
  std::ifstream file(path);
  std::string line;
  std::string name;
  while (std::getline(file, line)) {
    if (line.starts_with("=== ")) {
      cases.push_back({line.substr(4), {}, {}});
      name = "run.json";
      cases.back().texts.files[name] = "";
    } else if (cases.empty()) {
      continue;  // the head of the file
    } else if (line.starts_with("> ")) {
      cases.back().said.push_back(line.substr(2));
    } else if (line.starts_with("@set ")) {
      cases.back().texts.options.push_back(line.substr(5));
    } else if (line.starts_with("@env ")) {
      std::size_t const equals = line.find('=');
      cases.back().texts.variables[line.substr(5, equals - 5)] = line.substr(equals + 1);
    } else if (line.starts_with("--- ")) {
      name = line.substr(4);
    } else if (cases.back().said.empty()) {
      std::string& content = cases.back().texts.files[name];
      content += content.empty() && line.empty() ? "" : line + "\n";
    }
  }
  return cases;
}

}  // namespace

TEST_CASE("broken configurations are refused, each with what is wrong and where") {
  std::vector<Case> const cases =
      read_cases(RLHF_TEST_DATA_DIR "/../unit/adapters/data/broken_configs.txt");
  CHECK(cases.size() >= 200);
  for (Case const& one : cases) {
    std::string const message = one.texts.refusal();
    INFO(one.title << ": " << message);
    CHECK(message.starts_with("config "));
    CHECK_FALSE(one.said.empty());
    for (std::string const& words : one.said) {
      INFO("must contain: " << words);
      CHECK(message.find(words) != std::string::npos);
    }
  }
}
