// What the engine costs: episodes of a millisecond driven by rlhf::Engine beside the same calls
// written out by hand, on two ranks that are threads: draw, generate, move rows to a module on
// other shares, train, sync.
//
// Prints a JSON line for each workload: microseconds of an episode either way (median over the
// rounds, which alternate between the two), the ratio, and the allocations of an episode on rank 0.
// Fails where the results differ.
#include <rlhf/engine/engine.hpp>
#include <rlhf/rlhf.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <span>
#include <vector>

namespace {

thread_local std::int64_t allocations = 0;

}  // namespace

// GCC takes the two for a mismatch where it inlines one of them.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* const memory = std::malloc(bytes)) {
    return memory;
  }
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace {

namespace engine = rlhf::engine;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::Step;
using rlhf::comm::Local;
using namespace rlhf::literals;

void work(std::int64_t nanoseconds) {
  std::int64_t const end = rlhf::steady_nanoseconds() + nanoseconds;
  while (rlhf::steady_nanoseconds() < end) {
  }
}

/// Rows that hooks return by moving what they were given back, so that they allocate nothing.
struct Rows {
  std::vector<std::int64_t> id;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("id", id);
  }
};
struct Answers : Rows {};

std::int64_t half = 0;  // nanoseconds of work in each of the two hooks

struct Generator : rlhf::Module<rlhf::RuntimeGrid, rlhf::sync::PointToPoint<>,
                                rlhf::data::RuntimeMixture<rlhf::data::KeyedOrder>> {
  using Module::Module;
  using Batch = Rows;
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("w", rlhf::view(weight, {1024}), rlhf::shard::replicated());
  }
  Answers forward_step(Batch const& batch, Step) {
    work(half);
    Answers out;
    out.id = batch.id;
    out.id[0] += static_cast<std::int64_t>(weight[0]);
    return out;
  }
  std::vector<float> weight = std::vector<float>(1024);
};
struct Actor : rlhf::Module<rlhf::RuntimeGrid> {
  using Module::Module;
  using Batch = Answers;
  template <class Visit>
  void parameters(Visit&& visit) {
    visit("w", rlhf::view(weight, {1024}), rlhf::shard::replicated());
  }
  int train_step(std::span<Batch const> batches, Step) {
    work(half);
    for (Batch const& batch : batches) {
      for (std::int64_t const id : batch.id) {
        sum += id;
      }
    }
    weight[0] += 1;
    return 0;
  }
  std::vector<float> weight = std::vector<float>(1024);
  std::int64_t sum = 0;
};

Rows ask(std::span<rlhf::data::Draw const> draws) {
  Rows out;
  out.id.resize(draws.size());
  for (std::size_t i = 0; i < draws.size(); ++i) {
    out.id[i] = draws[i].index;
  }
  return out;
}

/// The same calls by hand: the rows of both shares to both, by two messages a pair.
struct ByHand {
  std::vector<rlhf::data::Draw> draws;
  Answers made;
  Answers batch;
  std::vector<std::int64_t> sizes{0, 0};

  template <class Link>
  void episode(Local& world, Generator& generator, Actor& actor, Link& link, std::int64_t e) {
    std::int64_t const rows = generator.draw(draws);
    rlhf::hook::before_episode(generator);
    rlhf::hook::before_episode(actor);
    Rows const prompts = ask(draws);
    made = rlhf::hook::forward_step(generator, prompts);
    // The generator has a share a rank, the actor one share on both: each sends its rows.
    int const other = 1 - world.rank();
    std::int64_t const own = std::ssize(made.id);
    std::int64_t size = 0;
    rlhf::comm::grouped(world, [&] {
      world.send(&own, 1, rlhf::DType::i64, other);
      world.recv(&size, 1, rlhf::DType::i64, other);
    });
    batch.id.resize(static_cast<std::size_t>(rows));
    auto const first = static_cast<std::size_t>(world.rank() == 0 ? 0 : size);
    auto const second = static_cast<std::size_t>(world.rank() == 0 ? own : 0);
    std::copy(made.id.begin(), made.id.end(),
              batch.id.begin() + static_cast<std::ptrdiff_t>(first));
    rlhf::comm::grouped(world, [&] {
      world.send(made.id.data(), own, rlhf::DType::i64, other);
      world.recv(batch.id.data() + second, size, rlhf::DType::i64, other);
    });
    rlhf::hook::train_step(actor, std::span<Answers const>(&batch, 1));
    rlhf::hook::after_episode(generator);
    rlhf::hook::after_episode(actor);
    link.sync(rlhf::Version{e + 1});
  }
};

