// Weight syncs whose packing, transfers and unpacking run beside each other: whatever order their
// streams are worked off in, as long as fences are kept, the destination gets the right elements.
#include <rlhf/comm/local.hpp>
#include <rlhf/parallel/shard.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>
#include <rlhf/sync/slots.hpp>
#include <rlhf/tensor/pack.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "property/cases.hpp"
#include "property/sync_model.hpp"
#include "property/two_rows.hpp"
#include "ranks/world.hpp"

using cases::Case;
using cases::Dice;
using cases::Model;
using cases::Side;
using rlhf::Lane;
using rlhf::Version;
using namespace rlhf::literals;

namespace {

namespace sync = rlhf::sync;

/// One of a rank's streams; 0 is the caller's, the others are lanes.
struct StreamNumber {
  int number = 0;
};

/// A place in a stream's order.
struct Fence {
  std::uint64_t asked = 0;
  std::uint64_t reached = 0;
};

/// The streams of one rank: work is put into them and done later, in an order that dice choose
/// among all that fences allow.
class Streams {
 public:
  explicit Streams(std::uint64_t seed) : dice_(seed) {}

  void put(StreamNumber stream, std::function<void()> work) {
    queues_[stream.number].push_back({[] { return true; }, std::move(work)});
  }
  void record(std::shared_ptr<Fence> const& fence, StreamNumber stream) {
    put(stream, [fence, ticket = ++fence->asked] { fence->reached = ticket; });
  }
  void wait(StreamNumber stream, std::shared_ptr<Fence> const& fence) {
    queues_[stream.number].push_back(
        {[fence, ticket = fence->asked] { return fence->reached >= ticket; }, [] {}});
  }
  /// Does all work of a stream, and of others what dice choose or fences need.
  void finish(StreamNumber stream) {
    while (!queues_[stream.number].empty()) {
      work();
    }
  }
  void finish_all() {
    while (work()) {
    }
  }

 private:
  bool work() {
    std::vector<int> ready;
    bool left = false;
    for (int q = 0; q < streams; ++q) {
      left = left || !queues_[q].empty();
      if (!queues_[q].empty() && queues_[q].front().first()) {
        ready.push_back(q);
      }
    }
    if (!left) {
      return false;
    }
    if (ready.empty()) {
      throw std::logic_error("streams wait for each other in a circle");
    }
    // One stream is preferred for a while, so that it gets as far ahead as fences let it.
    if (dice_.between(0, 7) == 0) {
      favourite_ = dice_.between(0, streams - 1);
    }
    int chosen = ready[dice_.word() % ready.size()];
    for (int const q : ready) {
      chosen = q == favourite_ ? q : chosen;
    }
    auto const next = std::move(queues_[chosen].front().second);
    queues_[chosen].pop_front();
    next();
    return true;
  }

  static constexpr int streams = 4;
  Dice dice_;
  int favourite_ = 0;
  std::deque<std::pair<std::function<bool()>, std::function<void()>>> queues_[streams];
};

class LanePacker {
 public:
  using Stream = StreamNumber;
  using Host = rlhf::HostPacker<int>;
  using Table = std::shared_ptr<Host::Table>;
  using Pairs = std::shared_ptr<Host::Pairs>;
  using Fence = std::shared_ptr<::Fence>;

  explicit LanePacker(Streams& streams) : streams_(&streams) {}

