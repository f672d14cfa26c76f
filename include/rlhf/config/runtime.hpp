/// @file
/// The section `runtime` of a configuration. Layer: config.
#pragma once

#include <rlhf/config/checkpoint_settings.hpp>
#include <rlhf/config/data_settings.hpp>
#include <rlhf/config/episode_settings.hpp>
#include <rlhf/config/limits.hpp>
#include <rlhf/config/output_settings.hpp>
#include <rlhf/config/sync_settings.hpp>
#include <rlhf/config/timeout_settings.hpp>

#include <string>
#include <vector>

namespace rlhf::inline v0::config {

/// What holds for the whole run: every argument of the reference's runtime section under its name,
/// and what an engine needs beyond them. One flat section in files, but for `timeouts`.
struct Runtime : EpisodeSettings, DataSettings, CheckpointSettings, SyncSettings, OutputSettings {
  TimeoutSettings timeouts{};

  bool operator==(Runtime const&) const = default;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    EpisodeSettings::fields(self, visit);
    DataSettings::fields(self, visit);
    CheckpointSettings::fields(self, visit);
    SyncSettings::fields(self, visit);
    OutputSettings::fields(self, visit);
    visit("timeouts", self.timeouts, anything(), "deadlines of everything that waits");
  }

  /// Where checkpoints go.
  [[nodiscard]] std::string checkpoint_directory() const {
    return below_output(checkpoint_path.empty() ? "checkpoints" : checkpoint_path);
  }
};

/// The section `runtime_env`: for launchers of programs; nothing in the library acts on it.
struct RuntimeEnv {
  std::vector<std::string> pip{};         ///< Python packages.
  std::vector<std::string> py_modules{};  ///< Python modules.
  std::string working_dir{};              ///< Where the program starts.
  std::string platform{};                 ///< Which kind of cluster.
  std::vector<std::string> excludes{};    ///< Files that are not sent along.

  bool operator==(RuntimeEnv const&) const = default;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("pip", self.pip, at_least(1), "Python packages, for launchers");
    visit("py_modules", self.py_modules, at_least(1), "Python modules, for launchers");
    visit("working_dir", self.working_dir, anything(), "where the program starts, for launchers");
    visit("platform", self.platform, anything(), "kind of cluster, for launchers");
    visit("excludes", self.excludes, at_least(1), "files that are not sent along, for launchers");
  }
};

}  // namespace rlhf::inline v0::config
