/// @file
/// Settings that must be the same on every rank. Layer: engine, private.
#pragma once

#include <rlhf/comm/operations.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/engine/detail/work.hpp>
#include <rlhf/engine/nodes.hpp>
#include <rlhf/engine/options.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rlhf::inline v0::engine::detail {

[[nodiscard]] inline std::int64_t print_of(std::initializer_list<std::int64_t> values) {
  Fingerprint print;
  for (std::int64_t const value : values) {
    print.add(static_cast<std::uint64_t>(value));
  }
  return static_cast<std::int64_t>(print.value());
}
[[nodiscard]] inline std::int64_t print_of(Options const& options) {
  return print_of({options.episodes, options.episodes_ahead, options.max_version_lag,
                   options.checkpoints.empty() ? 0 : 1, options.save_every, options.keep,
                   options.resume ? 1 : 0, options.resume_from, options.evaluate_every,
                   options.evaluate_before ? 1 : 0, options.offload ? 1 : 0,
                   static_cast<std::int64_t>(options.seed)});
}
template <class Node>
[[nodiscard]] std::int64_t print_of(Node const& node) {
  if constexpr (Node::kind == NodeKind::train) {
    TrainOptions const& train = node.options;
    return print_of({train.global_batch, train.micro_batch, train.epochs,
                     static_cast<std::int64_t>(train.shuffle), train.replay_episodes,
                     train.replay_from});
  } else if constexpr (Node::kind == NodeKind::stage) {
    return print_of({node.options.batch, node.options.save_outputs ? 1 : 0,
                     static_cast<std::int64_t>(node.options.outputs_depend_on)});
  } else if constexpr (Node::kind == NodeKind::sync) {
    return print_of({node.frequency});
  } else {
    return 0;
  }
}

/// Compares the engine's and its parts' settings over all ranks. Collective.
///
/// Errors: rank_mismatch on every rank, naming the first that differ and the rank.
template <class R>
void expect_same_settings(R& run) {
  auto& world = *run.world;
  std::vector<std::int64_t> own{print_of(run.options)};
  std::vector<std::string_view> names{"engine::Options"};
  run.parts.for_each([&](auto const& work) {
    own.push_back(print_of(work.node));
    names.push_back(work.node.name);
  });
  std::vector<std::int64_t> all(own.size() * static_cast<std::size_t>(world.size()));
  comm::all_gather(world, std::span<std::int64_t const>(own), std::span<std::int64_t>(all));
  for (std::size_t i = own.size(); i < all.size(); ++i) {
    if (all[i] != all[i % own.size()]) {
      int const rank = static_cast<int>(i / own.size());
      fail(Errc::rank_mismatch,
           text("rank ", rank, " has other settings of ", names[i % own.size()],
                " than rank 0; give every rank the same (config::expect_same compares whole ",
                "configurations)"),
           rank);
    }
  }
}

}  // namespace rlhf::inline v0::engine::detail
