/// @file
/// Checkpoints as directories that are there as a whole or not at all. Layer: checkpoint.
#pragma once

#include <rlhf/checkpoint/checksum.hpp>
#include <rlhf/checkpoint/detail/step_name.hpp>
#include <rlhf/checkpoint/detail/steps_in.hpp>
#include <rlhf/checkpoint/detail/system.hpp>
#include <rlhf/checkpoint/file.hpp>
#include <rlhf/checkpoint/manifest.hpp>
#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/sort.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::checkpoint {

/// What a commit deleted and set aside. Use it as `Pruned`.
template <class Late = void>
struct BasicPruned {
  std::vector<rlhf::detail::late<std::int64_t, Late>> steps;      ///< Older ones, deleted.
  std::vector<rlhf::detail::late<std::int64_t, Late>> abandoned;  ///< Newer ones, set aside.
  std::string problem;  ///< Empty, or why deleting ended early. The commit itself is done.
};

using Pruned = BasicPruned<>;

/// Checkpoints in one directory, `step-000000012/` each, of files that ranks wrote.
///
///     store.begin(12);                        // one rank
///     barrier();
///     store.write(12, "rank-3", bytes);       // every rank, other names each, all at once
///     barrier();
///     store.commit(12);                       // one rank
///
/// A checkpoint is written as `step-000000012.partial/` and becomes one by a single rename, after
/// everything in it was flushed. Only then are older ones deleted. So whenever the processes are
/// killed or the power fails, the checkpoint that was committed last is there, whole. `latest()`
/// looks at what is there: no marker file can disagree. Steps are committed in the order in which
/// the run comes to them. One below existing ones means that the run went back: the newer ones are
/// then renamed to `step-000000012.abandoned/`, which no longer counts and which nobody deletes,
/// so that `latest()` is always what was committed last. The same step again replaces the old one
/// in one rename. What else lies in the directory is left alone.
///
/// Thread safety: `write`, `latest`, `steps`, `read` from any number of threads and processes, also
/// while one commits; `begin` and `commit` by one, with barriers as above. A step that a commit
/// deletes can be read no more: who reads beside a run that saves needs a `keep` that leaves time.
/// Use it as `Store`.
template <class Late = void>
class BasicStore {
  using Byte = rlhf::detail::late<std::byte, Late>;
  using Number = rlhf::detail::late<std::int64_t, Late>;
  using Manifest = BasicManifest<Late>;
  using ManifestEntry = rlhf::detail::late<checkpoint::ManifestEntry, Late>;

 public:
  /// @param root Created if it is not there.
  /// @param keep How many checkpoints to keep, the newest; 0: all.
  /// Errors: invalid_argument for keep < 0; io.
  BasicStore(std::string root, int keep) : root_(std::move(root)), keep_(keep) {
    expects(!root_.empty(), "the root of a checkpoint store must not be an empty path");
    expects(keep >= 0, "the number of checkpoints to keep must be 0 (all) or more");
    detail::make_directories(root_);
  }

  [[nodiscard]] std::string const& root() const noexcept { return root_; }
  /// Where the files of a complete checkpoint lie.
  [[nodiscard]] std::string directory(std::int64_t step) const {
    return text(root_, "/", detail::step_name(step));
  }

  /// Opens a new checkpoint and throws away what an earlier attempt at this step left behind.
  void begin(std::int64_t step) const {
    std::string const partial = partial_of(step);
    detail::remove_tree<Late>(partial);
    detail::make_directories(partial);
  }

  /// Writes and flushes one file of the checkpoint that was begun.
  ///
  /// @param name Letters, digits, `.`, `_`, `-`; another for every file of the step. One `/` puts
  /// it into a directory, which is made. Errors: invalid_argument for a name that cannot be or was
  /// already written, or where `begin` was not called; io.
  void write(std::int64_t step, std::string_view name, std::span<Byte const> bytes) const {
    check_name(name);
    std::string const path = text(partial_of(step), "/", name);
    ManifestEntry const entry{std::string(name), static_cast<std::int64_t>(bytes.size()),
                              checksum<Late>(bytes)};
    try {
      if (name.find('/') != name.npos) {
        detail::make_directories(detail::parent_of(path), partial_of(step));
      }
      detail::write_new<Late>(path, bytes);
    } catch (Error const& error) {
      if (error.native_code() == EEXIST) {
        fail(Errc::invalid_argument, text("step ", step, " already has a file ", name,
                                          "; every rank and file needs a name of its own"));
      }
      if (error.native_code() == ENOENT) {
        fail(Errc::invalid_argument,
             text("step ", step, " was not begun in ", root_, "; one rank calls begin first"));
      }
      throw;
    }
    // What the manifest will say of it. The checksum is of the memory, not read back.
    detail::write_new<Late>(entry_of(path), as_bytes<Late>(to_text(entry)));
  }

