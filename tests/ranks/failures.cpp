// Ranks that die, stall or do something else: the others must end, soon, and say who it was.
#include <rlhf/comm/local_world.hpp>
#include <rlhf/comm/operations.hpp>

#include <atomic>
#include <cstddef>
#include <iterator>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "ranks/world.hpp"

namespace comm = rlhf::comm;
using comm::Local;
using comm::Reduce;
using ranks::Outcome;
using rlhf::DType;
using rlhf::Errc;

namespace {

constexpr int size = 4;
constexpr int culprit = 2;

/// Memory for any call of up to 8 ranks.
struct Buffers {
  std::vector<int> in = std::vector<int>(64, 1);
  std::vector<int> out = std::vector<int>(64);
};

/// A call that needs every member of a group.
struct Call {
  char const* name;
  void (*make)(Local&, Buffers&);
};

Call const collectives[] = {
    {"broadcast", [](Local& c, Buffers& b) { c.broadcast(b.in.data(), 8, DType::i32, 0); }},
    {"all_reduce",
     [](Local& c, Buffers& b) {
       c.all_reduce(b.in.data(), b.out.data(), 8, DType::i32, Reduce::sum);
     }},
    {"all_gather",
     [](Local& c, Buffers& b) { c.all_gather(b.in.data(), b.out.data(), 8, DType::i32); }},
    {"reduce_scatter",
     [](Local& c, Buffers& b) {
       c.reduce_scatter(b.in.data(), b.out.data(), 8, DType::i32, Reduce::max);
     }},
    {"all_to_all",
     [](Local& c, Buffers& b) { c.all_to_all(b.in.data(), b.out.data(), 8, DType::i32); }},
    {"barrier", [](Local& c, Buffers&) { c.barrier(); }},
    {"split", [](Local& c, Buffers&) { static_cast<void>(c.split(0, 0)); }},
};

/// The place of the culprit in a group.
int place_of_culprit(Local& group) {
  for (int r = 0; r < group.size(); ++r) {
    if (group.world_rank(r) == culprit) {
      return r;
    }
  }
  return 0;
}

Call const messages[] = {
    {"recv", [](Local& c, Buffers& b) { c.recv(b.in.data(), 8, DType::i32, place_of_culprit(c)); }},
    {"send", [](Local& c, Buffers& b) { c.send(b.in.data(), 8, DType::i32, place_of_culprit(c)); }},
    {"exchange",
     [](Local& c, Buffers& b) {
       comm::grouped(c, [&] {
         for (int peer = 0; peer < c.size(); ++peer) {
           c.send(b.in.data() + 8 * peer, 8, DType::i32, peer);
           c.recv(b.out.data() + 8 * peer, 8, DType::i32, peer);
         }
       });
     }},
};

std::vector<Call> all_calls() {
  std::vector<Call> out(std::begin(collectives), std::end(collectives));
  out.insert(out.end(), std::begin(messages), std::end(messages));
  return out;
}

/// Every rank but the culprit has failed with an Error that names it.
void check_others_name(ranks::WorldEnd const& end, int guilty = culprit) {
  for (int r = 0; r < static_cast<int>(end.of.size()); ++r) {
    Outcome const& outcome = end.of[static_cast<std::size_t>(r)];
    if (r == guilty) {
      continue;
    }
    CAPTURE(r);
    CAPTURE(outcome.text);
    CHECK(outcome.library_error);
    CHECK(outcome.rank == guilty);
    CHECK(outcome.says("rank " + std::to_string(guilty)));
  }
  CHECK(end.world.library_error);
  CHECK(end.world.rank == guilty);
  CHECK(end.seconds < ranks::soon_seconds);
}

struct Death {
  char const* name;
  char const* says;  ///< Part of what the others must report.
  void (*die)(Local&);
};

Death const deaths[] = {
    {"a standard exception", "disk on fire",
     [](Local&) { throw std::runtime_error("disk on fire"); }},
    {"an Error", "loss is NaN", [](Local&) { rlhf::fail(Errc::corrupted, "loss is NaN"); }},
    {"an exception of unknown type", "unknown type", [](Local&) { throw 42; }},
    {"an early return", "returned", [](Local&) {}},
};

}  // namespace

