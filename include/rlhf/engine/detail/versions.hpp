/// @file
/// How old the weights of each model are, and how old they can become. Layer: engine, private.
#pragma once

#include <rlhf/engine/detail/parts.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::engine::detail {

class Versions {
 public:
  template <class... Nodes>
  explicit Versions(Parts<Nodes...>& parts) {
    parts.for_each_model([&, this](auto& model, std::string_view name) {
      models_.push_back(Model{.address = &model, .name = name});
    });
    std::size_t part = 0;
    parts.for_each([&, this]<class Node>(Work<Node>& work) {
      if constexpr (Node::kind == NodeKind::sync) {
        syncs_.push_back(Sync{index_of(work.node.source), index_of(work.node.destination),
                              work.node.frequency, part});
        Model& to = models_[syncs_.back().destination];
        to.once = (to.once || !to.synced) && work.node.frequency == 0;
        to.synced = true;
      } else {
        Model& model = models_[index_of(work.node.model)];
        model.trained = model.trained || Node::kind == NodeKind::train;
        model.draws = model.draws || Node::kind == NodeKind::prompts;
        model.generates = model.generates || Node::kind == NodeKind::stage;
      }
      ++part;
    });
  }

  /// Whether a sync runs before one that refreshes its source, so that its destination has what the
  /// source had an episode before. `part` is the sync's, of all parts.
  [[nodiscard]] bool is_before_its_source(std::size_t part) const {
    bool before = false;
    for (std::size_t i = 0; i < syncs_.size(); ++i) {
      for (std::size_t later = i + 1; syncs_[i].part == part && later < syncs_.size(); ++later) {
        before = before || (syncs_[later].destination == syncs_[i].source &&
                            !models_[syncs_[i].source].trained);
      }
    }
    return before;
  }
  /// Whether the model that draws prompts and generates gets no weights although others train.
  [[nodiscard]] bool never_gets_weights(std::string_view& name) const {
    bool trains = false;
    bool never = false;
    for (Model const& model : models_) {
      trains = trains || model.trained;
      if (model.draws && model.generates && !model.trained && !model.synced) {
        name = model.name;
        never = true;
      }
    }
    return trains && never;
  }
  [[nodiscard]] std::int64_t of(void const* address) const noexcept {
    return models_[index_of(address)].version;
  }
  void restore(void const* address, std::int64_t version) noexcept {
    models_[index_of(address)].version = version;
  }

  /// The most episodes that training can be ahead of weights that generate, `episodes_ahead` not
  /// counted; -1 where there is no bound. `name` is the model's.
  [[nodiscard]] std::int64_t worst_age(std::string_view& name) const {
    std::vector<std::int64_t> age(models_.size(), 0);
    for (std::size_t pass = 0; pass < models_.size(); ++pass) {
      for (std::size_t i = 0; i < syncs_.size(); ++i) {
        Sync const& one = syncs_[i];
        std::int64_t of_source = 0;
        if (!models_[one.source].trained && models_[one.source].synced) {
          of_source = age[one.source];
          for (std::size_t later = i + 1; later < syncs_.size(); ++later) {
            of_source += syncs_[later].destination == one.source ? 1 : 0;
          }
        }
        age[one.destination] = of_source + (one.frequency > 0 ? one.frequency - 1 : 0);
      }
    }
    std::int64_t worst = 0;
    for (std::size_t m = 0; m < models_.size(); ++m) {
      if (counts(models_[m])) {
        if (models_[m].once) {
          name = models_[m].name;
          return -1;
        }
        if (age[m] > worst) {
          worst = age[m];
          name = models_[m].name;
        }
      }
    }
    return worst;
  }

  /// `destination` has what `source` has, behind `episode` episodes of training.
  void synced(void const* source, void const* destination, std::int64_t episode) {
    Model const& from = models_[index_of(source)];
    models_[index_of(destination)].version = from.trained || !from.synced ? episode : from.version;
  }
  /// Of the weights that generate now, behind `episode` episodes of training.
  [[nodiscard]] std::int64_t of_generation(std::int64_t episode) const {
    std::int64_t oldest = episode;
    for (Model const& model : models_) {
      if (counts(model) && model.version < oldest) {
        oldest = model.version;
      }
    }
    return oldest;
  }

 private:
  struct Model {
    void const* address = nullptr;
    std::string_view name{};
    bool trained = false;
    bool draws = false;
    bool generates = false;
    bool synced = false;  ///< Some sync brings its weights,
    bool once = false;    ///< but only before the first episode.
    std::int64_t version = 0;
  };
  struct Sync {
    std::size_t source;
    std::size_t destination;
    int frequency;
    std::size_t part;  ///< Of all parts, in the order in which they were given.
  };

  /// Whether a model's weights make rollouts older: not those trained in place, nor frozen scorers.
  [[nodiscard]] static bool counts(Model const& model) noexcept {
    return !model.trained && model.synced && (model.draws || (model.generates && !model.once));
  }
  [[nodiscard]] std::size_t index_of(void const* address) const noexcept {
    std::size_t i = 0;
    while (i + 1 < models_.size() && models_[i].address != address) {
      ++i;
    }
    return i;
  }

  std::vector<Model> models_;
  std::vector<Sync> syncs_;
};

}  // namespace rlhf::inline v0::engine::detail
