// Collectives of comm::Local against a serial computation.
#include <rlhf/comm/local_world.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/tensor/convert.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "ranks/world.hpp"

namespace comm = rlhf::comm;
using comm::Local;
using comm::Reduce;

namespace {

constexpr int world_sizes[] = {1, 2, 3, 4, 7};
constexpr std::int64_t counts[] = {0, 1, 2, 5, 63, 512, 513, 1031};
constexpr Reduce reductions[] = {Reduce::sum, Reduce::max, Reduce::min};

std::uint64_t noise(std::uint64_t a, std::uint64_t b) {
  std::uint64_t x = a * 0x9e3779b97f4a7c15ULL ^ (b + 1) * 0xc2b2ae3d27d4eb4fULL;
  x ^= x >> 29;
  x *= 0x165667b19e3779f9ULL;
  return x ^ (x >> 32);
}

/// Element `i` of rank `rank`: floats of different size and sign, so that the order of a sum shows.
template <class T>
T element(int rank, std::int64_t i) {
  std::uint64_t const bits = noise(static_cast<std::uint64_t>(rank), static_cast<std::uint64_t>(i));
  double const scale[] = {1e-3, 1.0, 7.0, 1e3};
  double const real = (static_cast<double>(bits >> 40) / 8388608.0 - 1.0) * scale[bits % 4];
  if constexpr (std::is_same_v<T, rlhf::BFloat16>) {
    return rlhf::to_bfloat16(static_cast<float>(real));
  } else if constexpr (std::is_same_v<T, rlhf::Float16>) {
    return rlhf::to_float16(static_cast<float>(real));
  } else if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(real);
  } else {
    return static_cast<T>(bits % 30);
  }
}

template <class T>
auto widened(T value) {
  if constexpr (std::is_same_v<T, rlhf::BFloat16> || std::is_same_v<T, rlhf::Float16>) {
    return rlhf::to_float(value);
  } else {
    return value;
  }
}
template <class T, class Wide>
T narrowed(Wide value) {
  if constexpr (std::is_same_v<T, rlhf::BFloat16>) {
    return rlhf::to_bfloat16(value);
  } else if constexpr (std::is_same_v<T, rlhf::Float16>) {
    return rlhf::to_float16(value);
  } else {
    return value;
  }
}

/// Element `i` reduced over all ranks, one after the other.
template <class T>
T reduced(int ranks, std::int64_t i, Reduce op) {
  auto result = widened(element<T>(0, i));
  for (int rank = 1; rank < ranks; ++rank) {
    auto const next = widened(element<T>(rank, i));
    using Wide = decltype(result);
    result = op == Reduce::sum   ? static_cast<Wide>(result + next)
             : op == Reduce::max ? (next > result ? next : result)
                                 : (next < result ? next : result);
  }
  return narrowed<T>(result);
}

template <class T>
std::vector<T> input(int rank, std::int64_t count) {
  std::vector<T> out;
  for (std::int64_t i = 0; i < count; ++i) {
    out.push_back(element<T>(rank, i));
  }
  return out;
}

template <class T>
bool same_bits(std::vector<T> const& a, std::vector<T> const& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(static_cast<void const*>(a.data()),
                                   static_cast<void const*>(b.data()), a.size() * sizeof(T)) == 0);
}

/// Runs `body(comm)`, which returns the number of its mistakes, on worlds of every size.
template <class Body>
void on_every_world(Body body) {
  for (int const size : world_sizes) {
    CAPTURE(size);
    std::vector<int> mistakes(static_cast<std::size_t>(size), -1);
    ranks::WorldEnd const end = ranks::run_world(size, [&](Local& world) {
      mistakes[static_cast<std::size_t>(world.rank())] = body(world);
    });
    CHECK_FALSE(end.world.failed);
    CHECK(mistakes == std::vector<int>(static_cast<std::size_t>(size), 0));
  }
}

}  // namespace

TEST_CASE("ranks know their place") {
  on_every_world([](Local& world) {
    return world.rank() >= 0 && world.rank() < world.size() &&
                   world.world_rank(world.rank()) == world.rank()
               ? 0
               : 1;
  });
}

