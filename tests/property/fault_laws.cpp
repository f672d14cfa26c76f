// Verification: whatever single fault befalls a destination after a sync, it is found, on the rank
// that has it, and on no other; a bucket that is stale on the way is found by the sync.
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "property/cases.hpp"
#include "property/sync_model.hpp"
#include "ranks/spy.hpp"
#include "ranks/world.hpp"
#include "support/rows.hpp"

using cases::Case;
using cases::Dice;
using cases::Model;
using cases::Side;
using rlhf::Version;
using rlhf::comm::Local;
using namespace rlhf::literals;

namespace {

namespace sync = rlhf::sync;

/// The memory of every element of a rank, and its size.
struct Element {
  std::byte* at;
  std::size_t size;
};

template <class AnyModel>
std::vector<Element> elements_of(AnyModel& model) {
  std::vector<Element> out;
  for (auto& held : model.held()) {
    rlhf::TensorView const& view = held.view;
    std::int64_t const count = rlhf::element_count(view.shape);
    for (std::int64_t i = 0; i < count; ++i) {
      std::int64_t rest = i;
      std::int64_t offset = 0;
      for (int d = view.shape.rank() - 1; d >= 0; --d) {
        offset += rest % view.shape[d] * view.strides[d];
        rest /= view.shape[d];
      }
      out.push_back({held.memory.data() + offset * rlhf::size_of(view.dtype),
                     static_cast<std::size_t>(rlhf::size_of(view.dtype))});
    }
  }
  return out;
}

struct Faults {
  std::atomic<int> planted{0};
  std::atomic<int> missed{0};
  std::atomic<int> elsewhere{0};
};

/// Plants faults into one destination after the other and asks for a verification each time.
void plant(Case const& pair, std::uint64_t seed, int count, Faults& faults) {
  ranks::WorldEnd const end = ranks::run_world(pair.world, [&](Local& world) {
    int const rank = world.rank();
    Model<sync::None> source(pair, Side::source, rank);
    Model<sync::Reshard<256_B>> destination(pair, Side::destination, rank);
    sync::Link link(world, source, destination);
    // What was there a version ago, for stale pieces.
    source.fill(1);
    link.sync(Version{1});
    std::vector<std::vector<std::byte>> old;
    for (auto const& held : destination.held()) {
      old.push_back(held.memory);
    }
    source.fill(2);
    link.sync(Version{2});
    link.verify();
    std::vector<Element> const all = elements_of(destination);
    Dice dice(seed);  // the same on every rank
    for (int i = 0; i < count; ++i) {
      int const victim =
          pair.destination_mesh.world_rank(dice.between(0, pair.destination.ranks() - 1));
      std::uint64_t const what = dice.word();
      bool planted = false;
      std::vector<std::vector<std::byte>> before;
      if (rank == victim && !all.empty()) {
        for (auto const& held : destination.held()) {
          before.push_back(held.memory);
        }
        Dice own(what);
        auto const any = [&]() -> Element const& { return all[own.word() % all.size()]; };
        switch (own.between(0, 3)) {
          case 0: {  // one bit
            Element const& hit = any();
            hit.at[own.word() % hit.size] ^= std::byte{1} << (own.word() % 8);
            planted = true;
            break;
          }
          case 1: {  // two elements change places
            Element const& a = any();
            Element const& b = any();
            if (a.size == b.size && std::memcmp(a.at, b.at, a.size) != 0) {
              std::byte kept[8];
              std::memcpy(kept, a.at, a.size);
              std::memcpy(a.at, b.at, a.size);
              std::memcpy(b.at, kept, a.size);
              planted = true;
            }
            break;
          }
          case 2: {  // a parameter as it was a version ago
            std::size_t const p = own.word() % destination.held().size();
            auto& memory = destination.held()[p].memory;
            planted = memory != old[p];
            std::memcpy(memory.data(), old[p].data(), memory.size());
            break;
          }
          default: {  // a run of elements that nobody wrote
            std::size_t const first = own.word() % all.size();
            for (std::size_t e = first; e < all.size() && e < first + 5; ++e) {
              for (std::size_t byte = 0; byte < all[e].size; ++byte) {
                planted = planted || all[e].at[byte] != std::byte{0};
                all[e].at[byte] = std::byte{0};
              }
            }
          }
        }
      }
      bool found = false;
      try {
        link.verify();
      } catch (rlhf::Error const& error) {
        found = error.code() == rlhf::Errc::corrupted && error.rank() == rank;
      }
      faults.planted += planted ? 1 : 0;
      faults.missed += planted && !found ? 1 : 0;
      faults.elsewhere += !planted && found ? 1 : 0;
      for (std::size_t p = 0; p < before.size(); ++p) {
        std::memcpy(destination.held()[p].memory.data(), before[p].data(), before[p].size());
      }
    }
    link.verify();
    link.verify(sync::Verification::full);
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}

/// What a rank sends in a sync and sent in the one before.
struct Post {
  std::vector<std::vector<std::byte>> last;
  std::vector<std::vector<std::byte>> now;
  std::deque<std::vector<std::byte>> old;
  std::int64_t stale_at = -1;  // the bucket that is sent, or the packing that is left out
  std::int64_t packed = 0;
  bool planted = false;

  void begin(std::int64_t stale) {
    last = std::move(now);
    now.clear();
    old.clear();
    stale_at = stale;
    packed = 0;
    planted = false;
  }
  void const* pass(void const* data, std::int64_t bytes) {
    auto const* const begin = static_cast<std::byte const*>(data);
    std::size_t const at = now.size();
    now.emplace_back(begin, begin + bytes);
    if (static_cast<std::int64_t>(at) != stale_at || at >= last.size() || last[at] == now[at]) {
      return data;
    }
    planted = true;
    old.push_back(last[at]);
    return old.back().data();
  }
};

/// Sends one bucket of the sync before again.
class Resender : public ranks::Spy {
 public:
  Resender() = default;
  Resender(ranks::Spy inner, Post& post) : ranks::Spy(std::move(inner)), post_(&post) {}

  void send(void const* data, std::int64_t count, rlhf::DType dtype, int peer, Stream = {}) {
    bool const bucket = dtype == rlhf::DType::u8;  // fingerprints are not
    Spy::send(bucket ? post_->pass(data, count) : data, count, dtype, peer);
  }
  void broadcast(void* data, std::int64_t count, rlhf::DType dtype, int root, Stream = {}) {
    void const* const sent =
        root == rank() && dtype == rlhf::DType::u8 ? post_->pass(data, count) : data;
    Spy::broadcast(const_cast<void*>(sent), count, dtype, root);
  }
  [[nodiscard]] Resender split(int color, int key) { return {Spy::split(color, key), *post_}; }

 private:
  Post* post_ = nullptr;
};

/// Leaves out one packing, so that the slot keeps what it had.
struct LazyPacker : rlhf::HostPacker<ranks::Spy::Stream> {
  Post* post = nullptr;
  void pack(Table const& table, std::byte* to, ranks::Spy::Stream = {}) const {
    std::int64_t bytes = 0;
    for (rlhf::Region const& region : table) {
      bytes += region.bytes();  // no type changes here
    }
    std::vector<std::byte> const before(to, to + bytes);
    HostPacker::pack(table, to);
    if (post->packed++ == post->stale_at) {
      post->planted = std::memcmp(before.data(), to, before.size()) != 0;
      std::memcpy(to, before.data(), before.size());
    }
  }
};

struct Stale {
  std::atomic<int> planted{0};
  std::atomic<int> missed{0};
  std::atomic<int> elsewhere{0};
};

/// Syncs with one stale bucket each; what is found must be what was planted.
template <class Policy>
void plant_stale(Case const& pair, std::uint64_t seed, bool resends, Stale& stale) {
  std::vector<std::atomic<int>> of_round(16);
  ranks::WorldEnd const end = ranks::run_world(pair.world, [&](Local& local) {
    ranks::Ledger ledger;
    Post post;
    Post other;  // of the half that does as it should
    Resender world(ranks::Spy(std::move(local), ledger), resends ? post : other);
    LazyPacker packer;
    packer.post = resends ? &other : &post;
    Model<sync::None> source(pair, Side::source, world.rank(), true);
    Model<Policy> destination(pair, Side::destination, world.rank(), true);
    sync::LinkOptions options;
    options.verification = sync::Verification::fingerprint;
    sync::Link<Model<sync::None>, Model<Policy>, Resender, LazyPacker> link(
        world, source, destination, options, packer);
    Dice dice(seed * 31 + static_cast<std::uint64_t>(world.rank()));
    for (int round = 0; round < static_cast<int>(of_round.size()); ++round) {
      Version const version{round + 1};
      source.fill(round + 1);
      other.begin(-1);
      bool const mine = dice.one_in(pair.world);
      post.begin(round > 0 && mine ? dice.between(0, round < 8 ? 3 : 12) : -1);
      bool found = false;
      try {
        link.sync(version);
      } catch (rlhf::Error const& error) {
        found = error.code() == rlhf::Errc::corrupted;
      }
      std::atomic<int>& here = of_round[static_cast<std::size_t>(round)];
      here += post.planted ? 1 : 0;
      stale.planted += post.planted ? 1 : 0;
      world.barrier();
      stale.missed += here != 0 && !found ? 1 : 0;
      stale.elsewhere += here == 0 && found ? 1 : 0;
      CHECK(link.version().has_value() == !found);
      CHECK((found || destination.wrong(round + 1) == 0));
    }
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}

}  // namespace

TEST_CASE("10,000 random faults: a bit, swapped elements, stale parameters, unwritten elements") {
  char const* const wanted = std::getenv("RLHF_TEST_FAULTS");
  int const usual = 10'000;
  int const faults_to_plant = wanted != nullptr ? std::atoi(wanted) : usual;
  Faults faults;
  for (std::uint64_t seed = 0; faults.planted < faults_to_plant; ++seed) {
    Case const pair = cases::random_case(seed + 4000, 4, false);
    plant(pair, seed, 200, faults);
  }
  print_row(
      "\"law\":\"random faults in destinations are found, where they are and nowhere "
      "else\",\"faults\":",
      faults.planted.load(), ",\"missed\":", faults.missed.load(),
      ",\"found_elsewhere\":", faults.elsewhere.load());
  CHECK(faults.missed == 0);
  CHECK(faults.elsewhere == 0);
}

TEST_CASE(
    "a stale bucket on the way, sent again or left in its slot, is found by the sync itself") {
  for (bool const resends : {true, false}) {
    Stale stale;
    for (std::uint64_t seed = 0; seed < 24; ++seed) {
      bool const staged = seed % 3 == 0;
      Case const pair = cases::random_case(seed + 700, 5, staged);
      if (staged) {
        plant_stale<sync::TwoStage<256_B>>(pair, seed, resends, stale);
      } else if (seed % 3 == 1) {
        plant_stale<sync::Broadcast<256_B>>(pair, seed, resends, stale);
      } else {
        plant_stale<sync::PointToPoint<256_B>>(pair, seed, resends, stale);
      }
    }
    print_row("\"law\":\"a stale bucket on the way, ", resends ? "sent again" : "left in its slot",
              ", is found by the sync\",\"faults\":", stale.planted.load(),
              ",\"missed\":", stale.missed.load(), ",\"found_elsewhere\":", stale.elsewhere.load());
    CHECK(stale.missed == 0);
    CHECK(stale.elsewhere == 0);
    CHECK(stale.planted > 60);
  }
}
