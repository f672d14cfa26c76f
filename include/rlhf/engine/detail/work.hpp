/// @file
/// What an engine keeps for each of its parts, and how a part runs. Layer: engine, private.
#pragma once

#include <rlhf/data/batch.hpp>
#include <rlhf/data/keyed_order.hpp>
#include <rlhf/engine/exchange.hpp>
#include <rlhf/engine/nodes.hpp>
#include <rlhf/runtime/metrics.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace rlhf::inline v0::engine::detail {

template <class M>
[[nodiscard]] Shares shares_of(M const& model) {
  return Shares{&model.mesh(), model.layout(), spread_of<M>};
}

/// The values that a part takes: from which ranks they come, and this rank's rows of them.
template <class Inputs>
struct Received;
template <class... Values>
struct Received<Inputs<Values...>> {
  std::tuple<Exchange<Values>...> exchanges{};
  std::tuple<Values const*...> values{};
  std::tuple<Values...> chunk{};
  std::tuple<Exchange<Values>...> again{};  // within a trainer, for each optimizer step

  /// The rows with these numbers, as a batch's ingredients.
  void take(std::span<std::int64_t const> rows) {
    std::apply([&](auto const*... all) { take_from(rows, *all...); }, values);
  }
  void take_from(std::span<std::int64_t const> rows, Values const&... all) {
    std::apply([&](Values&... part) { ((clear_rows(part), append_listed(part, all, rows)), ...); },
               chunk);
  }
};

/// Takes metrics of a result.
struct MetricVisitor {
  runtime::Metrics* into;
  void operator()(std::string_view name, double value) const { into->mean(name, value); }
  void operator()(std::string_view name, double value, double weight) const {
    into->weighted(name, value, weight);
  }
};

/// Row numbers begin, ..., end - 1.
inline void fill_range(std::vector<std::int64_t>& rows, IndexRange range) {
  rows.clear();
  for (std::int64_t row = range.begin; row < range.end; ++row) {
    rows.push_back(row);
  }
}

/// The micro-batches of an optimizer step.
template <class Node, NodeKind Kind = Node::kind>
struct MicroBatches {};
template <class Node>
struct MicroBatches<Node, NodeKind::train> {
  std::vector<TrainBatchOf<typename Node::Model>> batches{};
};

/// Errors: invalid_argument unless a part made a row for each it was given.
inline void expect_rows(std::string_view part, std::int64_t made, std::int64_t given) {
  if (made != given) {
    fail(Errc::invalid_argument, text(part, " returned ", made, " rows, it was given ", given,
                                      "; return one row for each"));
  }
}

/// A part of the engine with its memory.
template <class Node>
struct Work : MicroBatches<Node> {
  explicit Work(Node part)
      : node(std::move(part)),
        input_span(text("input of ", node.name)),
        metrics(node.name) {}

  Node node;
  std::string input_span;    ///< What waiting for its rows is called in timers.
  runtime::Metrics metrics;  ///< Of what its calls returned.
  Received<typename Node::Inputs> received{};
  std::vector<typename Node::Output> made{};  ///< A ring of episodes in flight.
  std::vector<std::int64_t> rows{};
  std::vector<std::int64_t> order{};
  bool ahead = false;
};

/// Runs a stage on this rank's rows, in `calls` calls of nearly equal sizes; some are of no rows
/// where there are fewer.
template <class Node>
void run_stage(Work<Node>& work, std::int64_t rows, std::int64_t calls,
               typename Node::Output& out) {
  using Batch = BatchOf<typename Node::Model>;
  auto const call = [&](auto const&... values) {
    return hook::forward_step(*work.node.model, batch_of<Batch>(values...));
  };
  if (calls == 1) {
    out = std::apply([&](auto const*... values) { return call(*values...); }, work.received.values);
    return;
  }
  clear_rows(out);
  std::int64_t const most = work.node.options.batch;
  for (std::int64_t i = 0; i < calls; ++i) {
    IndexRange const part{i * most < rows ? i * most : rows,
                          (i + 1) * most < rows ? (i + 1) * most : rows};
    fill_range(work.rows, part);
    work.received.take(std::span<std::int64_t const>(work.rows));
    typename Node::Output const made = std::apply(call, work.received.chunk);
    expect_rows(work.node.name, data::row_count(made), part.size());
    data::append_rows(out, made, 0, part.size());
  }
}

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

/// Trains on an episode's rows: for each pass and each global batch, this rank's share of it in as
/// many micro-batches as every share has. Rows move only where a global batch is dealt otherwise
/// than the episode.
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
          std::span<Batch const>(work.batches).first(static_cast<std::size_t>(count))));
    }
  }
}

}  // namespace rlhf::inline v0::engine::detail
