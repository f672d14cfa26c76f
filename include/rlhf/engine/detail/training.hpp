/// @file
/// Training on the rows of an episode, or of several. Layer: engine, private.
#pragma once

#include <rlhf/core/clock.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/data/batch.hpp>
#include <rlhf/data/keyed_order.hpp>
#include <rlhf/engine/detail/residence.hpp>
#include <rlhf/engine/detail/rollout.hpp>
#include <rlhf/engine/detail/run.hpp>
#include <rlhf/engine/detail/work.hpp>
#include <rlhf/engine/observer.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace rlhf::inline v0::engine::detail {

/// The order of rows of one pass over an episode, where runs of `run` rows stay together: for runs
/// of 1, `data::shuffled`, without a new vector.
inline void shuffle_rows(std::vector<std::int64_t>& order, std::int64_t rows, std::int64_t run,
                         std::uint64_t seed, std::int64_t pass) {
  order.clear();
  if (rows > 0) {
    std::int64_t const runs = ceil_div(rows, run);
    data::KeyedOrder::Permutation const permutation(seed, pass, runs);
    for (std::int64_t i = 0; i < runs; ++i) {
      std::int64_t const begin = permutation[i] * run;
      for (std::int64_t row = begin; row < begin + run && row < rows; ++row) {
        order.push_back(row);
      }
    }
  }
}

/// Makes the micro-batches of an optimizer step from this share's rows: `rows` numbers them, cut
/// into `count` parts.
template <class Node, class... Values>
void cut_batches(Work<Node>& work, std::span<std::int64_t const> rows, std::int64_t count,
                 Values const&... values) {
  using Batch = TrainBatchOf<typename Node::Model>;
  constexpr bool as_it_is = std::is_default_constructible_v<Batch> &&
                            std::is_same_v<typename Node::Inputs, Inputs<Batch>>;
  std::vector<Batch>& batches = work.batches;
  if constexpr (as_it_is) {
    if (static_cast<std::int64_t>(batches.size()) < count) {
      batches.resize(static_cast<std::size_t>(count));
    }
  } else {
    batches.clear();
  }
  for (std::int64_t b = 0; b < count; ++b) {
    IndexRange const part = split_evenly(std::ssize(rows), count, b);
    std::span<std::int64_t const> const own =
        rows.subspan(static_cast<std::size_t>(part.begin), static_cast<std::size_t>(part.size()));
    if constexpr (as_it_is) {
      Batch& batch = batches[static_cast<std::size_t>(b)];
      clear_rows(batch);
      append_listed(batch, values..., own);
    } else {
      work.received.take_from(own, values...);
      std::apply([&](auto const&... chunk) { batches.emplace_back(chunk...); },
                 work.received.chunk);
    }
  }
}

