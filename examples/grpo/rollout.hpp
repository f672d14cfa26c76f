/// @file
/// Generated answers with their rewards, and how they get from generator ranks to trainer ranks.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/data/options.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "advantage.hpp"
#include "generate.hpp"
#include "prompts.hpp"
#include "reward.hpp"

namespace grpo {

/// One prompt with all the answers sampled to it: the group that advantages are relative to.
struct Group {
  rlhf::data::Draw draw{};
  std::vector<Answer> answers;
  std::vector<float> rewards;     // (answers)
  std::vector<float> advantages;  // (answers)
};

/// Rewards and advantages of a group's answers.
inline void score(Group& group, std::vector<PromptSet> const& sets) {
  Prompt const& prompt = sets[static_cast<std::size_t>(group.draw.dataset)]
                             .training[static_cast<std::size_t>(group.draw.index)];
  group.rewards.clear();
  for (Answer const& answer : group.answers) {
    group.rewards.push_back(exact_match_reward(answer.tokens, prompt.answer));
  }
  group.advantages.resize(group.rewards.size());
  group_advantages(group.rewards, group.advantages);
}

/// Every replica's groups on every rank, in replica order. Collective over `world`; ranks that have
/// none, or whose groups another rank of their replica passes, pass nothing.
///
/// Cost: two all-gathers; a few bytes a token.
template <rlhf::comm::Communicator Comm>
[[nodiscard]] std::vector<Group> gather_groups(Comm& world, std::span<Group const> mine) {
  std::vector<std::byte> bytes;
  auto const put = [&](auto value) {
    auto const* const at = reinterpret_cast<std::byte const*>(&value);
    bytes.insert(bytes.end(), at, at + sizeof value);
  };
  for (Group const& group : mine) {
    put(group.draw.dataset);
    put(group.draw.index);
    put(group.draw.id);
    put(std::ssize(group.answers));
    for (Answer const& answer : group.answers) {
      put(std::ssize(answer.tokens));
      put(static_cast<std::int32_t>(answer.finished ? 1 : 0));
      for (std::size_t t = 0; t < answer.tokens.size(); ++t) {
        put(answer.tokens[t]);
        put(answer.log_probabilities[t]);
      }
    }
  }

  std::int64_t const size = std::ssize(bytes);
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(world.size()));
  world.all_gather(&size, sizes.data(), 1, rlhf::DType::i64, {});
  bytes.resize(static_cast<std::size_t>(*std::max_element(sizes.begin(), sizes.end())));
  std::vector<std::byte> all(bytes.size() * sizes.size());
  world.all_gather(bytes.data(), all.data(), std::ssize(bytes), rlhf::DType::u8, {});

  std::vector<Group> groups;
  for (std::size_t rank = 0; rank < sizes.size(); ++rank) {
    std::byte const* at = all.data() + rank * bytes.size();
    std::byte const* const end = at + sizes[rank];
    auto const get = [&]<class Value>(Value& value) {
      std::memcpy(&value, at, sizeof value);
      at += sizeof value;
    };
    while (at < end) {
      Group& group = groups.emplace_back();
      get(group.draw.dataset);
      get(group.draw.index);
      get(group.draw.id);
      std::ptrdiff_t answers = 0;
      get(answers);
      group.answers.resize(static_cast<std::size_t>(answers));
      for (Answer& answer : group.answers) {
        std::ptrdiff_t tokens = 0;
        std::int32_t finished = 0;
        get(tokens);
        get(finished);
        answer.finished = finished != 0;
        answer.tokens.resize(static_cast<std::size_t>(tokens));
        answer.log_probabilities.resize(static_cast<std::size_t>(tokens));
        for (std::size_t t = 0; t < answer.tokens.size(); ++t) {
          get(answer.tokens[t]);
          get(answer.log_probabilities[t]);
        }
      }
    }
  }
  return groups;
}

}  // namespace grpo
