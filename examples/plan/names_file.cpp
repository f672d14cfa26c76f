#include "names_file.hpp"

#include <rlhf/adapters/detail/json_text.hpp>
#include <rlhf/core/error.hpp>

#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "files.hpp"

namespace planner {

rlhf::plan::NameMap read_names(std::string const& path) {
  nlohmann::json const file =
      rlhf::adapters::detail::json_of(read_file("name file", path), "name file", path);
  std::vector<rlhf::plan::NameRule> rules;
  if (!file.is_array()) {
    rlhf::fail(rlhf::Errc::invalid_argument,
               fmt::format("name file {}: expected a list of [old, new]", path));
  }
  for (std::size_t i = 0; i < file.size(); ++i) {
    auto const& pair = file[i];
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string()) {
      rlhf::fail(rlhf::Errc::invalid_argument,
                 fmt::format("name file {}, rule {}: expected [old, new], two texts", path, i));
    }
    rules.push_back({pair[0].get<std::string>(), pair[1].get<std::string>()});
  }
  try {
    return rlhf::plan::NameMap(std::move(rules));
  } catch (rlhf::Error const& error) {
    rlhf::fail(error.code(), fmt::format("name file {}: {}", path, error.message()));
  }
}

}  // namespace planner