struct Outcome {
  double hand = 0;
  double loop = 0;
  std::int64_t allocated = 0;
  bool equal = false;
};

Outcome measure(int rounds, int episodes) {
  Outcome outcome;
  rlhf::comm::run_local(2, [&](Local world) {
    Mesh const mesh = Mesh::range(0, 2);
    rlhf::data::SamplerOptions const data{.dataset_sizes = {1'000'000}, .samples_per_episode = 64};
    Generator generator(mesh, world.rank(), Layout{.data = 2});
    Generator twin(mesh, world.rank(), Layout{.data = 2});
    Actor actor(mesh, world.rank(), Layout{.tensor = 2});
    Actor other(mesh, world.rank(), Layout{.tensor = 2});
    generator.open_data(data);
    twin.open_data(data);
    rlhf::Engine loop(world, {.episodes = 1'000'000}, engine::prompts("prompts", generator, ask),
                      engine::stage("generate", generator), engine::train("policy", actor),
                      engine::sync("weights", actor, generator));
    loop.begin();
    rlhf::sync::Link link(world, other, twin);
    link.sync(rlhf::Version{0});
    ByHand hand;
    std::int64_t e = 0;
    std::vector<double> by_hand;
    std::vector<double> by_loop;
    std::int64_t allocated = 0;
    for (int round = 0; round < rounds + 2; ++round) {
      world.barrier();
      std::int64_t const a = rlhf::steady_nanoseconds();
      for (int i = 0; i < episodes; ++i) {
        hand.episode(world, twin, other, link, e++);
      }
      world.barrier();
      std::int64_t const b = rlhf::steady_nanoseconds();
      std::int64_t const before = allocations;
      for (int i = 0; i < episodes; ++i) {
        loop.round();
      }
      allocated = allocations - before;
      world.barrier();
      std::int64_t const c = rlhf::steady_nanoseconds();
      if (round >= 2) {
        by_hand.push_back(static_cast<double>(b - a) * 1e-3 / episodes);
        by_loop.push_back(static_cast<double>(c - b) * 1e-3 / episodes);
      }
    }
    std::sort(by_hand.begin(), by_hand.end());
    std::sort(by_loop.begin(), by_loop.end());
    if (world.rank() == 0) {
      outcome = {by_hand[by_hand.size() / 2], by_loop[by_loop.size() / 2], allocated / episodes,
                 actor.sum == other.sum && generator.weight == twin.weight};
    }
  });
  return outcome;
}

}  // namespace

int main() {
  for (std::int64_t const nanoseconds : {1'000'000, 100'000, 0}) {
    half = nanoseconds / 2;
    Outcome const found = measure(nanoseconds == 0 ? 40 : 20, nanoseconds == 1'000'000 ? 50 : 200);
    std::printf(
        "{\"benchmark\":\"engine/"
        "overhead\",\"work_us\":%lld,\"by_hand_us\":%.2f,\"engine_us\":%.2f,"
        "\"ratio\":%.4f,\"allocations_an_episode\":%lld,\"of_them_in_hooks\":2}\n",
        static_cast<long long>(nanoseconds / 1000), found.hand, found.loop, found.loop / found.hand,
        static_cast<long long>(found.allocated));
    if (!found.equal) {
      std::fprintf(stderr, "engine/overhead: the two loops computed different things\n");
      return 1;
    }
  }
  return 0;
}
