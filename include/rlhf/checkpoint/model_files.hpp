/// @file
/// One model's files in a checkpoint of the whole run. Layer: checkpoint.
#pragma once

#include <rlhf/checkpoint/manifest.hpp>
#include <rlhf/checkpoint/store.hpp>
#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/data/text_record.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rlhf::inline v0::checkpoint {

/// Where a model writes what it needs to go on: a directory of its own in a checkpoint that is
/// complete only when every model of every rank has written. What `save_checkpoint` gets.
///
/// Names are this rank's own: `weights` becomes `actor/weights.rank-3`.
/// Thread safety: one caller per object. Use it as `FilesToSave`.
template <class Late = void>
class BasicFilesToSave {
 public:
  BasicFilesToSave(BasicStore<Late> const& store, std::int64_t step, std::string model, int rank)
      : store_(&store),
        model_(std::move(model)),
        step_(step),
        rank_(rank) {}

  /// Writes and flushes one file. Errors: those of `Store::write`.
  void write(std::string_view name, std::span<rlhf::detail::late<std::byte, Late> const> bytes) {
    store_->write(step_, text(model_, "/", name, ".rank-", rank_), bytes);
    ++count_;
  }
  /// Files written so far.
  [[nodiscard]] std::int64_t count() const noexcept { return count_; }

 private:
  BasicStore<Late> const* store_;
  std::string model_;
  std::int64_t step_;
  int rank_;
  std::int64_t count_ = 0;
};

/// The same for reading, by the names of writing. What `load_checkpoint` gets. Use it as
/// `FilesToLoad`.
template <class Late = void>
class BasicFilesToLoad {
 public:
  /// @param moved Whether the model lay otherwise, on other ranks or by another layout, when it was
  /// saved. Errors: those of `Store::manifest`, which is read here, once.
  BasicFilesToLoad(BasicStore<Late> const& store, std::int64_t step, std::string model, int rank,
                   bool moved = false)
      : store_(&store),
        files_(store.manifest(step)),
        model_(std::move(model)),
        rank_(rank),
        moved_(moved) {}

  /// Whether the model lay otherwise when it was saved, so that a rank's files are not its own.
  [[nodiscard]] bool moved() const noexcept { return moved_; }

  /// The bytes that this rank wrote. Errors: those of `Store::read`; invalid_argument where the
  /// model has moved, since they may be another part of it.
  [[nodiscard]] std::vector<rlhf::detail::late<std::byte, Late>> read(std::string_view name) const {
    if (moved_) {
      fail(Errc::invalid_argument,
           text("the model ", model_, " lay on other ranks or in another layout when step ",
                files_.step, " was saved, so that the file ", name,
                " of this rank may be another part of it; ",
                "read the ranks' files by read(name, rank), which ones there are say ranks(name), ",
                "or go on with the ranks and the layout as they were"));
    }
    return read(name, rank_);
  }
  /// The bytes that another rank wrote, for a model that is laid out anew.
  [[nodiscard]] std::vector<rlhf::detail::late<std::byte, Late>> read(std::string_view name,
                                                                      int rank) const {
    return store_->read(files_, text(model_, "/", name, ".rank-", rank));
  }
  /// The ranks that wrote such a file, in rising order.
  [[nodiscard]] std::vector<rlhf::detail::late<int, Late>> ranks(std::string_view name) const {
    std::string const begin = text(model_, "/", name, ".rank-");
    std::vector<rlhf::detail::late<int, Late>> found;
    for (auto const& file : files_.files) {
      std::uint64_t rank = 0;
      if (file.name.starts_with(begin) &&
          data::parse_number(std::string_view(file.name).substr(begin.size()), rank) &&
          rank <= INT32_MAX) {
        found.push_back(static_cast<int>(rank));
      }
    }
    rlhf::detail::sort_by(found, [](int a, int b) { return a < b; });
    return found;
  }
  /// Whether this rank wrote such a file.
  [[nodiscard]] bool has(std::string_view name) const {
    return files_.find(text(model_, "/", name, ".rank-", rank_)) != nullptr;
  }

 private:
  BasicStore<Late> const* store_;
  BasicManifest<Late> files_;
  std::string model_;
  int rank_;
  bool moved_;
};

using FilesToSave = BasicFilesToSave<>;
using FilesToLoad = BasicFilesToLoad<>;

}  // namespace rlhf::inline v0::checkpoint
