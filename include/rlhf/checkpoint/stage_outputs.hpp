/// @file
/// What a model made in an unfinished episode, saved so that a restart does not make it again.
/// Layer: checkpoint.
#pragma once

#include <rlhf/checkpoint/archive.hpp>
#include <rlhf/checkpoint/columns.hpp>
#include <rlhf/checkpoint/detail/system.hpp>
#include <rlhf/checkpoint/file.hpp>
#include <rlhf/checkpoint/manifest.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/data/text_record.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::checkpoint {

/// Whose outputs, and of what.
struct Stage {
  std::string model;  ///< Letters, digits, `.`, `_`, `-`; the stage too if it has several.
  int replica = 0;
  int replicas = 1;
  std::int64_t episode = 0;
  std::int64_t consumed = 0;  ///< `Sampler::consumed()` before the episode.
  std::uint64_t inputs = 0;   ///< Anything else they depend on: weights' version, settings.
};

/// What `StageOutputs::load` found.
struct StageFound {
  bool found = false;
  std::string reason;  ///< Why not: there is no file, or what it holds belongs to something else.

  explicit operator bool() const noexcept { return found; }
};

/// Outputs of stages, a file for each episode, model and replica:
/// `<root>/episode-000000012/<model>-replica-3`.
///
/// A file replaces its predecessor in one rename after it was flushed, and holds what it belongs
/// to, so outputs are there as a whole or not at all, and are taken only for the same episode of
/// the same data by the same replicas. Replicas save when they are ready, without waiting for
/// others. The directory is not that of a `Store`, whose limit does not count or delete what lies
/// here; `prune` does, once a checkpoint behind an episode is committed. (The reference keeps both
/// in one directory and prunes them together, and names them by a counter that a resume computes
/// anew.)
///
/// Thread safety: any number of threads and processes, one for each model and replica.
class StageOutputs {
 public:
  /// @param root Created if it is not there. Errors: io.
  explicit StageOutputs(std::string root) : root_(std::move(root)) {
    expects(!root_.empty(), "the directory of stage outputs must not be an empty path");
    detail::make_directories(root_);
  }

  [[nodiscard]] std::string const& root() const noexcept { return root_; }
  [[nodiscard]] std::string path(Stage const& stage) const {
    check(stage);
    return text(directory(stage.episode), "/", stage.model, "-replica-", stage.replica);
  }

  /// Saves a batch of columns. Errors: invalid_argument for a stage that cannot be; io.
  template <data::ColumnBatch Batch>
  void save(Stage const& stage, Batch const& outputs) const {
    ArchiveWriter archive;
    archive.add("stage", as_bytes(to_text(stage)));
    save_columns(archive, outputs, "column/");
    std::vector<std::byte> const bytes = archive.finish();
    std::string const file = path(stage);
    detail::make_directories(directory(stage.episode));
    write_atomically(file, {bytes.data(), bytes.size()});
  }

  /// Reads what `save` saved for exactly this stage into `outputs`.
  ///
  /// Errors: corrupted for a file that was damaged; invalid_argument for one of a newer version or
  /// of other columns; io. The file stays as it is. `outputs` changes only when it was found.
  template <data::ColumnBatch Batch>
  [[nodiscard]] StageFound load(Stage const& stage, Batch& outputs) const {
    std::string const file = path(stage);
    if (detail::size_of_file(file) < 0) {
      return {false, text(file, " is not there")};
    }
    std::vector<std::byte> const bytes = read_file(file);
    ArchiveReader const archive({bytes.data(), bytes.size()}, file);
    std::string_view const saved = as_text(archive.at("stage").bytes);
    data::TextRecordReader const checked(saved, stage_format, stage_version, file);
    if (saved != to_text(stage)) {
      return {false, text(file, " belongs to something else:\n", saved)};
    }
    Batch loaded;
    load_columns(archive, loaded, "column/");
    outputs = std::move(loaded);
    return {true, {}};
  }

  /// Deletes the outputs of episodes before this one. Called by one process, when a checkpoint that
  /// begins at this episode is committed. Errors: io.
  void prune(std::int64_t episode) const {
    for (std::string const& name : detail::names_in(root_)) {
      std::uint64_t found = 0;
      std::size_t const digits = name.find_first_not_of('0', prefix.size());
      if (!name.starts_with(prefix) || name.size() < prefix.size() + 9 ||
          (digits != name.npos &&
           !data::parse_number(std::string_view(name).substr(digits), found)) ||
          found >= static_cast<std::uint64_t>(episode < 0 ? 0 : episode)) {
        continue;
      }
      detail::remove_tree(text(root_, "/", name));
    }
  }

 private:
  static constexpr std::string_view prefix = "episode-";
  static constexpr std::string_view stage_format = "rlhf-stage";
  static constexpr std::int64_t stage_version = 1;

  static void check(Stage const& stage) {
    expects(is_file_name(stage.model) && stage.model.size() <= 150,
            "the model of a stage must be up to 150 letters, digits, '.', '_' and '-'");
    expects(stage.replica >= 0 && stage.replica < stage.replicas,
            "the replica of a stage must be one of its replicas");
    expects(stage.episode >= 0 && stage.consumed >= 0,
            "the episode and the consumed samples of a stage must not be negative");
  }
  [[nodiscard]] static std::string to_text(Stage const& stage) {
    return data::TextRecordWriter(stage_format, stage_version)
        .field("model", stage.model)
        .field("replica", stage.replica)
        .field("replicas", stage.replicas)
        .field("episode", stage.episode)
        .field("consumed", stage.consumed)
        .field("inputs", data::hex_text(stage.inputs))
        .finish();
  }
  [[nodiscard]] std::string directory(std::int64_t episode) const {
    std::string number = text(episode);
    number.insert(0, number.size() < 9 ? 9 - number.size() : 0, '0');
    return text(root_, "/", prefix, number);
  }

  std::string root_;
};

}  // namespace rlhf::inline v0::checkpoint
