// A sync in the steady state asks the communicator for what a loop written by hand asks, call by
// call and byte by byte, and allocates nothing.
#include <rlhf/rlhf.hpp>

#include <atomic>
#include <cstring>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "support/allocations.hpp"

namespace {

using rlhf::DType;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::comm::Local;
using Recording = rlhf::comm::Recording<Local>;

/// 8 x 4, cut by rows; 4, on every rank; 4 x 4, cut by columns. Elements say where they belong.
template <class Parallel, class Sync>
struct Model : rlhf::Module<Parallel, Sync> {
  using rlhf::Module<Parallel, Sync>::Module;
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("w", rlhf::view(w, {8 / tensor, 4}), rlhf::shard::rows());
    visit("b", rlhf::view(b, {4}), rlhf::shard::replicated());
    visit("c", rlhf::view(c, {4, 4 / tensor}), rlhf::shard::columns());
  }
  static constexpr int tensor = Parallel::layout.tensor;
  void fill(int version) {
    each([&](float& element, int place) { element = static_cast<float>(1000 * version + place); });
  }
  bool holds(int version) {
    bool all = true;
    each([&](float& element, int place) {
      all = all && element == static_cast<float>(1000 * version + place);
    });
    return all;
  }
  template <class Body>
  void each(Body body) {
    int const t = this->coordinate().tensor;
    int const rows = 8 / tensor;
    int const columns = 4 / tensor;
    for (int i = 0; i < rows * 4; ++i) {
      body(w[i], t * rows * 4 + i);
    }
    for (int i = 0; i < 4; ++i) {
      body(b[i], 100 + i);
    }
    for (int i = 0; i < 4 * columns; ++i) {
      body(c[i], 200 + i / columns * 4 + t * columns + i % columns);
    }
  }
  float w[32] = {};
  float b[4] = {};
  float c[16] = {};
};
template <Layout L, class Sync>
using On = Model<rlhf::Grid<L>, Sync>;

/// What a rank asked a communicator for, splits included.
struct Log {
  std::int64_t calls = 0;
  std::int64_t bytes = 0;
  std::uint64_t sequence = 0;
  void add(std::uint64_t kind, std::int64_t size = 0, int peer = 0) {
    ++calls;
    bytes += size;
    sequence = rlhf::Fingerprint{}
                   .add(sequence)
                   .add(kind)
                   .add(static_cast<std::uint64_t>(size))
                   .add(static_cast<std::uint64_t>(peer))
                   .value();
  }
  bool operator==(Log const&) const = default;
};
/// Forwards to a communicator and writes into a log that its splits share.
class Logged {
 public:
  using Stream = Local::Stream;
  Logged(Local inner, Log& log) : inner_(std::move(inner)), log_(&log) {}

  int rank() const noexcept { return inner_.rank(); }
  int size() const noexcept { return inner_.size(); }
  int world_rank(int rank) const { return inner_.world_rank(rank); }
  void broadcast(void* data, std::int64_t count, DType dtype, int root, Stream) {
    log_->add(1, count * rlhf::size_of(dtype), inner_.world_rank(root));
    inner_.broadcast(data, count, dtype, root);
  }
  void all_reduce(void const* in, void* out, std::int64_t count, DType dtype, rlhf::comm::Reduce op,
                  Stream) {
    log_->add(2, count * rlhf::size_of(dtype));
    inner_.all_reduce(in, out, count, dtype, op);
  }
  void all_gather(void const* in, void* out, std::int64_t count, DType dtype, Stream) {
    log_->add(3, count * rlhf::size_of(dtype));
    inner_.all_gather(in, out, count, dtype);
  }
  void reduce_scatter(void const* in, void* out, std::int64_t count, DType dtype,
                      rlhf::comm::Reduce op, Stream) {
    log_->add(4, count * rlhf::size_of(dtype));
    inner_.reduce_scatter(in, out, count, dtype, op);
  }
  void all_to_all(void const* in, void* out, std::int64_t count, DType dtype, Stream) {
    log_->add(5, count * rlhf::size_of(dtype));
    inner_.all_to_all(in, out, count, dtype);
  }
  void send(void const* data, std::int64_t count, DType dtype, int peer, Stream) {
    log_->add(6, count * rlhf::size_of(dtype), peer);
    inner_.send(data, count, dtype, peer);
  }
  void recv(void* data, std::int64_t count, DType dtype, int peer, Stream) {
    log_->add(7, count * rlhf::size_of(dtype), peer);
    inner_.recv(data, count, dtype, peer);
  }
  void group_start() {
    log_->add(8);
    inner_.group_start();
  }
  void group_end(Stream) {
    log_->add(9);
    inner_.group_end();
  }
  void group_cancel() noexcept { inner_.group_cancel(); }
  void barrier(Stream) {
    log_->add(10);
    inner_.barrier();
  }
  Logged split(int color, int key) {
    log_->add(11);
    return {inner_.split(color, key), *log_};
  }
  void abort(std::string_view reason) noexcept { inner_.abort(reason); }

