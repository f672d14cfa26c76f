/// @file
/// Directories of checkpoints, and which there are, also while another process commits. Layer:
/// checkpoint, private.
#pragma once

#include <rlhf/checkpoint/detail/step_name.hpp>
#include <rlhf/checkpoint/detail/system.hpp>
#include <rlhf/checkpoint/file.hpp>
#include <rlhf/checkpoint/manifest.hpp>
#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/sort.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::checkpoint::detail {

/// Visits a directory and those in it that can be part of a checkpoint, each with what leads from a
/// file's name there to its entry's: nothing, or `actor/`.
template <class Late, class Visit>
void for_each_directory(std::string const& root, Visit&& visit) {
  visit(root, std::string());
  for (std::string const& name : names_in<Late>(root)) {
    if (is_file_name(name) && is_directory(text(root, "/", name))) {
      visit(text(root, "/", name), text(name, "/"));
    }
  }
}

/// What is under the name of a step; `changed` when it came, went or was replaced meanwhile.
enum class Seen : std::uint8_t { complete, incomplete, newer_program, changed };

/// Whether a step's manifest is whole and its files are there with their sizes. `problem` becomes
/// what reading the manifest of a newer program says.
template <class Late>
[[nodiscard]] Seen look_at(std::string const& root, std::int64_t step, std::string& problem) {
  std::string const path = text(root, "/", step_name(step));
  std::string const list = path + "/MANIFEST";
  struct stat before {};
  struct stat after {};
  if (::lstat(path.c_str(), &before) != 0) {
    return Seen::changed;
  }
  Seen seen = Seen::incomplete;
  try {
    std::vector<rlhf::detail::late<std::byte, Late>> const bytes = read_file<Late>(list);
    BasicManifest<Late> const found =
        parse_manifest<Late>(as_text<Late>({bytes.data(), bytes.size()}), list);
    seen = found.step == step ? Seen::complete : Seen::incomplete;
    for (ManifestEntry const& file : found.files) {
      if (size_of_file(text(path, "/", file.name)) != file.bytes) {
        seen = Seen::incomplete;
      }
    }
  } catch (Error const& error) {
    if (error.code() == Errc::invalid_argument) {
      seen = Seen::newer_program;
      problem = error.message();
    }
  }
  // Renaming and replacing change the time; a new directory has another number, too.
  bool const same = ::lstat(path.c_str(), &after) == 0 && before.st_ino == after.st_ino &&
                    before.st_ctim.tv_sec == after.st_ctim.tv_sec &&
                    before.st_ctim.tv_nsec == after.st_ctim.tv_nsec;
  return same ? seen : Seen::changed;
}

/// Names in a directory that begin like those of steps. Those of steps are in rising order.
template <class Late>
[[nodiscard]] std::vector<rlhf::detail::late<std::string, Late>> step_names_in(
    std::string const& root) {
  std::vector<rlhf::detail::late<std::string, Late>> names;
  for (std::string& name : names_in<Late>(root)) {
    if (name.starts_with("step-")) {
      names.push_back(std::move(name));
    }
  }
  rlhf::detail::sort_by(names, [](std::string const& a, std::string const& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  return names;
}

enum class Wanted : std::uint8_t { latest, all, newer_programs_too };

/// Complete steps above a number in rising order; of `latest` the newest one alone, if any.
///
/// A name that a listing gives may be gone when it is looked at, and one that changes during a
/// listing may be missing from it. So it is done again until nothing changed on the way.
/// Errors: invalid_argument where `latest` would pass over a newer program's; io.
template <class Late>
[[nodiscard]] std::vector<rlhf::detail::late<std::int64_t, Late>> steps_in(
    std::string const& root, Wanted wanted, std::int64_t above = -1) {
  constexpr int most = 1000;
  auto names = step_names_in<Late>(root);
  for (int i = 0; i < most; ++i) {
    std::vector<rlhf::detail::late<std::int64_t, Late>> found;
    bool changed = false;
    for (std::size_t n = names.size(); n-- > 0 && !changed;) {
      std::int64_t step = 0;
      if (!parse_step(names[n], "", step) || step <= above) {
        continue;
      }
      std::string problem;
      Seen const seen = look_at<Late>(root, step, problem);
      changed = seen == Seen::changed;
      if (seen == Seen::newer_program && wanted == Wanted::latest) {
        fail(Errc::invalid_argument, problem);
      }
      if (seen == Seen::complete ||
          (seen == Seen::newer_program && wanted == Wanted::newer_programs_too)) {
        found.push_back(step);
        if (wanted == Wanted::latest) {
          return found;
        }
      }
    }
    auto now = step_names_in<Late>(root);
    if (!changed && now == names) {
      rlhf::detail::sort(found);
      return found;
    }
    names.swap(now);
  }
  fail(Errc::io, text("the checkpoints in ", root, " changed during each of ", most,
                      " looks at them; let one process commit, and not all the time"));
}

}  // namespace rlhf::inline v0::checkpoint::detail
