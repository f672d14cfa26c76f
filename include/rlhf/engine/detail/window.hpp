/// @file
/// Rows of several episodes that a trainer goes through together. Layer: engine, private.
#pragma once

#include <rlhf/data/batch.hpp>
#include <rlhf/engine/exchange.hpp>
#include <rlhf/engine/nodes.hpp>

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

namespace rlhf::inline v0::engine::detail {

/// An episode whose rows are kept, and how many they are over all shares.
struct KeptEpisode {
  std::int64_t episode = 0;
  std::int64_t rows = 0;
};

/// The values that a trainer takes, of the newest episodes, oldest first: dealt evenly over the
/// shares as if they were of one episode, so that what is trained on does not depend on ranks.
template <class Inputs>
struct Window;
template <class... Values>
struct Window<Inputs<Values...>> {
  std::vector<KeptEpisode> episodes{};  ///< The same on every rank.
  std::tuple<Values...> kept{};         ///< This share's rows of all of them.
  std::tuple<Exchange<Values>...> from_kept{};
  std::tuple<Exchange<Values>...> from_new{};

  [[nodiscard]] std::int64_t rows() const noexcept {
    std::int64_t sum = 0;
    for (KeptEpisode const& one : episodes) {
      sum += one.rows;
    }
    return sum;
  }

  /// Begins an episode and drops those that `options` no longer keep. On every rank of the world.
  void begin(TrainOptions const& options, KeptEpisode const& added) {
    before_ = rows();
    dropped_ = 0;
    episodes.push_back(added);
    std::size_t first = 0;
    while (first + 1 < episodes.size() && !is_kept(options, first)) {
      dropped_ += episodes[first++].rows;
    }
    episodes.erase(episodes.begin(), episodes.begin() + static_cast<std::ptrdiff_t>(first));
  }
  /// Takes the rows of the episode that was begun, of which `values` are this share's. Collective
  /// over the trainer's ranks. `values` then refer to what is kept.
  template <class C>
  void take(C& world, Shares const& shares, std::tuple<Values const*...>& values) {
    std::int64_t const stay = before_ - dropped_;
    std::int64_t const added = rows() - stay;
    Deal const old_rows{0, stay + added, nullptr, {0, stay}, dropped_};
    Deal const new_rows{0, stay + added, nullptr, {stay, stay + added}, -stay};
    [&, this ]<std::size_t... V>(std::index_sequence<V...>) {
      if (shares.count() == 1) {  // every rank has all rows
        (add_here(std::get<V>(kept), std::get<V>(spare_), *std::get<V>(values)), ...);
      } else {
        (add_value(std::get<V>(kept),
                   std::get<V>(from_kept).run(world, shares, shares, before_, old_rows,
                                              std::get<V>(kept)),
                   std::get<V>(from_new).run(world, shares, shares, added, new_rows,
                                             *std::get<V>(values))),
         ...);
      }
      ((std::get<V>(values) = &std::get<V>(kept)), ...);
    }
    (std::index_sequence_for<Values...>{});
  }

 private:
  [[nodiscard]] bool is_kept(TrainOptions const& options, std::size_t at) const noexcept {
    auto const newest = static_cast<std::int64_t>(episodes.size() - at);
    return episodes[at].episode >= options.replay_from &&
           (options.replay_episodes < 0 || newest <= options.replay_episodes);
  }
  template <class Value>
  static void add_value(Value& all, Value const& old_rows, Value const& new_rows) {
    if (&old_rows != &all) {
      clear_rows(all);
      data::append_rows(all, old_rows, 0, data::row_count(old_rows));
    }
    data::append_rows(all, new_rows, 0, data::row_count(new_rows));
  }

  template <class Value>
  void add_here(Value& all, Value& spare, Value const& new_rows) const {
    if (dropped_ > 0) {
      clear_rows(spare);
      data::append_rows(spare, all, dropped_, before_);
      std::swap(all, spare);
    }
    data::append_rows(all, new_rows, 0, data::row_count(new_rows));
  }

  std::tuple<Values...> spare_{};
  std::int64_t before_ = 0;
  std::int64_t dropped_ = 0;
};

}  // namespace rlhf::inline v0::engine::detail