TEST_CASE("a rank that dies ends every call that waits for it, long before the timeout") {
  for (Death const& death : deaths) {
    CAPTURE(std::string(death.name));
    for (Call const& call : all_calls()) {
      CAPTURE(std::string(call.name));
      ranks::WorldEnd const end = ranks::run_world(size, [&](Local& world) {
        Buffers buffers;
        world.barrier();
        if (world.rank() == culprit) {
          return death.die(world);
        }
        call.make(world, buffers);
      });
      check_others_name(end);
      for (int r = 0; r < size; ++r) {
        if (r != culprit) {
          CHECK(end.of[static_cast<std::size_t>(r)].says(death.says));
          CHECK(end.of[static_cast<std::size_t>(r)].code == Errc::aborted);
        }
      }
    }
  }
}

TEST_CASE("an Error keeps its code, a foreign exception becomes aborted") {
  CHECK(ranks::run_world(2, [](Local& world) {
          if (world.rank() == 1) {
            rlhf::fail(Errc::corrupted, "bad shard");
          }
          world.barrier();
        }).world.code == Errc::corrupted);
  Outcome const end = ranks::run_world(2, [](Local& world) {
                        if (world.rank() == 1) {
                          throw std::runtime_error("x");
                        }
                      }).world;
  CHECK(end.code == Errc::aborted);
  CHECK(end.rank == 1);
}

TEST_CASE("the world of one rank reports its rank, too") {
  ranks::WorldEnd const end =
      ranks::run_world(1, [](Local&) { throw std::runtime_error("alone"); });
  CHECK(end.world.rank == 0);
  CHECK(end.world.says("alone"));
}

TEST_CASE("a rank that dies ends calls of split groups, those without it, too") {
  for (Death const& death : deaths) {
    CAPTURE(std::string(death.name));
    for (Call const& call : all_calls()) {
      CAPTURE(std::string(call.name));
      ranks::WorldEnd const end = ranks::run_world(size, [&](Local& world) {
        Buffers buffers;
        // Ranks 2 and 0 in one group, in this order; 3 and 1 in the other.
        Local group = world.split(world.rank() % 2, -world.rank());
        if (world.rank() == culprit) {
          return death.die(group);
        }
        if (world.rank() == 0) {
          call.make(group, buffers);
          return;
        }
        for (;;) {  // the other group works on until it is told
          group.barrier();
        }
      });
      check_others_name(end);
      CHECK(end.of[0].says(death.says));
    }
  }
}

TEST_CASE("a rank that stalls: the others give up at their timeout and name it") {
  for (Call const& call : all_calls()) {
    CAPTURE(std::string(call.name));
    std::atomic<int> waiting{size - 1};
    ranks::WorldEnd const end = ranks::run_world(size, rlhf::Milliseconds{150}, [&](Local& world) {
      Buffers buffers;
      world.set_timeout(ranks::long_timeout);
      world.barrier();
      world.set_timeout(rlhf::Milliseconds{150});
      if (world.rank() == culprit) {
        while (waiting > 0) {  // busy with something else for as long as it takes
          ranks::Meeting::sleep_ms(5);
        }
        world.barrier();
        return;
      }
      try {
        call.make(world, buffers);
      } catch (rlhf::Error const&) {
        --waiting;
        throw;
      }
      --waiting;
    });
    check_others_name(end);
    CHECK(end.world.code == Errc::timeout);
    CHECK(end.world.says("150 ms"));
    // When it comes at last, it is told, too.
    CHECK(end.of[culprit].code == Errc::aborted);
  }
}

TEST_CASE("a stall inside a split group names the rank of the world") {
  std::atomic<bool> ended{false};
  ranks::WorldEnd const end = ranks::run_world(size, ranks::long_timeout, [&](Local& world) {
    Local group = world.split(world.rank() % 2, -world.rank());
    if (world.rank() == culprit) {
      while (!ended) {
        ranks::Meeting::sleep_ms(5);
      }
      return;
    }
    if (world.rank() == 0) {
      group.set_timeout(rlhf::Milliseconds{100});
      try {
        group.barrier();
      } catch (rlhf::Error const&) {
        ended = true;
        throw;
      }
    }
    for (;;) {
      group.barrier();
    }
  });
  check_others_name(end);
  CHECK(end.of[0].says("world rank 2"));
}