  [[nodiscard]] Table prepare(std::span<rlhf::Region const> regions) const {
    return std::make_shared<Host::Table>(host_.prepare(regions));
  }
  void pack(Table const& table, std::byte* to, Stream stream) const {
    streams_->put(stream, [this, table, to] { host_.pack(*table, to); });
  }
  void unpack(Table const& table, std::byte const* from, Stream stream) const {
    streams_->put(stream, [this, table, from] { host_.unpack(*table, from); });
  }
  [[nodiscard]] Pairs pair(std::span<rlhf::Region const> from,
                           std::span<rlhf::Region const> to) const {
    return std::make_shared<Host::Pairs>(host_.pair(from, to));
  }
  void copy(Pairs const& pairs, Stream stream) const {
    if (pairs != nullptr) {
      streams_->put(stream, [this, pairs] { host_.copy(*pairs); });
    }
  }
  void fingerprints(std::span<rlhf::PlacedBox const> placed, std::uint64_t* out) const {
    host_.fingerprints(placed, out);
  }
  [[nodiscard]] bool equal(std::byte const* a, std::byte const* b, std::int64_t bytes) const {
    return host_.equal(a, b, bytes);
  }
  [[nodiscard]] std::vector<std::byte> allocate(std::int64_t bytes) const {
    return host_.allocate(bytes);
  }
  [[nodiscard]] static Stream lane(Lane which) { return {1 + static_cast<int>(which)}; }
  [[nodiscard]] static Fence fence() { return std::make_shared<::Fence>(); }
  void record(Fence const& fence, Stream stream) const { streams_->record(fence, stream); }
  void wait(Stream stream, Fence const& fence) const { streams_->wait(stream, fence); }
  [[nodiscard]] static bool done(Fence const& fence) { return fence->reached == fence->asked; }

 private:
  Streams* streams_;
  Host host_;
};
static_assert(rlhf::HasLanes<LanePacker>);

/// Local, with transfers put into a stream. Other calls are made at once, behind all work.
class Behind {
 public:
  using Stream = StreamNumber;
  static constexpr bool groups_broadcasts = true;  // here they are only told from others

  /// The bytes of the broadcasts of each group, of all communicators that were split from one.
  using Groups = std::vector<std::vector<std::int64_t>>;

  Behind() = default;
  Behind(rlhf::comm::Local inner, Streams& streams)
      : inner_(std::make_shared<rlhf::comm::Local>(std::move(inner))),
        streams_(&streams),
        grouped_(std::make_shared<Groups>()) {}

  [[nodiscard]] Groups const& grouped() const { return *grouped_; }
  [[nodiscard]] int rank() const noexcept { return inner_->rank(); }
  [[nodiscard]] int size() const noexcept { return inner_->size(); }
  [[nodiscard]] int world_rank(int rank) const { return inner_->world_rank(rank); }
  void wait(Stream stream) { streams_->finish(stream); }

  void broadcast(void* data, std::int64_t count, rlhf::DType dtype, int root, Stream stream = {}) {
    if (group_ != nullptr) {
      if (group_->broadcasts++ == 0) {
        grouped_->emplace_back();
      }
      grouped_->back().push_back(count * rlhf::size_of(dtype));
    }
    streams_->put(stream, [inner = inner_, data, count, dtype, root] {
      inner->broadcast(data, count, dtype, root);
    });
  }
  void send(void const* data, std::int64_t count, rlhf::DType dtype, int peer, Stream = {}) {
    group_->calls.push_back([=](auto& inner) { inner.send(data, count, dtype, peer); });
  }
  void recv(void* data, std::int64_t count, rlhf::DType dtype, int peer, Stream = {}) {
    group_->calls.push_back([=](auto& inner) { inner.recv(data, count, dtype, peer); });
  }
  void group_start() { group_ = std::make_shared<Group>(); }
  void group_end(Stream stream = {}) {
    streams_->put(stream, [inner = inner_, group = std::exchange(group_, nullptr)] {
      inner->group_start();
      for (Call const& call : group->calls) {
        call(*inner);
      }
      inner->group_end();
    });
  }
  void group_cancel() noexcept { group_.reset(); }
  void all_reduce(void const* in, void* out, std::int64_t count, rlhf::DType dtype,
                  rlhf::comm::Reduce op, Stream = {}) {
    streams_->finish_all();
    inner_->all_reduce(in, out, count, dtype, op);
  }
  void all_gather(void const* in, void* out, std::int64_t count, rlhf::DType dtype, Stream = {}) {
    streams_->finish_all();
    inner_->all_gather(in, out, count, dtype);
  }
  void reduce_scatter(void const* in, void* out, std::int64_t count, rlhf::DType dtype,
                      rlhf::comm::Reduce op, Stream = {}) {
    inner_->reduce_scatter(in, out, count, dtype, op);
  }
  void all_to_all(void const* in, void* out, std::int64_t count, rlhf::DType dtype, Stream = {}) {
    inner_->all_to_all(in, out, count, dtype);
  }
  void barrier(Stream = {}) { inner_->barrier(); }
  [[nodiscard]] Behind split(int color, int key) {
    Behind out(inner_->split(color, key), *streams_);
    out.grouped_ = grouped_;
    return out;
  }
  void abort(std::string_view reason) noexcept { inner_->abort(reason); }

