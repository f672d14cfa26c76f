/// @file
/// Configurations from JSON files, and back. Layer: adapters.
///
///     config::Config const run = adapters::read_config_file("run.json", {"runtime.seed=7"});
///
/// A file is one object with the sections of `config::Config`; `//` and `/* */` comments are
/// allowed. What it leaves out, or says null to, has its default.
///
/// - `"includes": ["base.json", ...]`: sections of other files; later ones win over earlier ones,
///   the file that includes over all of them, key by key, as deep as sections go. Lists are
///   replaced. A null takes back what an included file says.
/// - `"model_config_file": "policy.json"` in a model: a file with keys of that section; those that
///   the section gives itself win.
/// - Paths are relative to the main file's directory.
/// - `"${NAME}"`, `"${NAME:default}"` in texts: variables of the environment
/// (config/environment.hpp).
/// - Options `a.b=c` come last: `c` is JSON where the setting wants a number, a bool, a list or a
///   section, a text otherwise; lists may be written `x,y`, null is the default. A program's own
///   keys (`model_args`) are JSON where that is what `c` is.
///
/// Every setting is checked by itself, then against the others. Every error names file (or
/// option), line, path, value and what is accepted. Thread safety: the environment is read, so no
/// thread may change it meanwhile.
#pragma once

#include <rlhf/adapters/detail/config_loader.hpp>
#include <rlhf/adapters/detail/json_values.hpp>
#include <rlhf/checkpoint/file.hpp>
#include <rlhf/config/config.hpp>
#include <rlhf/config/write.hpp>
#include <rlhf/core/error.hpp>

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::adapters {
namespace detail {

struct ReadFromDisk {
  std::string operator()(std::string const& path) const {
    auto const bytes = checkpoint::read_file(path);
    return std::string(checkpoint::as_text({bytes.data(), bytes.size()}));
  }
};

struct ReadEnvironment {
  char const* operator()(std::string const& name) const {
    return std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): documented
  }
};

}  // namespace detail

/// Reads a configuration. `options` are what `--set` gave, `runtime.num_episode=10`.
///
/// Errors: io where a file cannot be read; invalid_argument for all else, as above.
[[nodiscard]] inline config::Config read_config_file(std::string const& path,
                                                     std::vector<std::string> const& options = {}) {
  return detail::ConfigLoader(detail::ReadFromDisk{}, detail::ReadEnvironment{})
      .load(path, options);
}

/// The same with files and variables that need not be there: `files(path)` gives a file's text or
/// throws, `environment(name)` a variable or null.
template <class Files, class Environment>
[[nodiscard]] config::Config read_config(std::string const& path, Files const& files,
                                         Environment const& environment,
                                         std::vector<std::string> const& options = {}) {
  return detail::ConfigLoader(files, environment).load(path, options);
}

/// Any section as JSON with all defaults filled in. Of a whole `Config`: reads back equal.
template <config::IsSection Section>
[[nodiscard]] std::string write_config(Section const& section) {
  return detail::JsonWriter().write(config::to_value(section));
}

/// The values of `--set a.b=c` and `--set=a.b=c` among a program's arguments, which are taken off
/// them; what is left is for the program.
///
/// Errors: invalid_argument where the last argument is `--set`.
[[nodiscard]] inline std::vector<std::string> take_set_options(
    std::vector<std::string>& arguments) {
  std::vector<std::string> options;
  std::vector<std::string> others;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--set") {
      expects(i + 1 < arguments.size(), "--set needs a setting: --set runtime.num_episode=10");
      options.push_back(arguments[++i]);
    } else if (arguments[i].starts_with("--set=")) {
      options.push_back(arguments[i].substr(6));
    } else {
      others.push_back(arguments[i]);
    }
  }
  arguments = others;
  return options;
}

}  // namespace rlhf::inline v0::adapters
