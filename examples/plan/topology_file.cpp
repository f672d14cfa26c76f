#include "topology_file.hpp"

#include <rlhf/adapters/detail/json_text.hpp>
#include <rlhf/core/error.hpp>

#include <cstdint>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "files.hpp"

namespace planner {

rlhf::plan::Topology read_topology(std::string const& path, int world) {
  auto const refuse = [&](std::string_view what) {
    rlhf::fail(rlhf::Errc::invalid_argument, fmt::format("topology file {}: {}", path, what));
  };
  nlohmann::json const file =
      rlhf::adapters::detail::json_of(read_file("topology file", path), "topology file", path);
  if (!file.is_object()) {
    refuse("expected a JSON object such as {\"ranks_per_domain\": 8}");
  }
  auto const speed = [&](nlohmann::json const& value, std::string const& key, double least) {
    if (!value.is_number() || !(value.get<double>() >= least) || !(value.get<double>() <= 1e9)) {
      refuse(fmt::format("{} needs a number from {} to 1e9", key, least));
    }
    return value.get<double>();
  };
  rlhf::plan::Topology out;
  for (auto const& [key, value] : file.items()) {
    if (key == "ranks_per_domain") {
      if (!value.is_number_integer() || value.get<std::int64_t>() < 1 ||
          value.get<std::int64_t>() > 1 << 20) {
        refuse("ranks_per_domain needs a whole number from 1 to 1048576");
      }
      out.domains = rlhf::plan::Topology::of_hosts(world, value.get<int>()).domains;
    } else if (key == "domains") {
      if (!value.is_array() || value.size() < static_cast<std::size_t>(world)) {
        refuse(fmt::format("domains needs a list with the domain of each of the {} ranks", world));
      }
      out.domains.clear();
      for (nlohmann::json const& domain : value) {
        if (!domain.is_number_integer() || domain.get<std::int64_t>() < 0 ||
            domain.get<std::int64_t>() > 1 << 20) {
          refuse("domains needs whole numbers from 0 to 1048576");
        }
        out.domains.push_back(domain.get<int>());
      }
    } else if (key == "fast_gb_per_second") {
      out.fast_bytes_per_second = speed(value, key, 1e-6) * 1e9;
    } else if (key == "slow_gb_per_second") {
      out.slow_bytes_per_second = speed(value, key, 1e-6) * 1e9;
    } else if (key == "call_microseconds") {
      out.call_seconds = speed(value, key, 0) * 1e-6;
    } else {
      refuse(
          fmt::format("unknown key {}; use ranks_per_domain or domains, fast_gb_per_second, "
                      "slow_gb_per_second, call_microseconds",
                      key));
    }
  }
  if (file.contains("domains") && file.contains("ranks_per_domain")) {
    refuse("domains and ranks_per_domain say the same; give one of them");
  }
  return out;
}

}  // namespace planner
