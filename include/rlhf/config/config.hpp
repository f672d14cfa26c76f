/// @file
/// The settings of a run: plain structs, without any file format. Layer: config.
///
/// `adapters/config_json.hpp` reads them from files. What differs from the reference:
///
/// |  | reference | here |
/// |---|---|---|
/// | `"10"` where a number is wanted | becomes 10.0, so whole numbers refuse it | refused: write 10 |
/// | whole number where one with a fraction is wanted | refused | taken |
/// | `1e3`, `10.0` where a whole number is wanted | refused | taken, being whole |
/// | bool for a number, number for a bool | depends on the section | refused |
/// | unknown keys | kept (runtime), dropped (models) | refused, with the nearest known one |
/// | a key twice in one section | the last counts | refused, with both lines |
/// | `${NAME:http://host:80}` | cut at the second colon | all behind the first colon |
/// | `${NAME}`, not set | None and a warning | refused |
/// | `${...}` in lists | left as it is | replaced |
/// | includes that include each other | no end | refused |
/// | `num_replica` | overwritten | compared with what the ranks make |
/// | global batch / micro batch / data parallel | rounded down | must divide |
/// | FSDP with tensor, pipeline, expert | refused | allowed; ZeRO is refused as there |
/// | model file | becomes `model_args`, its parallel sizes win | is the section; what names it wins |
/// | a limit of 0 checkpoints | deletes the new one | keeps all |
///
/// `config::link_options`, `visit_policy`, `visit_data_policy`, `rank_plan` and, of
/// engine/from_config.hpp, `options_of`, `train_options_of`, `stage_options_of` act on settings.
/// What no one of them takes (deadlines, loggers, files of metrics, evaluation prompts, threads of
/// loaders) is for the program, which gives it to the part of the library that it names; a few have
/// no effect here and say so.
#pragma once

#include <rlhf/config/link.hpp>
#include <rlhf/config/model.hpp>
#include <rlhf/config/runtime.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/nearest.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::config {

/// Sections by name, in the order they were written in.
template <class Section>
struct Named {
  struct Entry {
    std::string name{};
    Section value{};

    bool operator==(Entry const&) const = default;
  };

  std::vector<Entry> entries{};

  bool operator==(Named const&) const = default;

  [[nodiscard]] std::size_t size() const noexcept { return entries.size(); }
  [[nodiscard]] bool empty() const noexcept { return entries.empty(); }
  [[nodiscard]] auto begin() const noexcept { return entries.begin(); }
  [[nodiscard]] auto end() const noexcept { return entries.end(); }

  /// Null where there is none of that name.
  [[nodiscard]] Section const* find(std::string_view name) const noexcept {
    for (Entry const& entry : entries) {
      if (entry.name == name) {
        return &entry.value;
      }
    }
    return nullptr;
  }
  /// Errors: invalid_argument that names the nearest there is.
  [[nodiscard]] Section const& at(std::string_view name) const {
    Section const* found = find(name);
    if (found == nullptr) {
      fail(Errc::invalid_argument, text("the configuration has no \"", name, "\"", advice(name)));
    }
    return *found;
  }
  /// The section of that name, made where there is none.
  Section& operator[](std::string_view name) {
    for (Entry& entry : entries) {
      if (entry.name == name) {
        return entry.value;
      }
    }
    return entries.emplace_back(Entry{std::string(name), {}}).value;
  }
  /// `; the nearest is "policy"`, for messages.
  [[nodiscard]] std::string advice(std::string_view name) const {
    std::vector<std::string_view> names;
    for (Entry const& entry : entries) {
      names.push_back(entry.name);
    }
    return names.empty()
               ? "; there is none at all"
               : text("; the nearest is \"", nearest(name, {names.data(), names.size()}), "\"");
  }
};

/// A whole configuration. Read it with `adapters::read_config_file`, or fill it in and call
/// `expect_valid` (config/check.hpp).
struct Config {
  Runtime runtime{};
  Named<Model> models{};
  Named<Link> links{};
  RuntimeEnv runtime_env{};

  bool operator==(Config const&) const = default;

  /// Keys of files that are no settings: a schema for editors, other files.
  static constexpr std::string_view file_keys[] = {"$schema", "includes"};

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("runtime", self.runtime, anything(), "what holds for the whole run");
    visit("models", self.models, anything(), "the modules by name; their order is that of ranks");
    visit("links", self.links, anything(), "which module feeds which with weights, by any name");
    visit("runtime_env", self.runtime_env, anything(), "for launchers of programs");
  }
};

}  // namespace rlhf::inline v0::config
