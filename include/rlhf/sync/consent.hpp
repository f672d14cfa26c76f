/// @file
/// Makes sure that ranks were asked for the same: options before a plan, versions after a move.
/// Layer: sync.
#pragma once

#include <rlhf/comm/concepts.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/ids.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/parallel/layout.hpp>
#include <rlhf/parallel/mesh.hpp>
#include <rlhf/plan/placement.hpp>
#include <rlhf/sync/link_options.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rlhf::inline v0::sync {

/// Fingerprints of what must be equal on all ranks that make a link, one for each thing an error
/// can name.
struct Consent {
  static constexpr int things = 4;
  static constexpr std::string_view names[things] = {"layouts or meshes of the two modules",
                                                     "name maps", "subsets (`only` or `wanted`)",
                                                     "budgets, checks or extents"};
  std::uint64_t of[things] = {};
};

/// What this rank was asked for. `given` is the source before it is renamed, `needed` the
/// destination; both list the same on every rank, so that a predicate is compared by what it says
/// of their names.
template <class T>
[[nodiscard]] Consent consent_of(Layout const& source, Mesh const& source_mesh,
                                 Layout const& destination, Mesh const& destination_mesh,
                                 plan::BasicPlacement<T> const& given,
                                 plan::BasicPlacement<T> const& needed,
                                 BasicLinkOptions<T> const& options) {
  Consent out;
  Fingerprint layouts;
  auto const add = [&](Layout const& layout, Mesh const& mesh) {
    for (int const size : {layout.tensor, layout.pipeline, layout.expert, layout.data, layout.fsdp,
                           layout.zero, mesh.size()}) {
      layouts.add(static_cast<std::uint64_t>(size));
    }
    for (int const rank : mesh.world_ranks()) {
      layouts.add(static_cast<std::uint64_t>(rank));
    }
  };
  add(source, source_mesh);
  add(destination, destination_mesh);
  out.of[0] = layouts.value();
  Fingerprint names;
  if (!options.names.empty()) {
    for (auto const& parameter : given.parameters) {
      names.add(options.names(parameter.name));
    }
  }
  out.of[1] = names.value();
  Fingerprint subset;
  for (auto const* const side :
       {&given, &needed}) {  // ranks see what others left out in the source
    for (auto const& parameter : side->parameters) {
      bool const takes = side == &given ? options.takes(options.names(parameter.name))
                                        : options.takes(parameter.name);
      subset.add(static_cast<std::uint64_t>(takes ? 1 : 0));
    }
  }
  out.of[2] = subset.value();
  out.of[3] = Fingerprint()
                  .add(static_cast<std::uint64_t>(options.budget.count))
                  .add(static_cast<std::uint64_t>(options.verification))
                  .add(static_cast<std::uint64_t>(options.extent))
                  .value();
  return out;
}

/// Compares what ranks were asked for; collective.
///
/// Errors: rank_mismatch, on every rank, naming what differs and the ranks that disagree with rank
/// 0. Cost: one all-gather of 32 bytes a rank.
template <comm::Communicator C>
void agree(C& world, Consent const& consent) {
  using T = rlhf::detail::late<void, C>;
  auto const ranks = static_cast<std::size_t>(world.size());
  constexpr auto things = static_cast<std::size_t>(Consent::things);
  std::int64_t mine[things];
  for (std::size_t i = 0; i < things; ++i) {
    mine[i] = static_cast<std::int64_t>(consent.of[i]);
  }
  rlhf::detail::late_vector<std::int64_t, T> all(things * ranks);
  world.all_gather(mine, all.data(), Consent::things, DType::i64, {});
  for (std::size_t i = 0; i < things; ++i) {
    rlhf::detail::late_vector<int, T> others;
    for (std::size_t r = 0; r < ranks; ++r) {
      if (all[r * things + i] != all[i]) {
        others.push_back(static_cast<int>(r));
      }
    }
    if (!others.empty()) {
      fail(Errc::rank_mismatch,
           text("weight sync: ranks ", list_text({others.data(), others.size()}),
                " were given other ", Consent::names[i], " than rank 0; give every rank the same"),
           others.front());
    }
  }
}

/// Ends a sync: when it returns, all ranks are done with the move and say the same version.
/// Collective. Until then no rank may say that the destination is on it.
///
/// Errors: rank_mismatch, on every rank, where ranks name different versions. Cost: one all-reduce
/// of 16 bytes.
template <comm::Communicator C>
void commit(C& world, Version version, typename C::Stream stream = {}) {
  std::int64_t range[2] = {version.value, -version.value};
  try {
    world.all_reduce(range, range, 2, DType::i64, comm::Reduce::max, stream);
    comm::settle(world, stream);
  } catch (Error const& error) {
    throw Error(error.code(),
                text("weight sync, commit of version ", version.value, ": ", error.message()),
                error.rank(), error.native_code(), error.location());
  }
  if (range[0] != -range[1]) {
    fail(Errc::rank_mismatch,
         text("weight sync: ranks name different versions, from ", -range[1], " to ", range[0],
              "; this rank ", version.value, "; the destination is on none"));
  }
}

}  // namespace rlhf::inline v0::sync
