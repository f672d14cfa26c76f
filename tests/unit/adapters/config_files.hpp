// Configurations of a test: files, variables and options that are only texts.
#pragma once

#include <rlhf/adapters/config_json.hpp>
#include <rlhf/config/config.hpp>
#include <rlhf/core/error.hpp>

#include <map>
#include <string>
#include <vector>

namespace config_files {

struct Texts {
  std::map<std::string, std::string> files{};
  std::map<std::string, std::string> variables{};
  std::vector<std::string> options{};

  [[nodiscard]] rlhf::config::Config read() const {
    auto const file = [this](std::string const& path) {
      auto const found = files.find(path);
      if (found == files.end()) {
        rlhf::fail(rlhf::Errc::io, "no such file");
      }
      return found->second;
    };
    auto const variable = [this](std::string const& name) -> char const* {
      auto const found = variables.find(name);
      return found == variables.end() ? nullptr : found->second.c_str();
    };
    return rlhf::adapters::read_config("run.json", file, variable, options);
  }

  /// What is said of it; empty where it reads.
  [[nodiscard]] std::string refusal() const {
    try {
      static_cast<void>(read());
    } catch (rlhf::Error const& error) {
      return std::string(error.message());
    }
    return "";
  }
};

/// One file, nothing else.
inline Texts one(std::string const& content) {
  return {.files = {{"run.json", content}}};
}

}  // namespace config_files