 private:
  Local inner_;
  Log* log_;
};

/// Copies a block of floats: `rows` runs of `columns`, `stride` apart in the tensor.
std::byte* pack(std::byte* to, float const* from, int rows, int columns, int stride) {
  for (int row = 0; row < rows; ++row) {
    std::memcpy(to, from + row * stride, static_cast<std::size_t>(columns) * sizeof(float));
    to += static_cast<std::size_t>(columns) * sizeof(float);
  }
  return to;
}
std::byte const* unpack(std::byte const* from, float* to, int rows, int columns, int stride) {
  for (int row = 0; row < rows; ++row) {
    std::memcpy(to + row * stride, from, static_cast<std::size_t>(columns) * sizeof(float));
    from += static_cast<std::size_t>(columns) * sizeof(float);
  }
  return from;
}

constexpr Layout two{.tensor = 2};
constexpr Layout four{.tensor = 4};
constexpr Layout two_twice{.tensor = 2, .data = 2};

using TwoStage = rlhf::sync::TwoStage<>;
using StagedSource = On<two, TwoStage>;
using StagedDestination = On<four, TwoStage>;

/// Two tensor ranks (0, 1) to four (2 to 5) in two stages, by hand. Rank s sends to 2 + 2 s, which
/// keeps its half and passes the other on. Transfers of a step run together; what is passed on goes
/// with the next step.
template <class C>
class StagedByHand {
 public:
  StagedByHand(C& world, StagedSource& source, StagedDestination& destination)
      : world_(&world),
        source_(&source),
        destination_(&destination) {}

  void sync() {
    C& world = *world_;
    int const me = world.rank();
    int const s = me < 2 ? me : (me - 2) / 2;
    int const relay = 2 + 2 * s;
    int const last = relay + 1;
    if (me == s) {
      pack(pack(near_, source_->w, 1, 8, 0), source_->c, 4, 1, 2);
      pack(pack(far_, source_->w + 8, 1, 8, 0), source_->c + 1, 4, 1, 2);
      world
          .group_start();  // one of its two slots after the other, so that packing overlaps sending
      world.send(near_, 48, DType::u8, relay, {});
      world.group_end({});
      world.group_start();
      world.send(far_, 48, DType::u8, relay, {});
      world.send(source_->b, 16, DType::u8, relay, {});
      world.group_end({});
    } else if (me == relay) {
      world.group_start();
      world.recv(near_, 48, DType::u8, s, {});
      world.group_end({});
      take(near_);
      world.group_start();
      world.recv(far_, 48, DType::u8, s, {});
      world.group_end({});
      world.group_start();
      world.send(far_, 48, DType::u8, last, {});
      world.recv(destination_->b, 16, DType::u8, s, {});
      world.group_end({});
      world.group_start();
      world.send(destination_->b, 16, DType::u8, last, {});
      world.group_end({});
    } else {
      world.group_start();
      world.recv(far_, 48, DType::u8, relay, {});
      world.recv(destination_->b, 16, DType::u8, relay, {});
      world.group_end({});
      take(far_);
    }
  }

 private:
  void take(std::byte const* bytes) {
    unpack(unpack(bytes, destination_->w, 1, 8, 0), destination_->c, 4, 1, 1);
  }
  C* world_;
  StagedSource* source_;
  StagedDestination* destination_;
  std::byte near_[48] = {};
  std::byte far_[48] = {};
};

using Broadcast = rlhf::sync::Broadcast<>;
using WideSource = On<two, Broadcast>;
using WideDestination = On<two_twice, Broadcast>;

/// Two tensor ranks (0, 1) to two replicas of two (2, 3 and 4, 5): one broadcast each, by hand.
template <class C>
class BroadcastByHand {
 public:
  BroadcastByHand(C& world, WideSource& source, WideDestination& destination)
      : group_(world.split(world.rank() % 2, world.rank())),
        source_(&source),
        destination_(&destination) {}

  void sync() {
    if (group_.rank() == 0) {
      pack(pack(pack(bytes_, source_->w, 1, 16, 0), source_->b, 1, 4, 0), source_->c, 1, 8, 0);
    }
    group_.broadcast(bytes_, 112, DType::u8, 0, {});
    if (group_.rank() != 0) {
      unpack(unpack(unpack(bytes_, destination_->w, 1, 16, 0), destination_->b, 1, 4, 0),
             destination_->c, 1, 8, 0);
    }
  }

 private:
  C group_;
  WideSource* source_;
  WideDestination* destination_;
  std::byte bytes_[112] = {};
};

/// What ends a sync, by hand: all ranks are done and mean the same version.
template <class C>
void commit_by_hand(C& world, std::int64_t version) {
  std::int64_t range[2] = {version, -version};
  world.all_reduce(range, range, 2, DType::i64, rlhf::comm::Reduce::max, {});
  CHECK(range[0] == -range[1]);
}

