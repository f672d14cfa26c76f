/// @file
/// Where a run stands in one dataset, and how it goes on there. Layer: data.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/data/concepts.hpp>

#include <cstdint>
#include <optional>

namespace rlhf::inline v0::data {

/// One dataset as a cursor sees it.
struct CursorOptions {
  std::int64_t size = 0;   ///< Items of the dataset, > 0.
  std::int64_t batch = 1;  ///< Items of one episode, > 0. Only Exhausted::drop looks at it.
  std::uint64_t seed = 0;
  bool shuffle = true;  ///< false: items as they are, whatever the order policy.
};

/// An epoch and an offset into it, over an endless run of epochs.
///
/// Every epoch is a fresh permutation, a pure function of (seed, epoch, size); it is built when the
/// first item of it is taken. `take(k)` ends as `Mode` says:
/// - cycle: always k items, across as many epochs as that takes; an epoch that is used up is left
///   at once, so the offset is below the size.
/// - drop: always k items of one epoch; a rest of fewer than k items is left out.
/// - retain: at most k items of one epoch, never none (unless k is 0). The Python reference
///   gives an empty batch at the end of each epoch whose size is a multiple of k; here the epoch is
///   left as soon as it is used up. All non-empty batches are the same.
///
/// Thread safety: one caller.
template <class Order, Exhausted Mode = Exhausted::cycle>
class Cursor {
 public:
  /// Errors: invalid_argument for a size or batch below 1, or a batch that drop can never fill.
  explicit Cursor(CursorOptions const& options) : options_(options) {
    expects(options.size > 0, "a cursor needs a dataset of at least one item");
    expects(options.batch > 0, "a cursor needs a batch of at least one item");
    if (usable() == 0) {
      fail(Errc::invalid_argument,
           text("a dataset of ", options.size, " items never fills an episode of ", options.batch,
                " prompts, so Exhausted::drop would leave out everything; use Exhausted::cycle or "
                "smaller episodes"));
    }
  }

  /// Items of an epoch that count for `position`: all, or with drop those of whole batches.
  [[nodiscard]] std::int64_t usable() const noexcept {
    return Mode == Exhausted::drop ? options_.size / options_.batch * options_.batch
                                   : options_.size;
  }
  [[nodiscard]] std::int64_t epoch() const noexcept { return epoch_; }
  [[nodiscard]] std::int64_t offset() const noexcept { return offset_; }

  /// How many items a run has taken that stands here. `seek(position())` changes nothing in what
  /// batches of `batch` items follow. With drop, items that were left out do not count.
  [[nodiscard]] std::int64_t position() const noexcept { return position_of(epoch_, offset_); }
  /// Goes where a run stands that has taken `position` >= 0 items. Constant cost.
  void seek(std::int64_t position) noexcept {
    epoch_ = position / usable();
    offset_ = position % usable();
  }

  /// Where a run stands here that stands at an epoch and an offset, as `position()` counts.
  [[nodiscard]] std::int64_t position_of(std::int64_t epoch, std::int64_t offset) const noexcept {
    if (Mode == Exhausted::drop && options_.size - offset < options_.batch) {
      return (epoch + 1) * usable();
    }
    return epoch * usable() + offset;
  }

  /// How many items the next `take(k)` gives.
  [[nodiscard]] std::int64_t available(std::int64_t k) const noexcept {
    return Mode == Exhausted::retain && k > left() ? left() : k;
  }

  /// Calls `sink(index)` for the next items, k or fewer as the mode says, and moves behind them.
  ///
  /// Cost: one order look-up an item; one permutation for each epoch that items are taken from.
  /// Errors: invalid_argument for k < 0, or with drop for k above the size.
  template <class Sink>
  void take(std::int64_t k, Sink&& sink) {
    take_part(k, 0, k < 0 ? k : available(k), sink);
  }

  /// Moves as `take(k)` does, but calls `sink` only for the items begin to end - 1 of what that
  /// gives, and pays only for them. Requires 0 <= begin <= end <= available(k).
  template <class Sink>
  void take_part(std::int64_t k, std::int64_t begin, std::int64_t end, Sink&& sink) {
    expects(k >= 0, "the number of items to take must not be negative");
    if constexpr (Mode == Exhausted::drop) {
      if (k > options_.size) {
        fail(Errc::invalid_argument, text("a batch of ", k, " items of one epoch cannot be taken ",
                                          "from a dataset of ", options_.size, " items"));
      }
      if (k > left()) {
        next_epoch();
      }
      offset_ += begin;
      emit(end - begin, sink);
      offset_ += k - end;
    } else if constexpr (Mode == Exhausted::retain) {
      std::int64_t const all = available(k);
      offset_ += begin;
      emit(end - begin, sink);
      offset_ += all - end;
      leave_used_up();
    } else {
      skip(begin);
      for (std::int64_t wanted = end - begin; wanted > 0;) {
        std::int64_t const now = wanted < left() ? wanted : left();
        emit(now, sink);
        leave_used_up();
        wanted -= now;
      }
      skip(k - end);
    }
  }

 private:
  [[nodiscard]] std::int64_t left() const noexcept { return options_.size - offset_; }
  void next_epoch() noexcept {
    ++epoch_;
    offset_ = 0;
  }
  void leave_used_up() noexcept {
    if (left() == 0) {
      next_epoch();
    }
  }
  void skip(std::int64_t count) noexcept {
    if (count < left()) {
      offset_ += count;
    } else {
      seek(position() + count);
    }
  }
  template <class Sink>
  void emit(std::int64_t count, Sink& sink) {
    std::int64_t const end = offset_ + count;
    if (!options_.shuffle) {
      for (; offset_ < end; ++offset_) {
        sink(offset_);
      }
    } else if (count > 0) {
      if (!permutation_ || built_epoch_ != epoch_) {
        permutation_.reset();  // before the next one is built: both at once would double the memory
        permutation_.emplace(options_.seed, epoch_, options_.size);
        built_epoch_ = epoch_;
      }
      if constexpr (HasFill<Order>) {
        std::int64_t items[Order::Permutation::block];
        while (end - offset_ >= Order::Permutation::block / 8) {
          std::int64_t const most = Order::Permutation::block;
          int const now = static_cast<int>(end - offset_ < most ? end - offset_ : most);
          permutation_->fill(offset_, now, items);
          for (int i = 0; i < now; ++i) {
            sink(items[i]);
          }
          offset_ += now;
        }
      }
      for (; offset_ < end; ++offset_) {
        sink((*permutation_)[offset_]);
      }
    }
  }

  CursorOptions options_;
  std::int64_t epoch_ = 0;
  std::int64_t offset_ = 0;
  std::optional<typename Order::Permutation> permutation_;
  std::int64_t built_epoch_ = 0;
};

}  // namespace rlhf::inline v0::data