 private:
  using Call = std::function<void(rlhf::comm::Local&)>;
  struct Group {
    std::vector<Call> calls;
    int broadcasts = 0;
  };
  std::shared_ptr<rlhf::comm::Local> inner_;
  Streams* streams_ = nullptr;
  std::shared_ptr<Groups> grouped_;
  std::shared_ptr<Group> group_;
};
static_assert(rlhf::comm::Communicator<Behind>);
static_assert(rlhf::comm::RunsBehind<Behind>);

/// Memory that a `Registering` made, or took.
struct RegisteredBytes {
  std::vector<std::byte> bytes{};

  RegisteredBytes() = default;
  explicit RegisteredBytes(std::vector<std::byte> plain) : bytes(std::move(plain)) {}
  [[nodiscard]] std::byte* data() noexcept { return bytes.data(); }
};

/// Behind, with memory of its own making, which all sends of a sync must lie in.
class Registering : public Behind {
 public:
  template <class>
  using Registered = RegisteredBytes;

  Registering() = default;
  Registering(rlhf::comm::Local inner, Streams& streams, bool registers)
      : Behind(std::move(inner), streams),
        streams_(&streams),
        registers_(registers) {}

  [[nodiscard]] bool registers() const noexcept { return registers_; }
  [[nodiscard]] RegisteredBytes registered(std::int64_t bytes) {
    RegisteredBytes out;
    out.bytes.resize(static_cast<std::size_t>(bytes));
    known_ = {out.data(), out.data() + bytes};
    return out;
  }
  void send(void const* data, std::int64_t count, rlhf::DType dtype, int peer, Stream stream = {}) {
    expect_known(data, count * rlhf::size_of(dtype));
    Behind::send(data, count, dtype, peer, stream);
  }
  void recv(void* data, std::int64_t count, rlhf::DType dtype, int peer, Stream stream = {}) {
    expect_known(data, count * rlhf::size_of(dtype));
    Behind::recv(data, count, dtype, peer, stream);
  }
  [[nodiscard]] Registering split(int color, int key) {
    Registering out;
    static_cast<Behind&>(out) = Behind::split(color, key);
    out.streams_ = streams_;
    out.registers_ = registers_;
    return out;
  }

 private:
  void expect_known(void const* data, std::int64_t bytes) const {
    auto const* const begin = static_cast<std::byte const*>(data);
    if (registers_ && (begin < known_.first || begin + bytes > known_.second)) {
      throw std::logic_error("a transfer between memory that is not registered");
    }
  }

