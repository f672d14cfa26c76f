// Memory that a destination lists more than once: exact ties are one parameter, chosen alike on all
// ranks; anything else is refused, and boxes beside each other are nothing of the kind.
#include <rlhf/comm/local_world.hpp>
#include <rlhf/parallel/fused.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>

#include <atomic>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "ranks/world.hpp"

using rlhf::Layout;
using rlhf::Mesh;
using rlhf::Shape;
using rlhf::Version;
using rlhf::comm::Local;

namespace {

namespace sync = rlhf::sync;
namespace shard = rlhf::shard;

/// Parameters at places in one run of memory.
struct Endpoint {
  using SyncPolicy = sync::Reshard<>;
  struct Entry {
    std::string name;
    int offset = 0;
    Shape shape{};
    rlhf::Shard rule{};
    rlhf::Extents strides{};  // empty: row-major
  };
  Mesh where;
  Layout cut{};
  std::vector<Entry> entries;
  std::vector<float> memory = std::vector<float>(256, -1.0F);

  [[nodiscard]] Mesh const& mesh() const noexcept { return where; }
  [[nodiscard]] Layout layout() const noexcept { return cut; }
  template <class Visit>
  void parameters(Visit&& visit) {
    for (Entry const& entry : entries) {
      rlhf::TensorView view = rlhf::view(memory.data() + entry.offset, entry.shape);
      view.strides = entry.strides.rank() == 0 ? view.strides : entry.strides;
      visit(entry.name, view, entry.rule);
    }
  }
};

/// What a link from `source` on rank 0 to a copy of `destination` on ranks 1 and 2 says, and
/// `after(link, destination, rank)` once it has brought a version.
template <class After>
std::string link_error(std::vector<Endpoint::Entry> const& source, Layout cut,
                       std::vector<Endpoint::Entry> const (&destination)[2], After after,
                       sync::LinkOptions const& options = {}) {
  ranks::WorldEnd const end = ranks::run_world(3, [&](Local& world) {
    int const rank = world.rank();
    Endpoint from{Mesh::range(0, 1), {}, source};
    Endpoint to{Mesh::range(1, 2), cut, destination[rank == 2 ? 1 : 0]};
    for (std::size_t i = 0; i < from.memory.size(); ++i) {
      from.memory[i] = static_cast<float>(i);
    }
    sync::Link link(world, from, to, options);
    link.sync(Version{1});
    link.verify();
    after(link, to, rank);
  });
  return end.world.text;
}
template <class After>
std::string link_error(std::vector<Endpoint::Entry> const& source, Layout cut,
                       std::vector<Endpoint::Entry> const& destination, After after) {
  return link_error(source, cut, {destination, destination}, after);
}

auto const nothing = [](auto&, auto&, int) {};

bool says(std::string const& text, std::string const& what) {
  return text.find(what) != std::string::npos;
}

}  // namespace

TEST_CASE("parameters of the destination that overlap in memory are refused, both named") {
  std::vector<Endpoint::Entry> const apart = {{"w", 0, {8, 4}}, {"b", 32, {5}}};
  // b at the beginning of w, at its end, one in the other's middle, w by columns around it.
  for (int const offset : {0, 15, 11}) {
    std::string const told = link_error(
        apart, {.tensor = 2}, {{"w", 0, {4, 4}, shard::rows()}, {"b", offset, {5}}}, nothing);
    CAPTURE(told);
    CHECK(says(told, "parameters w and b of the destination share memory on rank"));
    CHECK(says(told, "list that memory once"));
  }
  CHECK(link_error(apart, {.tensor = 2}, {{"w", 0, {4, 4}, shard::rows()}, {"b", 16, {5}}}, nothing)
            .empty());
  // Tied by the user, and yet not the same: a padded vocabulary and one that is not.
  std::string const padded =
      link_error({{"embedding", 0, {7, 2}}, {"head", 16, {8, 2}}}, {.tensor = 2},
                 {{"embedding", 0, {4, 2}, shard::padded(0, 7, 8).of({7, 2})},
                  {"head", 0, {4, 2}, shard::rows()}},
                 nothing);
  CHECK(says(padded, "parameters embedding and head of the destination share memory"));
  // The source only reads: there it may.
  CHECK(link_error({{"w", 0, {8, 4}}, {"b", 3, {5}}}, {.data = 2},
                   {{"w", 0, {8, 4}}, {"b", 32, {5}}}, nothing)
            .empty());
}

