/// @file
/// Datasets mixed by real weights, never a whole item away from them. Layer: data.
#pragma once

#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/data/shares.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace rlhf::inline v0::data {

/// The datasets that the prompts of a run come from, by weights: for every n and every dataset,
/// |items of it among the first n prompts - weight * n| < 1.
///
/// **Rule.** Item j of a dataset of weight w may come at places floor(j / w) to
/// ceil((j + 1) / w) - 1; that is the bound. Of the datasets whose next item may come, the one
/// whose item must come soonest is next, the lower number among equals (earliest deadline first).
///
/// **Any place at once.** Places are cut into blocks of a power of two that is longer than any
/// item's window. At the edge of a block, n, each item whose window has begun at n and not ended is
/// given to one side, in fractions f = weight * n - floor(weight * n) of it: of those that must
/// come within s places, for every s, at least the sum of f of them comes before the edge; of those
/// that could not come earlier than s places before it, at most the sum of f. Both are chains of
/// sets, so whole numbers can satisfy them (the matrix is totally unimodular), and with them every
/// interval of a block has room for the items that belong into it: Hall's condition, under which
/// earliest deadline first fills every place. An edge depends on nothing but n, so a seek computes
/// one and walks from there.
///
/// Cost: seek: block * datasets steps, block being 2 to 4 times 1 / the smallest weight; walk:
/// datasets steps a prompt, no allocation. Memory: twelve numbers a dataset. Integers only, so
/// equal everywhere. Thread safety: one caller. Use it as `Quota`. Source: Baruah, Cohen, Plaxton,
/// Varvel, "Proportionate progress", Algorithmica 15, 1996 (the windows); Balinski, Young, "The
/// quota method of apportionment", 1975.
template <class Late = void>
class BasicQuota {
  template <class T>
  using late = rlhf::detail::late<T, Late>;

 public:
  /// @param shares In units of 1 / `whole_share`, adding up to it; see `shares_of`.
  explicit BasicQuota(std::vector<late<std::int64_t>> const& shares) : streams_(shares.size()) {
    by_deadline_.reserve(shares.size());
    std::int64_t smallest = whole_share;
    for (std::size_t d = 0; d < shares.size(); ++d) {
      streams_[d].share = shares[d];
      if (shares[d] > 0) {
        streams_[d].between = whole_share / shares[d];
        streams_[d].between_rest = whole_share % shares[d];
        smallest = shares[d] < smallest ? shares[d] : smallest;
      }
    }
    while (block_ < whole_share / smallest + 4) {
      block_ *= 2;
    }
    enter(0);
  }

  /// Goes where `position` >= 0 prompts have been drawn.
  void seek(std::int64_t position) {
    if (position < begin_ + at_ || position >= begin_ + block_) {
      enter(position / block_ * block_);
    }
    walk(position - begin_ - at_, [](std::size_t, std::int64_t) {});
  }
  [[nodiscard]] std::int64_t position() const noexcept { return begin_ + at_; }
  /// How many of the prompts so far are of a dataset.
  [[nodiscard]] std::int64_t taken(std::size_t dataset) const noexcept {
    return streams_[dataset].taken;
  }
  /// Prompts between places that a seek can begin at.
  [[nodiscard]] std::int64_t block() const noexcept { return block_; }

  /// Goes on by `count` prompts and calls `run(dataset, n)` for each n >= 1 of them that follow
  /// each other in one dataset.
  template <class Run>
  void walk(std::int64_t count, Run&& run) {
    std::size_t last = 0;
    std::int64_t length = 0;
    for (; count > 0; --count) {
      if (at_ == block_) {
        enter(begin_ + block_);
      }
      std::size_t const next = soonest();
      if (next != last && length > 0) {
        run(last, length);
        length = 0;
      }
      last = next;
      ++length;
      take(streams_[next]);
      ++at_;
    }
    if (length > 0) {
      run(last, length);
    }
  }

 private:
  // NOLINTNEXTLINE(modernize-use-using): nvcc takes no __extension__ before using
  __extension__ typedef unsigned __int128 Wide;

  /// A dataset. Places are counted from the begin of the block.
  struct Stream {
    std::int64_t share = 0;
    std::int64_t between = 0;       // places from the end of a window to the next end, whole ones
    std::int64_t between_rest = 0;  // and the rest, in units of 1 / share
    std::int64_t taken = 0;
    std::int64_t left = 0;      // items up to the end of the block
    std::int64_t release = 0;   // first place at which the next item may come
    std::int64_t deadline = 0;  // first place at which it may not any more
    std::int64_t end = 0;       // of its window, rounded down
    std::int64_t end_rest = 0;
    std::int64_t fraction = 0;  // at the edge that is computed, in units of 1 / whole_share
    std::int64_t before = 0;    // items that come before that edge
    bool is_early = false;      // whether the item that the edge lies in is one of them
    bool begins_early = false;  // the same at the begin of the block
  };