/// Trains on rows: for each pass and each global batch, this rank's share of it in as many
/// micro-batches as every share has. Rows move only where a global batch is dealt otherwise than
/// all of them. `report(result, rows)` gets what a step returned for so many rows of this share.
template <class C, class Node, class Report>
void run_training(C& world, Work<Node>& work, std::int64_t rows, std::uint64_t seed,
                  std::int64_t episode, Report&& report) {
  using Batch = TrainBatchOf<typename Node::Model>;
  Shares const shares = shares_of(*work.node.model);
  int const share = shares.of(work.node.model->rank());
  TrainOptions const& options = work.node.options;
  std::int64_t const global = options.global_batch <= 0 ? rows : options.global_batch;
  bool const shuffled = options.shuffle != Shuffle::none;
  for (std::int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    if (shuffled) {
      bool const whole = options.shuffle == Shuffle::micro_batches && options.micro_batch > 1;
      shuffle_rows(work.order, rows, whole ? options.micro_batch : 1, seed,
                   episode * options.epochs + epoch);
    }
    for (std::int64_t begin = 0; begin < rows; begin += global) {
      Deal const deal{begin, begin + global < rows ? begin + global : rows,
                      shuffled ? work.order.data() : nullptr};
      IndexRange const positions = deal.positions(shares.count(), share);
      std::int64_t const largest = ceil_div<std::int64_t>(deal.end - deal.begin, shares.count());
      std::int64_t const count =
          options.micro_batch <= 0 ? 1 : ceil_div(largest, options.micro_batch);
      bool const here = shares.count() == 1 || (!shuffled && deal.begin == 0 && deal.end == rows);
      [&]<std::size_t... At>(std::index_sequence<At...>) {
        if (here) {
          std::int64_t const first = split_evenly(rows, shares.count(), share).begin;
          work.rows.clear();
          for (std::int64_t p = positions.begin; p < positions.end; ++p) {
            work.rows.push_back(deal.row(p) - first);
          }
          cut_batches(work, std::span<std::int64_t const>(work.rows), count,
                      *std::get<At>(work.received.values)...);
        } else {
          fill_range(work.rows, {0, positions.size()});
          auto const moved = std::tuple(
              &std::get<At>(work.received.again)
                   .run(world, shares, shares, rows, deal, *std::get<At>(work.received.values))...);
          cut_batches(work, std::span<std::int64_t const>(work.rows), count,
                      *std::get<At>(moved)...);
        }
      }
      (std::make_index_sequence<static_cast<std::size_t>(Node::Inputs::count)>{});
      report(hook::train_step(
                 *work.node.model,
                 std::span<Batch const>(work.batches).first(static_cast<std::size_t>(count))),
             positions.size());
    }
  }
}

template <class R, class Node, class Observer>
void train_part(R& run, Work<Node>& work, std::int64_t episode, Observer& observer) {
  std::int64_t rows = run.progress.rows[run.progress.slot(episode)];
  bring(run, *work.node.model, runtime::Parts::all());
  if (work.node.options.replay_episodes != 1) {
    work.window.take(*run.world, shares_of(*work.node.model), work.received.values);
    rows = work.window.rows();
  }
  Shares const shares = shares_of(*work.node.model);
  bool const speaks = shares.speaker(shares.of(work.node.model->rank())) == run.world->rank();
  run_training(*run.world, work, rows, run.options.seed, episode,
               [&]<class Result>(Result const& result, std::int64_t own_rows) {
                 static_assert(HasMetrics<Result> || !HasMutableMetrics<Result>,
                               "[rlhf:engine.metrics] metrics(visit) of what a train_step "
                               "returns must be const; see engine/engine.hpp");
                 if constexpr (HasMetrics<Result>) {
                   if (speaks && own_rows > 0) {
                     MetricVisitor visit{&work.metrics, own_rows};
                     result.metrics(visit);
                   }
                 }
                 if constexpr (requires { observer.trained(result, work.node.name); }) {
                   observer.trained(result, work.node.name);
                 }
               });
}

/// All trainers of this rank, on the rows of an episode that is made.
template <class R, class Observer>
void train(R& run, std::int64_t episode, Observer& observer) {
  std::int64_t const start = steady_nanoseconds();
  R::AllParts::in_order([&]<std::size_t At>() {
    if constexpr (R::template NodeAt<At>::kind == NodeKind::train) {
      gather<At>(run, episode, false);  // of all trainers first: those on other ranks need not wait
    }
  });
  R::AllParts::in_order([&]<std::size_t At>() {
    if constexpr (R::template NodeAt<At>::kind == NodeKind::train) {
      auto& work = run.parts.template at<At>();
      if (work.node.options.replay_episodes != 1) {
        work.window.begin(work.node.options,
                          KeptEpisode{episode, run.progress.rows[run.progress.slot(episode)]});
      }
      if (work.node.model->present()) {
        run.watch.run(work.node.name, "train_step", work.node.name,
                      [&] { train_part(run, work, episode, observer); });
      }
    }
  });
  run.report.train_seconds = seconds_since(start);
}

}  // namespace rlhf::inline v0::engine::detail
