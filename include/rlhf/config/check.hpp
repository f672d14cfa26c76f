/// @file
/// Whether the settings of a whole configuration fit each other. Layer: config.
#pragma once

#include <rlhf/config/check_links.hpp>
#include <rlhf/config/check_models.hpp>
#include <rlhf/config/check_runtime.hpp>
#include <rlhf/config/config.hpp>
#include <rlhf/config/faults.hpp>
#include <rlhf/config/write.hpp>
#include <rlhf/core/error.hpp>

#include <string>
#include <vector>

namespace rlhf::inline v0::config {

/// All that does not fit; empty for a configuration that a run can begin with. Requires settings
/// that are each in their range, as readers give them.
[[nodiscard]] inline Faults faults_of(Config const& config) {
  Faults out;
  check_runtime(config, out);
  check_models(config, out);
  check_links(config, out);
  return out;
}

/// `models.policy.num_gpu = 3 does not fit: ...`: a fault with the value at its path, if it has
/// one.
[[nodiscard]] inline std::string describe(Fault const& fault, Config const& config) {
  for (Setting const& setting : settings_of(config)) {
    if (setting.path == fault.path && setting.value != "{}") {
      return text(fault.path, " = ", setting.value, " ", fault.message);
    }
  }
  return text(fault.path, " ", fault.message);
}

/// For configurations made in code. Errors: invalid_argument with the first fault.
inline void expect_valid(Config const& config) {
  Faults const faults = faults_of(config);
  if (!faults.empty()) {
    fail(Errc::invalid_argument, text("config: ", describe(faults.front(), config)));
  }
}

}  // namespace rlhf::inline v0::config