  [[nodiscard]] std::size_t soonest() const {
    std::size_t found = streams_.size();
    std::int64_t deadline = INT64_MAX;
    for (std::size_t d = 0; d < streams_.size(); ++d) {
      Stream const& stream = streams_[d];
      if (stream.release <= at_ && stream.deadline < deadline) {
        deadline = stream.deadline;
        found = d;
      }
    }
    expects(found < streams_.size(), "every place of a mixture must have an item");
    return found;
  }
  void take(Stream& stream) const noexcept {
    ++stream.taken;
    --stream.left;
    stream.release = stream.end;
    stream.end += stream.between;
    stream.end_rest += stream.between_rest;
    if (stream.end_rest >= stream.share) {
      stream.end_rest -= stream.share;
      ++stream.end;
    }
    limit(stream);
  }
  /// Sets when the next item must come, if there is one in this block.
  void limit(Stream& stream) const noexcept {
    stream.deadline = stream.end + (stream.end_rest != 0 ? 1 : 0);
    if (stream.left == 0) {
      stream.release = block_;
    } else if (stream.deadline > block_) {
      stream.deadline = block_;
    }
  }

  /// Begins the block at `begin`, a multiple of `block_`.
  void enter(std::int64_t begin) {
    find_edge(begin);
    for (Stream& stream : streams_) {
      stream.taken = stream.before;
      stream.begins_early = stream.is_early;
      stream.release = 0;
      if (stream.share > 0) {  // the end of the window that the edge lies in, or that begins there
        stream.end = (whole_share - stream.fraction) / stream.share;
        stream.end_rest = (whole_share - stream.fraction) % stream.share;
      }
    }
    find_edge(begin + block_);
    begin_ = begin;
    at_ = 0;
    for (Stream& stream : streams_) {
      stream.left = stream.before - stream.taken;
      if (stream
              .begins_early) {  // that item came before the edge, so the next one is the one after
        ++stream.left;
        --stream.taken;
        take(stream);
      } else {
        limit(stream);
      }
    }
  }

  /// Sets how many items of each dataset come before place `n`.
  void find_edge(std::int64_t n) {
    by_deadline_.clear();
    for (std::size_t d = 0; d < streams_.size(); ++d) {
      Stream& stream = streams_[d];
      Wide const exact = static_cast<Wide>(stream.share) * static_cast<Wide>(n);
      stream.before = static_cast<std::int64_t>(exact / static_cast<Wide>(whole_share));
      stream.fraction = static_cast<std::int64_t>(exact % static_cast<Wide>(whole_share));
      stream.is_early = false;
      if (stream.fraction > 0) {
        by_deadline_.push_back(d);
      }
    }
    for (std::size_t i = 1; i < by_deadline_.size(); ++i) {  // sorts in place
      for (std::size_t j = i; j > 0 && ends_before(by_deadline_[j], by_deadline_[j - 1]); --j) {
        std::swap(by_deadline_[j], by_deadline_[j - 1]);
      }
    }
    Wide wanted = 0;  // fractions of those that must come by then
    Wide given = 0;
    for (std::size_t i = 0; i < by_deadline_.size(); ++i) {
      wanted += static_cast<Wide>(streams_[by_deadline_[i]].fraction);
      for (; given < wanted; given += static_cast<Wide>(whole_share)) {
        std::size_t oldest = by_deadline_.size();  // of those to i that is not given yet
        for (std::size_t j = 0; j <= i; ++j) {
          if (!streams_[by_deadline_[j]].is_early &&
              (oldest == by_deadline_.size() ||
               began_before(by_deadline_[j], by_deadline_[oldest]))) {
            oldest = j;
          }
        }
        streams_[by_deadline_[oldest]].is_early = true;
        ++streams_[by_deadline_[oldest]].before;
      }
    }
  }
  /// Whether the window of dataset a that the edge lies in began before b's.
  [[nodiscard]] bool began_before(std::size_t a, std::size_t b) const noexcept {
    Wide const of_a =
        static_cast<Wide>(streams_[a].fraction) * static_cast<Wide>(streams_[b].share);
    Wide const of_b =
        static_cast<Wide>(streams_[b].fraction) * static_cast<Wide>(streams_[a].share);
    return of_a != of_b ? of_a > of_b : a < b;
  }
  /// Whether it ends before b's.
  [[nodiscard]] bool ends_before(std::size_t a, std::size_t b) const noexcept {
    Wide const of_a = static_cast<Wide>(whole_share - streams_[a].fraction) *
                      static_cast<Wide>(streams_[b].share);
    Wide const of_b = static_cast<Wide>(whole_share - streams_[b].fraction) *
                      static_cast<Wide>(streams_[a].share);
    return of_a != of_b ? of_a < of_b : a < b;
  }

  std::vector<late<Stream>> streams_;
  std::vector<late<std::size_t>> by_deadline_;
  std::int64_t block_ = 64;
  std::int64_t begin_ = 0;  // of the block
  std::int64_t at_ = 0;     // place in it
};

using Quota = BasicQuota<>;

}  // namespace rlhf::inline v0::data