TEST_CASE("broadcast: everyone has the root's elements, whoever is the root") {
  on_every_world([](Local& world) {
    int wrong = 0;
    for (int root = 0; root < world.size(); ++root) {
      for (std::int64_t const count : counts) {
        std::vector<float> data = input<float>(world.rank(), count);
        world.broadcast(data.data(), count, rlhf::DType::f32, root);
        wrong += same_bits(data, input<float>(root, count)) ? 0 : 1;
      }
    }
    return wrong;
  });
}

TEST_CASE_TEMPLATE("all_reduce equals a serial reduction in rank order, bit for bit", T, float,
                   double, rlhf::BFloat16, rlhf::Float16, std::int64_t, std::int32_t,
                   std::uint8_t) {
  on_every_world([](Local& world) {
    int wrong = 0;
    for (Reduce const op : reductions) {
      for (std::int64_t const count : counts) {
        std::vector<T> want;
        for (std::int64_t i = 0; i < count; ++i) {
          want.push_back(reduced<T>(world.size(), i, op));
        }
        std::vector<T> const in = input<T>(world.rank(), count);
        std::vector<T> out(in.size());
        world.all_reduce(in.data(), out.data(), count, rlhf::dtype_of<T>, op);
        wrong += same_bits(out, want) && same_bits(in, input<T>(world.rank(), count)) ? 0 : 1;
        std::vector<T> place = in;
        world.all_reduce(place.data(), place.data(), count, rlhf::dtype_of<T>, op);
        wrong += same_bits(place, want) ? 0 : 1;
        // Some ranks in place, some not.
        std::vector<T> mixed = in;
        std::vector<T> mixed_out(in.size());
        bool const in_place = world.rank() % 2 == 0;
        world.all_reduce(mixed.data(), in_place ? mixed.data() : mixed_out.data(), count,
                         rlhf::dtype_of<T>, op);
        wrong += same_bits(in_place ? mixed : mixed_out, want) ? 0 : 1;
      }
    }
    return wrong;
  });
}

TEST_CASE("float sums are equal on all ranks and in every run") {
  std::vector<std::vector<float>> first;
  for (int run = 0; run < 5; ++run) {
    std::vector<std::vector<float>> results(7);
    ranks::run_world(7, [&](Local& world) {
      std::vector<float> data = input<float>(world.rank(), 4097);
      comm::all_reduce(world, std::span(data));
      results[static_cast<std::size_t>(world.rank())] = data;
    });
    for (std::vector<float> const& result : results) {
      CHECK(same_bits(result, results[0]));
    }
    if (run == 0) {
      first = results;
    }
    CHECK(same_bits(results[0], first[0]));
  }
  // The data can tell: another order of operands gives another sum somewhere.
  int differ = 0;
  for (std::int64_t i = 0; i < 4097; ++i) {
    float backwards = 0;
    for (int rank = 7; rank-- > 0;) {
      backwards += element<float>(rank, i);
    }
    differ += backwards == reduced<float>(7, i, Reduce::sum) ? 0 : 1;
  }
  CHECK(differ > 100);
}

TEST_CASE("all_gather: the ranks' elements in rank order, in place, too") {
  on_every_world([](Local& world) {
    int wrong = 0;
    for (std::int64_t const count : counts) {
      std::vector<double> want;
      for (int rank = 0; rank < world.size(); ++rank) {
        std::vector<double> const part = input<double>(rank, count);
        want.insert(want.end(), part.begin(), part.end());
      }
      std::vector<double> const in = input<double>(world.rank(), count);
      std::vector<double> out(want.size());
      comm::all_gather(world, std::span(in), std::span(out));
      wrong += same_bits(out, want) ? 0 : 1;
      std::vector<double> place(want.size());
      std::copy(in.begin(), in.end(), place.begin() + world.rank() * count);
      double* const own = place.data() + world.rank() * count;
      world.all_gather(own, place.data(), count, rlhf::DType::f64);
      wrong += same_bits(place, want) ? 0 : 1;
    }
    return wrong;
  });
}

