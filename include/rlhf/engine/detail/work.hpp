/// @file
/// What an engine keeps for each of its parts. Layer: engine, private.
#pragma once

#include <rlhf/engine/detail/window.hpp>
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
    std::apply([&, this](auto const*... all) { this->take_from(rows, *all...); }, values);
  }
  void take_from(std::span<std::int64_t const> rows, Values const&... all) {
    std::apply([&](Values&... part) { ((clear_rows(part), append_listed(part, all, rows)), ...); },
               chunk);
  }
};

/// What only some kinds of parts need.
template <class Node, NodeKind Kind = Node::kind>
struct WorkOfKind {};
template <class Node>
struct WorkOfKind<Node, NodeKind::train> {
  std::vector<TrainBatchOf<typename Node::Model>> batches{};  ///< Of an optimizer step.
  Window<typename Node::Inputs> window{};
};
template <class Node>
struct WorkOfKind<Node, NodeKind::stage> {
  bool restored = false;  ///< What it makes next was made before the run was stopped.
};

/// Row numbers begin, ..., end - 1.
inline void fill_range(std::vector<std::int64_t>& rows, IndexRange range) {
  rows.clear();
  for (std::int64_t row = range.begin; row < range.end; ++row) {
    rows.push_back(row);
  }
}

/// Errors: invalid_argument unless a part made a row for each it was given.
inline void expect_rows(std::string_view part, std::int64_t made, std::int64_t given) {
  if (made != given) {
    fail(Errc::invalid_argument, text(part, " returned ", made, " rows, it was given ", given,
                                      "; return one row for each"));
  }
}

/// A part of the engine with its memory.
template <class Node>
struct Work : WorkOfKind<Node> {
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

}  // namespace rlhf::inline v0::engine::detail
