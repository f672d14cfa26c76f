/// @file
/// Makes sure that all ranks made the same plan, before the first byte moves. Layer: sync.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/plan/plan.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace rlhf::inline v0::sync {

/// Compares plans over all ranks of `world`; collective.
///
/// Errors: rank_mismatch, on every rank, naming the first parameter that differs and the ranks that
/// disagree with rank 0; the same where only some have a communicator that registers staging
/// memory, which decides what is staged. Cost: one all-gather of 24 bytes a rank when all agree.
template <comm::Communicator C, class T>
void agree(C& world, plan::BasicPlan<T> const& plan) {
  auto const ranks = static_cast<std::size_t>(world.size());
  std::int64_t mine[3] = {static_cast<std::int64_t>(plan::fingerprint(plan)),
                          std::ssize(plan.parameters), 0};
  if constexpr (requires { world.registers(); }) {
    mine[2] = world.registers() ? 1 : 0;
  }
  rlhf::detail::late_vector<std::int64_t, T> all(3 * ranks);
  world.all_gather(mine, all.data(), 3, DType::i64, {});
  rlhf::detail::late_vector<int, T> disagree;
  rlhf::detail::late_vector<int, T> stage_otherwise;
  std::int64_t most = 0;
  for (std::size_t r = 0; r < ranks; ++r) {
    most = all[3 * r + 1] > most ? all[3 * r + 1] : most;
    if (all[3 * r] != all[0]) {
      disagree.push_back(static_cast<int>(r));
    }
    if (all[3 * r + 2] != all[2]) {
      stage_otherwise.push_back(static_cast<int>(r));
    }
  }
  if (disagree.empty() && !stage_otherwise.empty()) {
    fail(Errc::rank_mismatch,
         text("the communicator of rank 0 ", all[2] != 0 ? "registers" : "does not register",
              " staging memory, those of ranks ",
              list_text({stage_otherwise.data(), stage_otherwise.size()}),
              all[2] != 0 ? " do not" : " do",
              "; make all with the same options (nccl::Options::register_staging)"),
         stage_otherwise.front());
  }
  if (disagree.empty()) {
    return;
  }
  rlhf::detail::late_vector<std::int64_t, T> parameters(static_cast<std::size_t>(most), 0);
  auto const kind_of = plan::kinds_of(plan);
  plan::Kind const none;
  auto const kind = [&](std::size_t p) -> plan::Kind const& {
    return kind_of[p] < 0 ? none : plan.kinds[static_cast<std::size_t>(kind_of[p])];
  };
  for (std::size_t p = 0; p < plan.parameters.size(); ++p) {
    parameters[p] = static_cast<std::int64_t>(plan::fingerprint(plan.parameters[p], kind(p)));
  }
  rlhf::detail::late_vector<std::int64_t, T> everybody(parameters.size() * ranks);
  world.all_gather(parameters.data(), everybody.data(), most, DType::i64, {});
  std::string what = "all parameters agree, their routes or buckets do not";
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    bool same = true;
    for (std::size_t r = 1; r < ranks; ++r) {
      same = same && everybody[r * parameters.size() + p] == everybody[p];
    }
    if (!same) {
      what =
          p < plan.parameters.size()
              ? text("first parameter that differs: number ", p, ", here ", plan.parameters[p], " ",
                     rlhf::to_string(kind(p).destination_dtype), " ", to_string(kind(p).global))
              : text("this rank plans ", plan.parameters.size(), " parameters, others more");
      break;
    }
  }
  fail(Errc::rank_mismatch,
       text("ranks ", list_text({disagree.data(), disagree.size()}),
            " made another plan than rank 0; ", what),
       disagree.front());
}

}  // namespace rlhf::inline v0::sync