TEST_CASE("a rank that makes another call is named by all, whichever rank it is") {
  struct Other {
    char const* name;
    void (*make)(Local&, Buffers&);
  };
  Other const others[] = {
      {"another operation", [](Local& c, Buffers&) { c.barrier(); }},
      {"another size",
       [](Local& c, Buffers& b) {
         c.all_reduce(b.in.data(), b.out.data(), 9, DType::i32, Reduce::sum);
       }},
      {"another type",
       [](Local& c, Buffers& b) {
         c.all_reduce(b.in.data(), b.out.data(), 8, DType::f32, Reduce::sum);
       }},
      {"another reduction",
       [](Local& c, Buffers& b) {
         c.all_reduce(b.in.data(), b.out.data(), 8, DType::i32, Reduce::max);
       }},
  };
  for (int guilty = 0; guilty < size; ++guilty) {
    CAPTURE(guilty);
    for (Other const& other : others) {
      CAPTURE(std::string(other.name));
      ranks::WorldEnd const end = ranks::run_world(size, [&](Local& world) {
        Buffers buffers;
        if (world.rank() == guilty) {
          other.make(world, buffers);
        } else {
          world.all_reduce(buffers.in.data(), buffers.out.data(), 8, DType::i32, Reduce::sum);
        }
      });
      check_others_name(end, guilty);
      CHECK(end.world.code == Errc::rank_mismatch);
      CHECK(end.world.says("all_reduce(8 x i32, sum)"));
      CHECK(end.of[static_cast<std::size_t>(guilty)].library_error);
    }
  }
}

TEST_CASE("another root of a broadcast is another call") {
  ranks::WorldEnd const end = ranks::run_world(3, [&](Local& world) {
    int value = 0;
    world.broadcast(&value, 1, DType::i32, world.rank() == 1 ? 1 : 0);
  });
  check_others_name(end, 1);
  CHECK(end.world.says("root 1"));
}

TEST_CASE("another call inside a split group is named by its world rank") {
  ranks::WorldEnd const end = ranks::run_world(6, [&](Local& world) {
    Local group = world.split(world.rank() % 2, 0);  // 0 2 4 and 1 3 5
    Buffers buffers;
    if (world.rank() == 4) {
      group.all_gather(buffers.in.data(), buffers.out.data(), 3, DType::i32);
    }
    for (;;) {
      group.barrier();
    }
  });
  check_others_name(end, 4);
  CHECK(end.world.says("all_gather(3 x i32)"));
}

TEST_CASE("messages of another size or type are refused on both sides") {
  for (bool const other_type : {false, true}) {
    CAPTURE(other_type);
    ranks::WorldEnd const end = ranks::run_world(3, [&](Local& world) {
      Buffers buffers;
      if (world.rank() == 1) {
        world.send(buffers.in.data(), other_type ? 8 : 7, other_type ? DType::f32 : DType::i32, 0);
      } else if (world.rank() == 0) {
        world.recv(buffers.in.data(), 8, DType::i32, 1);
      } else {
        world.barrier();
      }
    });
    check_others_name(end, 1);
    CHECK(end.world.code == Errc::rank_mismatch);
    CHECK(end.world.says(other_type ? "8 x f32" : "7 x i32"));
    CHECK(end.world.says("rank 0"));
    CHECK(end.of[1].library_error);
  }
}

TEST_CASE("one rank receives while the others meet: all end at the timeout, and it is named") {
  ranks::WorldEnd const end = ranks::run_world(3, rlhf::Milliseconds{150}, [&](Local& world) {
    Buffers buffers;
    if (world.rank() == culprit) {
      world.recv(buffers.in.data(), 8, DType::i32, 0);
    } else {
      world.barrier();
    }
  });
  CHECK(end.world.code == Errc::timeout);
  for (Outcome const& outcome : end.of) {
    CHECK(outcome.library_error);
    CHECK_MESSAGE(outcome.says("rank 2"), outcome.text);
  }
  CHECK(end.seconds < ranks::soon_seconds);
}

TEST_CASE("receives that nobody sends, sends that nobody receives") {
  for (bool const sends : {false, true}) {
    ranks::WorldEnd const end = ranks::run_world(2, rlhf::Milliseconds{100}, [&](Local& world) {
      Buffers buffers;
      if (world.rank() == 0 && sends) {
        world.send(buffers.in.data(), 8, DType::i32, 1);
      } else if (world.rank() == 0) {
        world.recv(buffers.in.data(), 8, DType::i32, 1);
      } else {
        world.set_timeout(ranks::long_timeout);
        world.recv(buffers.in.data(), 8, DType::i32, 1);  // from itself
      }
    });
    CHECK(end.world.code == Errc::timeout);
    CHECK(end.world.rank == 1);
    CHECK(end.seconds < ranks::soon_seconds);
  }
}