  /// Makes the checkpoint the latest complete one, sets newer ones aside, then deletes what is
  /// older than `keep` allows and what unfinished attempts at earlier steps left behind.
  ///
  /// @param files How many files all ranks wrote together, so that a rank that died before it wrote
  /// any cannot be missed; -1 where that is not known.
  /// Errors: invalid_argument when it was not begun, or a newer program's checkpoint has its place;
  /// corrupted when a file in it was not written to its end, or there are not `files` of them; io.
  /// After an error the older ones are there. The new one is not, except where flushing the root or
  /// setting newer ones aside failed: it may then be there, whole.
  BasicPruned<Late> commit(std::int64_t step, std::int64_t files = -1) const {
    std::string const partial = partial_of(step);
    expect_no_newer(step);
    write_manifest(step, partial, files);
    detail::flush_directory(partial);
    replace(partial, directory(step));
    detail::flush_directory(root_);
    BasicPruned<Late> pruned;
    set_aside(step, pruned);
    prune(step, pruned);
    return pruned;
  }

  /// The newest step that is complete: its manifest is whole and names files that are there with
  /// the right sizes. Others are passed over, but a newer program's is an error, not an excuse to
  /// go back. Where another process commits meanwhile: what was the latest at some moment of the
  /// call. Errors: invalid_argument then; io when the root cannot be read.
  [[nodiscard]] std::optional<Number> latest() const {
    std::vector<Number> const found = detail::steps_in<Late>(root_, detail::Wanted::latest);
    return found.empty() ? std::nullopt : std::optional<Number>(found.back());
  }

  /// Every complete step, in rising order. Errors: io when the root cannot be read.
  [[nodiscard]] std::vector<Number> steps() const {
    return detail::steps_in<Late>(root_, detail::Wanted::all);
  }

  /// The files of a complete step. Errors: invalid_argument when there is no such step; corrupted.
  [[nodiscard]] Manifest manifest(std::int64_t step) const {
    std::string const path = manifest_of(step);
    if (detail::size_of_file(path) < 0) {
      fail(Errc::invalid_argument, text("there is no complete checkpoint of step ", step, " in ",
                                        root_, "; latest() and steps() say which there are"));
    }
    std::vector<Byte> const bytes = read_file<Late>(path);
    Manifest found = parse_manifest<Late>(as_text<Late>({bytes.data(), bytes.size()}), path);
    if (found.step != step) {
      fail(Errc::corrupted, text(path, " is the manifest of step ", found.step, ", not of ", step));
    }
    return found;
  }

  /// The bytes of one file, as they were written.
  ///
  /// Errors: invalid_argument when there is no such step or file; corrupted, naming the file, when
  /// its size or checksum is not that of what was written; io.
  [[nodiscard]] std::vector<Byte> read(std::int64_t step, std::string_view name) const {
    return read(manifest(step), name);
  }
  /// The same for one of several files, with `manifest(step)` read once.
  [[nodiscard]] std::vector<Byte> read(Manifest const& files, std::string_view name) const {
    std::int64_t const step = files.step;
    ManifestEntry const* const entry = files.find(name);
    if (entry == nullptr) {
      fail(Errc::invalid_argument, text("the checkpoint of step ", step, " has no file ", name,
                                        "; it has ", files.names_text()));
    }
    std::string const path = text(directory(step), "/", name);
    if (detail::size_of_file(path) < 0) {
      fail(Errc::corrupted, text(path, " is missing; use another checkpoint"));
    }
    std::vector<Byte> bytes = read_file<Late>(path);
    if (static_cast<std::int64_t>(bytes.size()) != entry->bytes) {
      fail(Errc::corrupted, text(path, " has ", bytes.size(), " bytes, ", entry->bytes,
                                 " were written; use another checkpoint"));
    }
    if (checksum<Late>({bytes.data(), bytes.size()}) != entry->checksum) {
      fail(Errc::corrupted, text(path, " was damaged: its checksum does not fit its content; use ",
                                 "another checkpoint"));
    }
    return bytes;
  }

 private:
  static constexpr std::string_view partial_ending = ".partial";
  static constexpr std::string_view abandoned_ending = ".abandoned";
  static constexpr std::string_view entry_ending = ".entry";

  [[nodiscard]] std::string partial_of(std::int64_t step) const {
    return text(directory(step), partial_ending);
  }
  [[nodiscard]] std::string manifest_of(std::int64_t step) const {
    return text(directory(step), "/MANIFEST");
  }
  /// Where a file's line of the manifest waits for the commit. Not a name that `write` takes.
  [[nodiscard]] static std::string entry_of(std::string const& path) {
    std::size_t const slash = path.rfind('/');
    return text(path.substr(0, slash + 1), ".", path.substr(slash + 1), entry_ending);
  }
  static void check_name(std::string_view name) {
    if (!is_entry_name(name)) {
      fail(Errc::invalid_argument,
           text("'", name, "' cannot be the name of a checkpoint's file; use up to 200 letters, ",
                "digits, '.', '_' and '-', not beginning with '.', and not MANIFEST; one '/' may ",
                "stand behind such a name of a directory"));
    }
  }
  /// Throws what reading the manifest of a step throws when a newer program wrote it.
  void expect_no_newer(std::int64_t step) const {
    std::string problem;
    if (detail::look_at<Late>(root_, step, problem) == detail::Seen::newer_program) {
      fail(Errc::invalid_argument, problem);
    }
  }

