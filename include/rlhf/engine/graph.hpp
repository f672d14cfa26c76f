/// @file
/// Which stage feeds which, found from their types; wrong graphs refused. Layer: engine.
#pragma once

#include <rlhf/engine/nodes.hpp>

#include <array>
#include <cstddef>
#include <type_traits>

namespace rlhf::inline v0::engine {
namespace detail {

template <class Node>
inline constexpr bool makes_value = !std::is_same_v<typename Node::Output, Nothing>;

/// Whether a node runs once for the rows of an episode, between prompts and training.
template <class Node>
inline constexpr bool is_of_rollout =
    Node::kind == NodeKind::prompts || Node::kind == NodeKind::stage ||
    Node::kind == NodeKind::compute;

/// The number of nodes that make T, and the last of them.
template <class T, class... Nodes>
inline constexpr int producer_count = (0 + ... +
                                       (std::is_same_v<typename Nodes::Output, T> ? 1 : 0));

template <class T, class... Nodes>
[[nodiscard]] constexpr std::size_t producer_of() noexcept {
  std::size_t found = sizeof...(Nodes);
  std::size_t at = 0;
  ((found = std::is_same_v<typename Nodes::Output, T> ? at : found, ++at), ...);
  return found;
}

/// Bits of the nodes that a node waits for.
template <class Inputs, class... Nodes>
inline constexpr std::uint64_t waits_for = 0;
template <class... Values, class... Nodes>
inline constexpr std::uint64_t waits_for<Inputs<Values...>, Nodes...> =
    (std::uint64_t{0} | ... |
     (producer_count<Values, Nodes...> == 0 ? 0
                                            : std::uint64_t{1} << producer_of<Values, Nodes...>()));

template <std::size_t N>
struct Order {
  std::array<std::size_t, N> at{};
  bool complete = false;
};

/// Nodes such that every one comes behind those it waits for, else in the order they are given.
template <class... Nodes>
[[nodiscard]] constexpr Order<sizeof...(Nodes)> order_of() noexcept {
  constexpr std::size_t n = sizeof...(Nodes);
  constexpr std::array<std::uint64_t, n> needs{waits_for<typename Nodes::Inputs, Nodes...>...};
  Order<n> order;
  std::uint64_t done = 0;
  for (std::size_t filled = 0; filled < n; ++filled) {
    std::size_t next = n;
    for (std::size_t i = n; i-- > 0;) {
      if ((done >> i & 1U) == 0 && (needs[i] & ~done) == 0) {
        next = i;
      }
    }
    if (next == n) {
      return order;
    }
    order.at[filled] = next;
    done |= std::uint64_t{1} << next;
  }
  order.complete = true;
  return order;
}

template <class Node>
inline constexpr bool lists_columns = data::ColumnBatch<typename Node::Output>;
template <class Node>
  requires std::is_same_v<typename Node::Output, model_detail::Refused>
inline constexpr bool lists_columns<Node> = true;  // the hook is refused, which is said already
template <class Node, NodeKind Kind = Node::kind>
inline constexpr bool makes_batch = true;
template <class Node>
inline constexpr bool makes_batch<Node, NodeKind::stage> =
    is_batch_of<BatchOf<typename Node::Model>, typename Node::Inputs>;
template <class Node>
inline constexpr bool makes_batch<Node, NodeKind::compute> = Node::only_looks;
template <class Node>
inline constexpr bool makes_batch<Node, NodeKind::train> =
    is_batch_of<TrainBatchOf<typename Node::Model>, typename Node::Inputs>;

template <class Inputs, class... Nodes>
inline constexpr bool has_producers = false;
template <class... Values, class... Nodes>
inline constexpr bool has_producers<Inputs<Values...>, Nodes...> =
    (true && ... && (producer_count<Values, Nodes...> != 0));

template <bool AreNodes, class... Nodes>
struct Graph {
  static constexpr bool one_source = false;
  static constexpr bool unique = false;
  static constexpr bool ordered = false;
  static constexpr bool sound = false;
};
template <class... Nodes>
struct Graph<true, Nodes...> {
  static constexpr bool one_source = (0 + ... + (Nodes::kind == NodeKind::prompts ? 1 : 0)) == 1;
  static constexpr bool unique =
      (true && ... &&
       (!makes_value<Nodes> || producer_count<typename Nodes::Output, Nodes...> == 1));
  static constexpr bool ordered = order_of<Nodes...>().complete;
  static constexpr bool sound = one_source && unique && ordered &&
                                (true && ... &&
                                 (data::ColumnBatch<typename Nodes::Output> && makes_batch<Nodes> &&
                                  has_producers<typename Nodes::Inputs, Nodes...>));
};

/// Whether what some node makes is not known, which is said already.
template <class... Nodes>
inline constexpr bool is_refused = (false || ... ||
                                    std::is_same_v<typename Nodes::Output, model_detail::Refused>);

template <class Value, class Node, class... Nodes>
struct CheckInput {
  static_assert(producer_count<Value, Nodes...> != 0 || is_refused<Nodes...>,
                "[rlhf:engine.no_producer] a stage needs a value that no stage makes: the first "
                "argument of this CheckInput; add the stage that makes it, or mend the Inputs of "
                "the one that needs it");
};
template <class Inputs, class Node, class... Nodes>
struct CheckInputs;
template <class... Values, class Node, class... Nodes>
struct CheckInputs<Inputs<Values...>, Node, Nodes...> {
  static_assert((true && ... && (sizeof(CheckInput<Values, Node, Nodes...>) != 0)));
};

template <class Node, class... Nodes>
struct CheckNode : CheckInputs<typename Node::Inputs, Node, Nodes...> {
  static_assert(
      lists_columns<Node>,
      "[rlhf:engine.output] what a stage returns must list its columns, one row a sample; "
      "see data/columns.hpp");
  static_assert(
      Node::kind != NodeKind::stage || makes_batch<Node>,
      "[rlhf:engine.batch] a model's Batch must be constructible from the values that its "
      "Inputs name, in that order; see engine/inputs.hpp");
  static_assert(Node::kind != NodeKind::train || makes_batch<Node>,
                "[rlhf:engine.train_batch] a model's TrainBatch (or Batch) must be constructible "
                "from the values that its TrainInputs name, in that order; see engine/inputs.hpp");
};

template <bool AreNodes, class... Nodes>
struct CheckNodes {};
template <class... Nodes>
struct CheckNodes<true, Nodes...> {
  static_assert((true && ... && (sizeof(CheckNode<Nodes, Nodes...>) != 0)));
  using Whole = Graph<true, Nodes...>;
  static_assert(Whole::one_source,
                "[rlhf:engine.prompts] an engine needs exactly one engine::prompts, whose rows are "
                "those of an episode");
  static_assert(
      Whole::unique,
      "[rlhf:engine.two_producers] two stages make values of one type, so that nobody can "
      "tell them apart; give one of them a type of its own");
  static_assert(!Whole::unique || Whole::ordered,
                "[rlhf:engine.cycle] stages wait for each other in a circle; look at the Inputs of "
                "the stages and at what they return");
};

}  // namespace detail

template <class... Nodes>
inline constexpr bool are_nodes = (true && ... && is_node<Nodes>);
/// Whether these parts make an engine. Reports nothing.
template <class... Nodes>
inline constexpr bool is_valid_graph = detail::Graph<are_nodes<Nodes...>, Nodes...>::sound;

/// One assertion a rule. Instantiating it is the check.
template <class... Nodes>
struct CheckGraph : detail::CheckNodes<are_nodes<Nodes...>, Nodes...> {
  static_assert(sizeof...(Nodes) <= 64, "an engine has at most 64 parts");
  static_assert(
      are_nodes<Nodes...>,
      "[rlhf:engine.node] an engine is made of engine::prompts, stage, compute, train and "
      "sync; see engine/nodes.hpp");
};

}  // namespace rlhf::inline v0::engine
