// Any text is a configuration, or refused with an Error; one that is read is written so that it
// reads back equal, its models can be given ranks, and its links options. The text up to the first
// zero byte is the file, what follows up to the next an included one, the rest options.
#include <rlhf/adapters/config_json.hpp>
#include <rlhf/config/config.hpp>
#include <rlhf/config/link_options.hpp>
#include <rlhf/config/rank_plan.hpp>
#include <rlhf/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

namespace adapters = rlhf::adapters;
namespace config = rlhf::config;

namespace {

std::string next_part(std::string& rest) {
  std::size_t const end = rest.find('\0');
  std::string const part = rest.substr(0, end);
  rest = end == std::string::npos ? "" : rest.substr(end + 1);
  return part;
}

config::Config read(std::string const& main, std::string const& included,
                    std::vector<std::string> const& options) {
  auto const files = [&](std::string const& path) { return path == "run.json" ? main : included; };
  auto const environment = [](std::string const& name) {
    return name == "N" ? "3" : static_cast<char const*>(nullptr);
  };
  return adapters::read_config("run.json", files, environment, options);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  std::string rest;
  for (std::size_t i = 0; i < size; ++i) {
    rest.push_back(static_cast<char>(data[i]));
  }
  std::string const main = next_part(rest);
  std::string const included = next_part(rest);
  std::vector<std::string> options;
  while (!rest.empty()) {
    options.push_back(next_part(rest));
  }
  config::Config settings;
  try {
    settings = read(main, included, options);
  } catch (rlhf::Error const&) {
    return 0;
  }
  std::string written;
  try {
    written = adapters::write_config(settings);
  } catch (rlhf::Error const&) {
    return 0;  // an option that is not UTF-8
  }
  if (!(read(written, "", {}) == settings)) {
    std::abort();
  }
  for (auto const& entry : settings.links) {
    static_cast<void>(config::link_options(settings, entry.value));
  }
  int ranks = 0;
  for (auto const& entry : settings.models) {
    ranks += entry.value.ranks() < 4096 ? 0 : 1;
  }
  if (ranks == 0) {
    static_cast<void>(config::rank_plan(settings));
  }
  return 0;
}