  /// Reads a line that `write` left. False unless it is one.
  [[nodiscard]] static bool read_entry(std::string const& path, ManifestEntry& entry) {
    std::vector<Byte> const bytes = read_file<Late>(path);
    return parse_manifest_entry(as_text<Late>({bytes.data(), bytes.size()}), entry);
  }
  /// Collects the lines that `write` left into the manifest.
  void write_manifest(std::int64_t step, std::string const& partial, std::int64_t files) const {
    struct stat status {};
    if (::lstat(partial.c_str(), &status) != 0 && errno == ENOENT) {
      fail(Errc::invalid_argument,
           text("step ", step, " was not begun in ", root_, "; one rank calls begin first"));
    }
    Manifest found{step, {}};
    detail::for_each_directory<Late>(partial, [&](std::string const& directory,
                                                  std::string const& within) {
      for (std::string const& name : detail::names_in<Late>(directory)) {
        std::string const path = text(directory, "/", name);
        if (!is_file_name(name) || (within.empty() && detail::is_directory(path))) {
          continue;
        }
        ManifestEntry entry;
        if (detail::size_of_file(entry_of(path)) < 0 || !read_entry(entry_of(path), entry) ||
            entry.name != text(within, name) || entry.bytes != detail::size_of_file(path)) {
          fail(Errc::corrupted, text(path, " was not written to its end; commit only after every ",
                                     "rank's write has returned"));
        }
        found.files.push_back(entry);
      }
      if (!within.empty()) {
        detail::flush_directory(directory);
      }
    });
    rlhf::detail::sort_by(found.files, [](ManifestEntry const& a, ManifestEntry const& b) {
      return a.name < b.name;
    });
    if (files >= 0 && static_cast<std::int64_t>(found.files.size()) != files) {
      fail(Errc::corrupted, text(partial, " has ", found.files.size(), " files, ", files,
                                 " were expected: ", found.names_text(),
                                 "; commit only after every rank's write has returned"));
    }
    detail::remove_tree<Late>(text(partial, "/MANIFEST"));  // of a commit that failed half-way
    detail::write_new<Late>(text(partial, "/MANIFEST"), as_bytes<Late>(to_text(found)));
  }

  /// Gives `partial` its final name. An earlier checkpoint of that name becomes the partial one.
  static void replace(std::string const& partial, std::string const& final_path) {
    if (::rename(partial.c_str(), final_path.c_str()) == 0) {
      return;
    }
    if (errno != EEXIST && errno != ENOTEMPTY) {
      detail::fail_system(text("rename ", partial, " to"), final_path, errno);
    }
    if (::renameat2(AT_FDCWD, partial.c_str(), AT_FDCWD, final_path.c_str(), RENAME_EXCHANGE) !=
        0) {
      detail::fail_system("exchange the new checkpoint with the earlier one, delete it by hand:",
                          final_path, errno);
    }
  }

  /// Renames checkpoints newer than the step just committed, those of newer programs too. In rising
  /// order: until the last rename, the latest one is what it was.
  void set_aside(std::int64_t step, BasicPruned<Late>& pruned) const {
    for (std::int64_t const other :
         detail::steps_in<Late>(root_, detail::Wanted::newer_programs_too, step)) {
      std::string const aside = text(directory(other), abandoned_ending);
      detail::remove_tree<Late>(aside);  // of an earlier time that the run went back
      detail::rename_path(directory(other), aside);
      detail::flush_directory(root_);
      pruned.abandoned.push_back(other);
    }
  }

  /// Deletes what the step just committed no longer needs, checkpoints older than it beyond
  /// `keep_`, and unfinished ones that are not newer than it.
  void prune(std::int64_t step, BasicPruned<Late>& pruned) const {
    try {
      detail::for_each_directory<Late>(
          directory(step), [](std::string const& folder, std::string const&) {
            for (std::string const& name : detail::names_in<Late>(folder)) {
              if (name[0] == '.' && name.ends_with(entry_ending)) {
                detail::remove_tree<Late>(text(folder, "/", name));
              }
            }
          });
      if (keep_ > 0) {
        std::vector<Number> older;
        for (std::int64_t const other : steps()) {
          if (other < step) {
            older.push_back(other);
          }
        }
        std::size_t const kept = static_cast<std::size_t>(keep_) - 1;
        for (std::size_t i = 0; i + kept < older.size(); ++i) {
          // One rename takes the checkpoint away, so that none is ever there in part.
          detail::remove_tree<Late>(partial_of(older[i]));
          detail::rename_path(directory(older[i]), partial_of(older[i]));
          pruned.steps.push_back(older[i]);
        }
      }
      for (std::string const& name : detail::names_in<Late>(root_)) {
        std::int64_t other = 0;
        if (detail::parse_step(name, partial_ending, other) && other <= step) {
          detail::remove_tree<Late>(text(root_, "/", name));
        }
      }
    } catch (Error const& error) {
      pruned.problem = error.what();
    }
  }

  std::string root_;
  int keep_;
};

using Store = BasicStore<>;

}  // namespace rlhf::inline v0::checkpoint