TEST_CASE_TEMPLATE("reduce_scatter: block r of the reduction on rank r, in place, too", T, float,
                   rlhf::BFloat16, std::int32_t) {
  on_every_world([](Local& world) {
    int wrong = 0;
    for (Reduce const op : reductions) {
      for (std::int64_t const count : counts) {
        std::int64_t const begin = world.rank() * count;
        std::vector<T> want;
        for (std::int64_t i = begin; i < begin + count; ++i) {
          want.push_back(reduced<T>(world.size(), i, op));
        }
        std::vector<T> const in = input<T>(world.rank(), count * world.size());
        std::vector<T> out(want.size());
        comm::reduce_scatter(world, std::span(in), std::span(out), op);
        wrong += same_bits(out, want) ? 0 : 1;
        std::vector<T> place = in;
        world.reduce_scatter(place.data(), place.data() + begin, count, rlhf::dtype_of<T>, op);
        std::vector<T> whole = in;  // only the own block has changed
        std::copy(want.begin(), want.end(), whole.begin() + begin);
        wrong += same_bits(place, whole) ? 0 : 1;
      }
    }
    return wrong;
  });
}

TEST_CASE("all_to_all: block b of rank r arrives as block r of rank b") {
  on_every_world([](Local& world) {
    int wrong = 0;
    for (std::int64_t const count : counts) {
      auto const block = [&](int from, int to) {
        std::vector<std::int64_t> out;
        for (std::int64_t i = 0; i < count; ++i) {
          out.push_back(from * 1'000'000 + to * 10'000 + i);
        }
        return out;
      };
      std::vector<std::int64_t> in;
      std::vector<std::int64_t> want;
      for (int peer = 0; peer < world.size(); ++peer) {
        std::vector<std::int64_t> const sent = block(world.rank(), peer);
        std::vector<std::int64_t> const received = block(peer, world.rank());
        in.insert(in.end(), sent.begin(), sent.end());
        want.insert(want.end(), received.begin(), received.end());
      }
      std::vector<std::int64_t> out(in.size());
      comm::all_to_all(world, std::span(std::as_const(in)), std::span(out));
      wrong += out == want ? 0 : 1;
    }
    return wrong;
  });
}

TEST_CASE("nobody leaves a barrier before everybody came") {
  for (int const size : world_sizes) {
    CAPTURE(size);
    std::vector<std::atomic<int>> came(200);
    std::atomic<int> early{0};
    ranks::run_world(size, [&](Local& world) {
      for (std::atomic<int>& count : came) {
        ++count;
        world.barrier();
        early += count.load() == size ? 0 : 1;
      }
    });
    CHECK(early == 0);
  }
}

TEST_CASE("a mixed sequence of collectives keeps its data apart") {
  on_every_world([](Local& world) {
    int wrong = 0;
    int const ranks = world.size();
    for (int round = 0; round < 150; ++round) {
      std::vector<std::int64_t> data{world.rank() + round, round};
      switch (noise(9, static_cast<std::uint64_t>(round)) % 5) {
        case 0:
          comm::all_reduce(world, std::span(data));
          wrong += data[0] == ranks * (ranks - 1) / 2 + ranks * round ? 0 : 1;
          break;
        case 1:
          comm::broadcast(world, std::span(data), round % ranks);
          wrong += data[0] == round % ranks + round ? 0 : 1;
          break;
        case 2:
          comm::all_reduce(world, std::span(data), Reduce::max);
          wrong += data[0] == ranks - 1 + round ? 0 : 1;
          break;
        case 3:
          world.barrier();
          break;
        default: {
          int const next = (world.rank() + 1) % ranks;
          int const previous = (world.rank() + ranks - 1) % ranks;
          std::vector<std::int64_t> from(2);
          comm::grouped(world, [&] {
            comm::send(world, std::span(data), next);
            comm::recv(world, std::span(from), previous);
          });
          wrong += from[0] == previous + round ? 0 : 1;
        }
      }
    }
    return wrong;
  });
}