/// Runs `sync(version)` once to get going, then three times, and gives the allocations of those.
template <class Source, class Destination, class Sync>
std::int64_t steady(Source& source, Destination& destination, int first, Sync sync) {
  std::int64_t before = 0;
  for (int version = first; version < first + 4; ++version) {
    if (source.present()) {
      source.fill(version);
    }
    before = version == first + 1 ? allocations() : before;
    sync(version);
    CHECK((!destination.present() || destination.holds(version)));
  }
  return allocations() - before;
}

/// Compares a link with a loop by hand on six ranks.
template <class Source, class Destination, template <class> class ByHand>
void compare() {
  std::atomic<int> compared{0};
  rlhf::comm::run_local(6, [&](Local local) {
    Log log;
    Logged world(std::move(local), log);
    Source source(Mesh::range(0, 2), world.rank());
    Destination destination(Mesh::range(2, 4), world.rank());

    rlhf::sync::Link link(world, source, destination);
    log = {};
    std::int64_t const library_allocations =
        steady(source, destination, 1, [&](int version) { link.sync(rlhf::Version{version}); });
    Log const library = log;

    ByHand<Logged> by_hand(world, source, destination);
    log = {};
    std::int64_t const by_hand_allocations = steady(source, destination, 5, [&](int version) {
      by_hand.sync();
      commit_by_hand(world, version);
    });

    CHECK(library.calls == log.calls);
    CHECK(library.bytes == log.bytes);
    CHECK(library.sequence ==
          log.sequence);  // the same calls in the same order, with the same peers
    CHECK(library.calls > 0);
    CHECK(library_allocations == 0);
    CHECK(by_hand_allocations == 0);
    ++compared;
  });
  CHECK(compared == 6);
}

TEST_CASE("two stages from two tensor ranks to four, as by hand") {
  compare<StagedSource, StagedDestination, StagedByHand>();
}

TEST_CASE("a broadcast from two tensor ranks to two replicas, as by hand") {
  compare<WideSource, WideDestination, BroadcastByHand>();
}

TEST_CASE("Recording sees the same record of two stages, as by hand") {
  rlhf::comm::run_local(6, [](Local local) {
    Recording world(std::move(local));
    StagedSource source(Mesh::range(0, 2), world.rank());
    StagedDestination destination(Mesh::range(2, 4), world.rank());
    rlhf::sync::Link link(world, source, destination);
    world.clear();
    CHECK(steady(source, destination, 1, [&](int version) { link.sync(rlhf::Version{version}); }) ==
          0);
    rlhf::comm::Record const library = world.record();
    StagedByHand<Recording> by_hand(world, source, destination);
    world.clear();
    CHECK(steady(source, destination, 5, [&](int version) {
            by_hand.sync();
            commit_by_hand(world, version);
          }) == 0);
    CHECK(world.record() == library);
    CHECK(library.send.calls + library.recv.calls > 0);
    CHECK(library.broadcast.calls == 0);
    CHECK(library.splits == 0);
  });
}

TEST_CASE("point to point: each rank receives what it lacks once, nothing is sent twice") {
  using PointToPoint = rlhf::sync::PointToPoint<rlhf::Bytes{256}>;
  rlhf::comm::run_local(6, [](Local local) {
    Recording world(std::move(local));
    On<two, PointToPoint> source(Mesh::range(0, 2), world.rank());
    On<four, PointToPoint> destination(Mesh::range(2, 4), world.rank());
    rlhf::sync::Link link(world, source, destination);
    world.clear();
    CHECK(steady(source, destination, 1, [&](int version) { link.sync(rlhf::Version{version}); }) ==
          0);
    CHECK(world.record().recv.bytes == (destination.present() ? 4 * (32 + 16 + 16) : 0));
    CHECK(world.record().all_gather.calls == 0);
  });
}

TEST_CASE("steps and hooks of a module allocate nothing") {
  struct Trainer : rlhf::Module<rlhf::Grid<>> {
    using Module::Module;
    using Batch = int;
    int train_step(std::span<int const> batches, rlhf::Step) {
      return static_cast<int>(batches.size());
    }
  };
  Trainer trainer(Mesh::range(0, 1), 0);
  int const batches[2] = {};
  std::int64_t const before = allocations();
  rlhf::hook::setup(trainer);
  rlhf::hook::before_episode(trainer);
  int sum = 0;
  for (int step = 0; step < 10; ++step) {
    sum += rlhf::hook::train_step(trainer, batches);
  }
  rlhf::hook::after_episode(trainer);
  Layout const layout = trainer.layout();
  rlhf::Coordinate const at = trainer.coordinate();
  std::int64_t const after = allocations();
  CHECK(after == before);
  CHECK(sum == 20);
  CHECK(layout.ranks() == 1);
  CHECK(at == rlhf::Coordinate{});
}

}  // namespace
