// Messages between ranks of comm::Local.
#include <rlhf/comm/local_world.hpp>
#include <rlhf/comm/operations.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "ranks/world.hpp"

namespace comm = rlhf::comm;
using comm::Local;

namespace {

constexpr int world_sizes[] = {1, 2, 3, 4, 7};

std::vector<int> message(int from, int to, int number, int count) {
  std::vector<int> out;
  for (int i = 0; i < count; ++i) {
    out.push_back(((from * 8 + to) * 64 + number) * 4096 + i);
  }
  return out;
}

/// A small generator that all ranks run alike.
class Dice {
 public:
  explicit Dice(std::uint32_t seed) : state_(seed * 2654435761U + 12345U) {}
  int below(int n) {
    state_ = state_ * 1664525U + 1013904223U;
    return static_cast<int>((std::uint64_t{state_} * static_cast<std::uint32_t>(n)) >> 32);
  }

 private:
  std::uint32_t state_;
};

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

TEST_CASE("a ring of messages, the ring of one rank included") {
  on_every_world([](Local& world) {
    int const next = (world.rank() + 1) % world.size();
    int const previous = (world.rank() + world.size() - 1) % world.size();
    int wrong = 0;
    for (int round = 0; round < 50; ++round) {
      std::vector<int> out = message(world.rank(), next, round % 64, 9);
      std::vector<int> in(9);
      comm::grouped(world, [&] {
        comm::send(world, std::span(out), next);
        comm::recv(world, std::span(in), previous);
      });
      wrong += in == message(previous, world.rank(), round % 64, 9) ? 0 : 1;
    }
    return wrong;
  });
}

TEST_CASE("without a group, a send ends when its receiver has taken it") {
  on_every_world([](Local& world) {
    // A token goes around: everyone but rank 0 first receives, then sends.
    std::vector<int> token{1000};
    int const last = world.size() - 1;
    if (world.rank() != 0) {
      comm::recv(world, std::span(token), world.rank() - 1);
      token[0] += world.rank();
    }
    if (world.rank() != last) {
      comm::send(world, std::span(token), world.rank() + 1);
    }
    return token[0] == 1000 + world.rank() * (world.rank() + 1) / 2 ? 0 : 1;
  });
}

TEST_CASE("all pairs at once, oneself included, several messages a pair in order") {
  on_every_world([](Local& world) {
    constexpr int each = 3;
    std::vector<std::vector<int>> out;
    std::vector<std::vector<int>> in;
    for (int peer = 0; peer < world.size(); ++peer) {
      for (int number = 0; number < each; ++number) {
        // The same size for all, so that only the order tells them apart.
        out.push_back(message(world.rank(), peer, number, 11));
        in.emplace_back(11);
      }
    }
    comm::grouped(world, [&] {
      for (std::size_t i = out.size(); i-- > 0;) {  // receives first, peers backwards
        std::size_t const pair = i / each * each + (each - 1 - i % each);
        comm::recv(world, std::span(in[pair]), static_cast<int>(i / each));
      }
      for (std::size_t i = 0; i < out.size(); ++i) {
        comm::send(world, std::span(out[i]), static_cast<int>(i / each));
      }
    });
    int wrong = 0;
    for (int peer = 0; peer < world.size(); ++peer) {
      for (int number = 0; number < each; ++number) {
        wrong += in[static_cast<std::size_t>(peer * each + number)] ==
                         message(peer, world.rank(), number, 11)
                     ? 0
                     : 1;
      }
    }
    return wrong;
  });
}

TEST_CASE(
    "random traffic: whatever the order in which ranks post, messages of a pair keep theirs") {
  on_every_world([](Local& world) {
    int wrong = 0;
    int const ranks = world.size();
    for (std::uint32_t round = 0; round < 40; ++round) {
      struct Message {
        int from, to, number, count;
        std::vector<int> data;
      };
      Dice dice(round);
      std::vector<Message> all;
      int const total = dice.below(4 * ranks + 1);
      for (int m = 0; m < total; ++m) {
        Message next{dice.below(ranks), dice.below(ranks), 0, dice.below(40), {}};  // 0 is a size
        for (Message const& before : all) {
          next.number += before.from == next.from && before.to == next.to ? 1 : 0;
        }
        all.push_back(next);
      }
      // My own order of pairs: rotate by rank, keep the order within a pair.
      std::stable_sort(all.begin(), all.end(), [&](Message const& a, Message const& b) {
        auto const key = [&](Message const& m) {
          return (m.from * 5 + m.to * 3 + world.rank() * 7) % 11;
        };
        return key(a) < key(b);
      });
      for (Message& m : all) {
        m.data = m.from == world.rank() ? message(m.from, m.to, m.number, m.count)
                                        : std::vector<int>(static_cast<std::size_t>(m.count));
      }
      std::vector<std::vector<int>> received(all.size());
      comm::grouped(world, [&] {
        for (std::size_t i = 0; i < all.size(); ++i) {
          if (all[i].from == world.rank()) {
            comm::send(world, std::span(all[i].data), all[i].to);
          }
          if (all[i].to == world.rank()) {
            received[i].resize(all[i].data.size());
            comm::recv(world, std::span(received[i]), all[i].from);
          }
        }
      });
      for (std::size_t i = 0; i < all.size(); ++i) {
        Message const& m = all[i];
        wrong +=
            m.to != world.rank() || received[i] == message(m.from, m.to, m.number, m.count) ? 0 : 1;
      }
    }
    return wrong;
  });
}

TEST_CASE("messages keep their order when they come while a long one is being copied") {
  // Rank 0 wants one message of rank 1, a long one of rank 2, and another of rank 1, which sends
  // both at some moment while rank 0 is busy with the long one.
  constexpr int rounds = 40;
  int wrong = 0;
  std::vector<ranks::Meeting> meetings(rounds);
  ranks::WorldEnd const end = ranks::run_world(3, [&](Local& world) {
    std::vector<char> large(world.rank() == 1 ? 1 : 8 << 20);
    for (int round = 0; round < rounds; ++round) {
      std::vector<int> first{1};
      std::vector<int> second{2};
      meetings[static_cast<std::size_t>(round)].arrive(3);
      if (world.rank() == 0) {
        first = second = {0};
        comm::grouped(world, [&] {
          comm::recv(world, std::span(first), 1);
          world.recv(large.data(), std::ssize(large), rlhf::DType::u8, 2);
          comm::recv(world, std::span(second), 1);
        });
        wrong += first[0] == 1 && second[0] == 2 ? 0 : 1;
      } else if (world.rank() == 1) {
        ranks::Meeting::sleep_us(100 * (round % 20));
        comm::grouped(world, [&] {
          comm::send(world, std::span(first), 0);
          comm::send(world, std::span(second), 0);
        });
      } else {
        world.send(large.data(), std::ssize(large), rlhf::DType::u8, 0);
      }
    }
  });
  CHECK_FALSE(end.world.failed);
  CHECK(wrong == 0);
}

TEST_CASE("a group inside a group ends with the outer one") {
  on_every_world([](Local& world) {
    std::vector<int> out{world.rank()};
    std::vector<int> in{-1};
    int const peer = world.size() - 1 - world.rank();
    comm::grouped(world, [&] {
      comm::grouped(world, [&] { comm::recv(world, std::span(in), peer); });  // would never end
      comm::grouped(world, [&] { comm::send(world, std::span(out), peer); });
    });
    return in[0] == peer ? 0 : 1;
  });
}

TEST_CASE("when the body of a group throws, nothing of it is sent and the communicator works") {
  on_every_world([](Local& world) {
    int wrong = 0;
    int const next = (world.rank() + 1) % world.size();
    int const previous = (world.rank() + world.size() - 1) % world.size();
    std::vector<int> bad{-7};
    try {
      comm::grouped(world, [&] {
        comm::send(world, std::span(bad), next);
        throw 5;
      });
      ++wrong;
    } catch (int) {
    }
    std::vector<int> out{world.rank()};
    std::vector<int> in{-1};
    comm::grouped(world, [&] {
      comm::send(world, std::span(out), next);
      comm::recv(world, std::span(in), previous);
    });
    world.barrier();
    return wrong + (in[0] == previous ? 0 : 1);
  });
}

TEST_CASE("wrong peers, sizes and places of calls are refused where they are made") {
  ranks::run_world(2, [](Local& world) {
    std::vector<int> data(4);
    auto const refused = [&](auto&& call, char const* part) {
      try {
        call();
        CHECK_MESSAGE(false, "nothing was thrown for ", part);
      } catch (rlhf::Error const& error) {
        CHECK(error.code() == rlhf::Errc::invalid_argument);
        CHECK_MESSAGE(std::string(error.what()).find(part) != std::string::npos, error.what());
      }
    };
    refused([&] { world.send(data.data(), 4, rlhf::DType::i32, 2); }, "got 2");
    refused([&] { world.recv(data.data(), 4, rlhf::DType::i32, -1); }, "got -1");
    refused([&] { world.broadcast(data.data(), 4, rlhf::DType::i32, 7); }, "got 7");
    refused([&] { world.broadcast(data.data(), -world.size(), rlhf::DType::i32, 0); }, "negative");
    refused([&] { world.send(data.data(), -world.size(), rlhf::DType::i32, 0); }, "negative");
    refused([&] { world.recv(data.data(), -world.size(), rlhf::DType::i32, 0); }, "negative");
    refused([&] { world.group_end(); }, "group_start");
    refused([&] { world.all_to_all(data.data(), data.data(), 2, rlhf::DType::i32); }, "in place");
    refused([&] { comm::grouped(world, [&] { world.barrier(); }); }, "group_start");
    refused([&] { static_cast<void>(world.world_rank(2)); }, "2");
    // None of that has harmed the world.
    comm::all_reduce(world, std::span(data));
  });
}