TEST_CASE("after a failure a world refuses every call, and a new world works") {
  ranks::WorldEnd const end = ranks::run_world(size, [&](Local& world) {
    Local group = world.split(world.rank() == culprit ? comm::no_color : 0, 0);
    if (world.rank() == culprit) {
      throw std::runtime_error("gone");
    }
    try {
      world.barrier();
    } catch (rlhf::Error const&) {
    }
    Buffers buffers;
    int refused = 0;
    for (Call const& call : all_calls()) {
      for (Local* const each : {&world, &group}) {
        try {
          call.make(*each, buffers);
        } catch (rlhf::Error const& error) {
          CHECK(error.code() == Errc::aborted);
          CHECK(error.rank() == culprit);
          ++refused;
        }
      }
    }
    CHECK(refused == 2 * static_cast<int>(all_calls().size()));
  });
  CHECK(end.world.says("gone"));
  ranks::WorldEnd const fresh = ranks::run_world(size, [&](Local& world) {
    std::vector<int> sum{1};
    comm::all_reduce(world, std::span(sum));
    CHECK(sum[0] == size);
  });
  CHECK_FALSE(fresh.world.failed);
}

TEST_CASE("the first failure is the one that everybody reports") {
  ranks::WorldEnd const end = ranks::run_world(size, [&](Local& world) {
    if (world.rank() == 1) {
      throw std::runtime_error("the cause");
    }
    try {
      world.barrier();
    } catch (rlhf::Error const&) {
      throw std::runtime_error("a consequence");  // what a trainer might do
    }
  });
  CHECK(end.world.rank == 1);
  CHECK(end.world.says("the cause"));
  CHECK_FALSE(end.world.says("a consequence"));
}

TEST_CASE("abort ends pending and later calls of every rank and gives the reason") {
  for (bool const from_group : {false, true}) {
    CAPTURE(from_group);
    ranks::WorldEnd const end = ranks::run_world(size, [&](Local& world) {
      Local group = world.split(world.rank() % 2, 0);
      if (world.rank() == culprit) {
        (from_group ? group : world).abort("out of memory");
      }
      Local& used = world.rank() == 1 ? group : world;  // rank 1 waits in a group without it
      for (;;) {
        used.barrier();
      }
    });
    check_others_name(end);
    for (Outcome const& outcome : end.of) {
      CHECK(outcome.says("out of memory"));
      CHECK(outcome.code == Errc::aborted);
    }
    CHECK(end.of[culprit].rank == culprit);
  }
}

TEST_CASE("failures at random moments: everyone ends, and nothing is left behind") {
  // Leaks and races of these paths are for the sanitizers to find.
  int named = 0;
  constexpr int rounds = 60;
  for (int round = 0; round < rounds; ++round) {
    ranks::WorldEnd const end = ranks::run_world(size, [&](Local& world) {
      Local group = world.split(world.rank() == culprit ? 1 : 0, 0);
      Buffers buffers;
      if (world.rank() == culprit) {
        for (int i = 0; i < round * 40; ++i) {
          group.barrier();
        }
        throw std::runtime_error("somewhere");
      }
      for (int i = 0;; ++i) {
        switch (i % 3) {
          case 0: {
            Local smaller = group.split(group.rank() % 2, 0);
            smaller.barrier();
            break;
          }
          case 1:
            comm::grouped(group, [&] {
              for (int peer = 0; peer < group.size(); ++peer) {
                group.send(buffers.in.data(), 16, DType::i32, peer);
                group.recv(buffers.out.data() + 16 * peer, 16, DType::i32, peer);
              }
            });
            break;
          default:
            group.all_reduce(buffers.in.data(), buffers.out.data(), 64, DType::i32, Reduce::max);
        }
      }
    });
    named += end.world.rank == culprit && end.world.says("somewhere") ? 1 : 0;
    for (Outcome const& outcome : end.of) {
      named += outcome.failed ? 0 : -1000;
    }
  }
  CHECK(named == rounds);
}