  Streams* streams_ = nullptr;
  bool registers_ = false;
  std::pair<std::byte const*, std::byte const*> known_{};
};
static_assert(rlhf::comm::Communicator<Registering>);
static_assert(rlhf::comm::RegistersMemory<Registering, std::vector<std::byte>>);

/// Whether `finish` refuses, because nothing was started.
template <class AnyLink>
bool says_not_started(AnyLink& link) {
  try {
    link.finish(Version{9});
  } catch (rlhf::Error const& error) {
    return std::string(error.what()).find("finish without start") != std::string::npos;
  }
  return false;
}

template <class Policy>
void check(bool two_stage) {
  std::atomic<int> wrong{0};
  std::atomic<int> staged{0};
  for (std::uint64_t seed = 0; seed < cases::to_try(60); ++seed) {
    Case const pair = cases::random_case(seed + 900, 5, two_stage);
    CAPTURE(seed);
    ranks::WorldEnd const end = ranks::run_world(pair.world, [&](rlhf::comm::Local& local) {
      int const rank = local.rank();
      Streams streams(seed * 100 + static_cast<std::uint64_t>(rank));
      Behind world(std::move(local), streams);
      Model<sync::None> source(pair, Side::source, rank);
      Model<Policy> destination(pair, Side::destination, rank);
      sync::Link link(world, source, destination, {}, LanePacker(streams));
      staged += link.staging_bytes() > 0 ? 1 : 0;
      wrong += says_not_started(link) && !link.version().has_value() ? 0 : 1;
      for (int version = 1; version <= 3; ++version) {
        // What the caller's stream has before the sync happens before it, and what it gets after.
        streams.put({}, [&source, version] { source.fill(version); });
        destination.clear();
        link.start();
        wrong += link.version().has_value() ? 1 : 0;
        link.finish(Version{version});
        wrong += destination.wrong(version) + source.wrong(version);
        wrong += link.version() == Version{version} ? 0 : 1;
        link.verify();
      }
      link.finish(Version{4});  // as after a replay of what a graph has captured
      wrong += link.version() == Version{4} ? 0 : 1;
    });
    CHECK_MESSAGE(!end.world.failed, end.world.text);
  }
  CHECK(wrong == 0);
  CHECK(staged > 0);
}

}  // namespace

TEST_CASE("registered staging: every element arrives, and only such memory is sent and received") {
  std::atomic<int> wrong{0};
  for (std::uint64_t seed = 0; seed < cases::to_try(60); ++seed) {
    Case const pair = cases::random_case(seed + 1900, 5, false);
    CAPTURE(seed);
    bool const registers = seed % 4 != 0;
    ranks::WorldEnd const end = ranks::run_world(pair.world, [&](rlhf::comm::Local& local) {
      int const rank = local.rank();
      Streams streams(seed * 100 + static_cast<std::uint64_t>(rank));
      Registering world(std::move(local), streams, registers);
      Model<sync::None> source(pair, Side::source, rank);
      Model<sync::PointToPoint<256_B>> destination(pair, Side::destination, rank);
      sync::Link link(world, source, destination, {}, LanePacker(streams));
      for (int version = 1; version <= 3; ++version) {
        if (version == 3) {
          link.rebind();
        }
        streams.put({}, [&source, version] { source.fill(version); });
        destination.clear();
        link.sync(Version{version});
        wrong += destination.wrong(version) + source.wrong(version);
      }
    });
    CHECK_MESSAGE(!end.world.failed, end.world.text);
  }
  CHECK(wrong == 0);
}

TEST_CASE("ranks of which only some register staging memory are named before a byte moves") {
  Case const pair = cases::random_case(7, 5, false);
  ranks::WorldEnd const end = ranks::run_world(pair.world, [&](rlhf::comm::Local& local) {
    int const rank = local.rank();
    Streams streams(static_cast<std::uint64_t>(rank));
    Registering world(std::move(local), streams, rank != pair.world - 1);
    Model<sync::None> source(pair, Side::source, rank);
    Model<sync::PointToPoint<256_B>> destination(pair, Side::destination, rank);
    sync::Link link(world, source, destination, {}, LanePacker(streams));
  });
  REQUIRE(pair.world > 1);
  CHECK(end.world.code == rlhf::Errc::rank_mismatch);
  for (ranks::Outcome const& outcome : end.of) {
    CHECK(outcome.rank == pair.world - 1);
    CHECK_MESSAGE(outcome.says("nccl::Options::register_staging"), outcome.text);
  }
}

TEST_CASE("point to point in lanes: right in every order that fences allow") {
  check<sync::PointToPoint<256_B>>(false);
}
TEST_CASE("broadcast in lanes: right in every order that fences allow") {
  check<sync::Broadcast<256_B>>(false);
}
namespace {

/// One source and full copies of many parameters.
Case copies_of_many(int replicas, int parameters, Dice& dice) {
  Case pair;
  pair.destination = rlhf::Layout{.data = replicas};
  pair.source_mesh = rlhf::Mesh::range(0, 1);
  pair.destination_mesh = rlhf::Mesh::range(1, replicas);
  pair.world = 1 + replicas;
  for (int p = 0; p < parameters; ++p) {
    cases::Parameter next;
    next.name = "p" + std::to_string(p);
    next.global = {dice.between(2, 9), dice.between(2, 9)};
    pair.parameters.push_back(next);
  }
  return pair;
}

}  // namespace

