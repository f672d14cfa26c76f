/// @file
/// The parts of an engine together, in the order in which they run. Layer: engine, private.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/engine/detail/models.hpp>
#include <rlhf/engine/detail/work.hpp>
#include <rlhf/engine/graph.hpp>

#include <cstddef>
#include <string_view>
#include <tuple>
#include <utility>

namespace rlhf::inline v0::engine::detail {

template <class... Nodes>
class Parts {
 public:
  static constexpr std::size_t count = sizeof...(Nodes);
  static constexpr auto order = order_of<Nodes...>();
  template <std::size_t At>
  using NodeAt = std::tuple_element_t<At, std::tuple<Nodes...>>;

  explicit Parts(Nodes... nodes) : work_(Work<Nodes>(std::move(nodes))...) {}

  template <std::size_t At>
  [[nodiscard]] auto& at() noexcept {
    return std::get<At>(work_);
  }
  /// Calls `visit.template operator()<At>()` for every part, in the order of the graph.
  template <class Visit>
  static void in_order(Visit&& visit) {
    [&]<std::size_t... K>(std::index_sequence<K...>) {
      (visit.template operator()<order.at[K]>(), ...);
    }
    (std::make_index_sequence<count>{});
  }
  /// Calls `visit(work)` for every part, in the order in which they were given.
  template <class Visit>
  void for_each(Visit&& visit) {
    std::apply([&](auto&... all) { (visit(all), ...); }, work_);
  }
  template <class Visit>
  void for_each(Visit&& visit) const {
    std::apply([&](auto const&... all) { (visit(all), ...); }, work_);
  }
  /// Calls `visit(model, name)` for every model, once.
  template <class Visit>
  void for_each_model(Visit&& visit) {
    Met<2 * count> met;
    for_each([&](auto& work) {
      visit_models(work.node, [&](auto& model, std::string_view name) {
        if (met.first(&model)) {
          visit(model, name);
        }
      });
    });
  }
  /// The part that makes a value.
  template <class Value>
  [[nodiscard]] auto& maker() noexcept {
    return std::get<producer_of<Value, Nodes...>()>(work_);
  }

  /// Marks the parts that can run beside training: on ranks that train nothing, with inputs from
  /// such parts only. False where there is none.
  [[nodiscard]] bool mark_ahead() {
    bool any = false;
    in_order([&, this]<std::size_t At>() {
      using Node = NodeAt<At>;
      if constexpr (is_of_rollout<Node>) {
        auto& work = at<At>();
        constexpr bool begins = Node::kind == NodeKind::prompts;
        work.ahead = (begins || Node::Inputs::count > 0) &&
                     trains_nothing(work.node.model->mesh()) &&
                     is_made_ahead(typename Node::Inputs{});
        any = any || (begins && work.ahead);
      }
    });
    return any;
  }
  /// Whether a model draws or runs ahead, so that its episodes are those in flight. Computes that
  /// are only done on its ranks do not count.
  [[nodiscard]] bool is_ahead(void const* model) const {
    bool ahead = false;
    for_each([&]<class Node>(Work<Node> const& work) {
      if constexpr (Node::kind == NodeKind::prompts || Node::kind == NodeKind::stage) {
        ahead = ahead || (work.node.model == model && work.ahead);
      }
    });
    return ahead;
  }

 private:
  [[nodiscard]] bool trains_nothing(Mesh const& mesh) const {
    bool apart = true;
    for_each([&]<class Node>(Work<Node> const& work) {
      if constexpr (Node::kind == NodeKind::train) {
        for (int const rank : mesh.world_ranks()) {
          apart = apart && work.node.model->mesh().rank_of(rank) < 0;
        }
      }
    });
    return apart;
  }
  template <class... Values>
  [[nodiscard]] bool is_made_ahead(Inputs<Values...>) {
    return (true && ... && maker<Values>().ahead);
  }

  std::tuple<Work<Nodes>...> work_;
};

}  // namespace rlhf::inline v0::engine::detail