TEST_CASE(
    "boxes that lie between each other share nothing: columns of one matrix, views with gaps") {
  auto const right = [](auto&, Endpoint& to, int rank) {
    if (rank != 0) {
      CHECK(to.memory[2] == 2.0F);   // row 0 of q ends
      CHECK(to.memory[3] == 24.0F);  // row 0 of k begins
    }
  };
  std::vector<Endpoint::Entry> const source = {{"q", 0, {8, 3}}, {"k", 24, {8, 2}}};
  CHECK(link_error(source, {.data = 2},
                   {{"q", 0, {8, 3}, shard::replicated(), rlhf::Extents{5, 1}},
                    {"k", 3, {8, 2}, shard::replicated(), rlhf::Extents{5, 1}}},
                   right)
            .empty());
  CHECK(says(link_error(source, {.data = 2},
                        {{"q", 0, {8, 3}, shard::replicated(), rlhf::Extents{5, 1}},
                         {"k", 2, {8, 2}, shard::replicated(), rlhf::Extents{5, 1}}},
                        nothing),
             "parameters q and k of the destination share memory"));
}

TEST_CASE("of tied names the one that has a source is brought, whichever is listed first") {
  auto const brought = [](auto& link, Endpoint& to, int rank) {
    CHECK(link.plan().parameters == std::vector<std::string>{"head"});
    CHECK((rank == 0 || to.memory[3] == 3.0F));
  };
  CHECK(link_error({{"head", 0, {4, 2}}}, {.data = 2},
                   {{"embedding", 0, {4, 2}}, {"head", 0, {4, 2}}}, brought)
            .empty());
  CHECK(link_error({{"head", 0, {4, 2}}}, {.data = 2},
                   {{"head", 0, {4, 2}}, {"embedding", 0, {4, 2}}}, brought)
            .empty());
  sync::LinkOptions options;
  options.names = rlhf::plan::NameMap{{"lm.{name}", "{name}"}};
  CHECK(link_error({{"lm.head", 0, {4, 2}}}, {.data = 2},
                   {{{"embedding", 0, {4, 2}}, {"head", 0, {4, 2}}},
                    {{"embedding", 0, {4, 2}}, {"head", 0, {4, 2}}}},
                   brought, options)
            .empty());
  // Neither has one.
  CHECK(says(link_error({{"other", 0, {4, 2}}}, {.data = 2},
                        {{"head", 0, {4, 2}}, {"embedding", 0, {4, 2}}}, nothing),
             "embedding"));
}

TEST_CASE("ranks that list tied names in different orders hold the same, after a rebind, too") {
  // The source holds two different tensors under the names; all ranks take the first.
  for (bool const turned : {false, true}) {
    std::vector<Endpoint::Entry> source = {{"embedding", 0, {4, 2}}, {"head", 8, {4, 2}}};
    if (turned) {
      std::swap(source[0], source[1]);
    }
    float const first = turned ? 8.0F : 0.0F;
    CHECK(link_error(source, {.data = 2},
                     {{{"embedding", 4, {4, 2}}, {"head", 4, {4, 2}}},
                      {{"head", 4, {4, 2}}, {"embedding", 4, {4, 2}}}},
                     [&](auto& link, Endpoint& to, int rank) {
                       CHECK(link.plan().parameters.size() == 1);
                       CHECK(link.plan().unused.size() == 1);
                       CHECK((rank == 0 || to.memory[4] == first));
                       std::vector<float> elsewhere(to.memory.size(), -2.0F);
                       elsewhere.swap(to.memory);
                       std::swap(to.entries.front(), to.entries.back());
                       link.rebind();
                       link.sync(Version{2});
                       CHECK((rank == 0 || to.memory[4] == first));
                     })
              .empty());
  }
}