TEST_CASE("full copies move where they lie, in the same groups on all ranks, or all are packed") {
  for (std::uint64_t seed = 0; seed < cases::to_try(30); ++seed) {
    Dice dice(seed + 77);
    int const parameters = dice.between(2, 200);
    Case const pair = copies_of_many(dice.between(2, 3), parameters, dice);
    int const with_gaps = dice.between(0, 5);  // a rank, or nobody
    std::int64_t bytes = 0;
    for (cases::Parameter const& one : pair.parameters) {
      bytes += element_count(one.global) * rlhf::size_of(one.dtype);
    }
    std::vector<Behind::Groups> groups(static_cast<std::size_t>(pair.world));
    std::atomic<int> wrong{0};
    std::atomic<std::int64_t> staged{0};
    ranks::WorldEnd const end = ranks::run_world(pair.world, [&](rlhf::comm::Local& local) {
      int const rank = local.rank();
      Streams streams(seed * 100 + static_cast<std::uint64_t>(rank));
      Behind world(std::move(local), streams);
      Model<sync::None> source(pair, Side::source, rank, rank == with_gaps);
      Model<sync::Broadcast<256_B>> destination(pair, Side::destination, rank, rank == with_gaps);
      sync::Link link(world, source, destination, {}, LanePacker(streams));
      staged += link.staging_bytes();
      streams.put({}, [&source] { source.fill(1); });
      link.sync(Version{1});
      groups[static_cast<std::size_t>(rank)] = world.grouped();
      wrong += destination.wrong(1) + source.wrong(1);
    });
    CAPTURE(seed);
    CHECK_MESSAGE(!end.world.failed, end.world.text);
    CHECK(wrong == 0);
    bool const in_place = with_gaps >= pair.world;
    CHECK((staged == 0) == in_place);
    for (Behind::Groups const& mine : groups) {
      CHECK(mine == groups[0]);
      CHECK(mine.empty() != in_place);
      std::int64_t sum = 0;
      for (auto const& group : mine) {
        bool const last = &group == &mine.back();
        CHECK((last ? group.size() <= 64 : group.size() == 64));
        sum = std::accumulate(group.begin(), group.end(), sum);
      }
      CHECK(sum == (in_place ? bytes : 0));
    }
  }
}

TEST_CASE("a parameter that no longer lies in one run is refused by rebind, and packed by replan") {
  ranks::WorldEnd const end = ranks::run_world(3, [&](rlhf::comm::Local& local) {
    int const rank = local.rank();
    Streams streams(static_cast<std::uint64_t>(rank));
    Behind world(std::move(local), streams);
    cases::TwoRows<sync::None> source{rlhf::Mesh::range(0, 1)};
    cases::TwoRows<sync::Broadcast<256_B>> destination{rlhf::Mesh::range(1, 2)};
    sync::Link link(world, source, destination, {}, LanePacker(streams));
    destination.apart = rank == 2;
    if (rank == 2) {
      CHECK_THROWS_WITH_AS(link.rebind(), doctest::Contains("weight lay in one run"), rlhf::Error);
      CHECK_THROWS_WITH_AS(link.start(), doctest::Contains("only in part"), rlhf::Error);
    } else {
      link.rebind();
    }
    link.replan();
    std::fill(source.memory.begin(), source.memory.end(), 2.5F);
    link.sync(Version{1});
    if (rank != 0) {
      CHECK(destination.memory[7] == 2.5F);
      CHECK(destination.memory[rank == 2 ? 32 : 8] == 2.5F);
      CHECK(destination.memory[40] == 0.0F);
    }
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}

TEST_CASE("two stages in lanes: right in every order that fences allow") {
  check<sync::TwoStage<256_B>>(true);
}
