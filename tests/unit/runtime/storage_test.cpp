#include <rlhf/runtime/storage.hpp>
#include <rlhf/runtime/storage_exchange.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "ranks/world.hpp"
#include "support/allocations.hpp"

namespace {

namespace runtime = rlhf::runtime;
using rlhf::Deadline;
using rlhf::Errc;
using rlhf::Milliseconds;
using runtime::Key;
using runtime::Storage;

constexpr Key<int> step{"step"};
constexpr Key<std::string> note{"note"};
constexpr Key<std::vector<std::int64_t>> numbers{"numbers"};

Deadline soon() {
  return Deadline::after(Milliseconds{20'000});
}
Deadline now() {
  return Deadline::after(Milliseconds{0});
}

template <class Function>
std::string error_of(Errc code, Function&& function) {
  try {
    function();
  } catch (rlhf::Error const& error) {
    return error.code() == code ? std::string(error.message()) : "another code";
  }
  return "no error";
}
bool says(std::string const& words, std::string const& part) {
  return words.find(part) != std::string::npos;
}

TEST_CASE("put, get, replace, erase") {
  Storage storage;
  CHECK(!storage.try_get(step).has_value());
  storage.put(step, 1);
  storage.put(note, "one");
  CHECK(storage.get(step, now()) == 1);
  storage.put(step, 2);
  CHECK(storage.try_get(step) == 2);
  CHECK(storage.with(note, now(), [](std::string const& words) { return words.size(); }) == 3);
  CHECK(storage.has("note"));
  CHECK(storage.erase(note));
  CHECK(!storage.erase(note));
  CHECK(!storage.has("note"));
  CHECK(storage.take(step, now()) == 2);
  CHECK(!storage.has("step"));
  storage.put(Key<float>{"step"}, 0.5F);  // another type, once the value is gone
  CHECK(storage.get(Key<float>{"step"}, now()) == 0.5F);
}

TEST_CASE("errors name the key, the types and what is there") {
  Storage storage;
  CHECK(says(error_of(Errc::timeout, [&] { static_cast<void>(storage.get(step, now())); }),
             "no value of \"step\" (int) came within 0 ms; no values are there"));
  storage.put(note, "x");
  std::string const late =
      error_of(Errc::timeout, [&] { static_cast<void>(storage.take(step, now())); });
  CHECK(says(late, "; note (std::"));
  for (auto const& wrong :
       {error_of(Errc::invalid_argument,
                 [&] { static_cast<void>(storage.get(Key<int>{"note"}, soon())); }),
        error_of(Errc::invalid_argument,
                 [&] { static_cast<void>(storage.try_get(Key<int>{"note"})); }),
        error_of(Errc::invalid_argument, [&] { storage.put(Key<int>{"note"}, 1); })}) {
    CHECK_MESSAGE(says(wrong, "\"note\" holds a value of type std::"), wrong);
    CHECK_MESSAGE(says(wrong, " as int; use one Key for a name"), wrong);
  }
  CHECK(storage.get(note, now()) == "x");
}

TEST_CASE("a value that is being read is not changed by a put, and goes when all are done") {
  Storage storage;
  auto const counted = std::make_shared<int>(7);
  Key<std::shared_ptr<int>> const key{"counted"};
  storage.put(key, counted);
  storage.with(key, now(), [&](std::shared_ptr<int> const& held) {
    storage.put(key, nullptr);
    CHECK(held == counted);
    CHECK(counted.use_count() == 2);
  });
  CHECK(counted.use_count() == 1);
  Key<std::unique_ptr<int>> const only{"only"};  // cannot be copied
  storage.put(only, std::make_unique<int>(3));
  CHECK(*storage.take(only, now()) == 3);
}

TEST_CASE("a waiting rank gets what another puts, or that one's failure") {
  runtime::ErrorSignal signal;
  Storage storage(signal);
  ranks::run_world(2, [&](rlhf::comm::Local& comm) {
    if (comm.rank() == 0) {
      ranks::Meeting::sleep_ms(5);
      storage.put(step, 9);
      ranks::Meeting::sleep_ms(5);
      signal.raise({Errc::io, 0, "data", "read", "no file", 0, 0});
    } else {
      CHECK(storage.get(step, soon()) == 9);
      CHECK(says(error_of(Errc::io, [&] { static_cast<void>(storage.get(note, soon())); }),
                 "failure of rank 0, module data, phase read"));
    }
  });
}

TEST_CASE("law: many threads put, read and take; no value is torn, none is taken twice") {
  Storage storage;
  constexpr int threads = 6;
  constexpr int rounds = 200;
  std::vector<std::vector<int>> taken(threads);
  ranks::WorldEnd const end = ranks::run_world(threads, [&](rlhf::comm::Local& comm) {
    std::mt19937 random(static_cast<unsigned>(comm.rank()));
    auto& mine = taken[static_cast<std::size_t>(comm.rank())];
    for (int i = 0; i < rounds; ++i) {
      storage.put(numbers, std::vector<std::int64_t>(random() % 50, comm.rank() * rounds + i));
      auto const read = storage.get(numbers, soon());
      for (std::int64_t const value : read) {
        CHECK(value == read.front());
      }
      if (comm.rank() % 2 == 0) {  // half of the threads make tickets, half take them
        storage.put(Key<int>{"ticket " + std::to_string(comm.rank()) + "." + std::to_string(i)}, i);
      } else {
        std::string const name =
            "ticket " + std::to_string(comm.rank() - 1) + "." + std::to_string(i);
        mine.push_back(storage.take(Key<int>{name}, soon()));
      }
      if (random() % 4 == 0) {
        storage.put(Key<int>{"shared"}, 1);
      }
      if (random() % 4 == 0 && storage.try_get(Key<int>{"shared"}).has_value()) {
        storage.erase("shared");
      }
    }
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
  for (std::size_t t = 1; t < taken.size(); t += 2) {
    std::vector<int> want(rounds);
    std::iota(want.begin(), want.end(), 0);
    CHECK(taken[t] == want);
  }
  std::string const left = storage.contents();
  CHECK(!says(left, "ticket"));
}

TEST_CASE("steady puts and gets of small values allocate nothing") {
  if (!allocations_are_counted()) {
    return;
  }
  Storage storage;
  storage.put(step, 0);
  std::int64_t const before = allocations();
  int sum = 0;
  for (int i = 0; i < 100; ++i) {
    storage.put(step, i);
    sum += storage.get(step, now());
  }
  CHECK(sum == 4950);
  CHECK(allocations() == before);
}

struct Rollout {
  rlhf::data::Rows<std::int32_t> tokens;
  std::vector<float> reward;
  std::vector<std::string> prompt;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("tokens", tokens);
    visit("reward", reward);
    visit("prompt", prompt);
  }
};
struct Schedule {
  double rate;
  int steps;
};

TEST_CASE("publish: values of every kind arrive on ranks with storages of their own") {
  constexpr Key<Rollout> rollout{"rollout"};
  constexpr Key<Schedule> schedule{"schedule"};
  constexpr Key<std::vector<std::string>> words{"words"};
  for (int root = 0; root < 3; ++root) {
    ranks::WorldEnd const end = ranks::run_world(3, [&](rlhf::comm::Local& comm) {
      Storage storage;  // as in processes
      if (comm.rank() == root) {
        Rollout made;
        for (int row = 0; row < 4; ++row) {
          made.tokens.push_back(std::vector<std::int32_t>(static_cast<std::size_t>(row), row));
          made.reward.push_back(0.5F * static_cast<float>(row));
          made.prompt.push_back(std::string(static_cast<std::size_t>(row), 'p'));
        }
        storage.put(rollout, made);
        storage.put(schedule, {0.25, 8});
        storage.put(note, "a note");
        storage.put(numbers, {1, 2, 3});
        storage.put(words, {"", "two"});
      }
      runtime::publish(comm, storage, rollout, root);
      runtime::publish(comm, storage, schedule, root);
      runtime::publish(comm, storage, note, root);
      runtime::publish(comm, storage, numbers, root);
      runtime::publish(comm, storage, words, root);
      Rollout const got = storage.get(rollout, now());
      CHECK(got.tokens.size() == 4);
      CHECK(got.tokens[3].size() == 3);
      CHECK(got.tokens[3][2] == 3);
      CHECK(got.reward == std::vector<float>{0, 0.5F, 1, 1.5F});
      CHECK(got.prompt == std::vector<std::string>{"", "p", "pp", "ppp"});
      CHECK(storage.get(schedule, now()).rate == 0.25);
      CHECK(storage.get(note, now()) == "a note");
      CHECK(storage.get(numbers, now()) == std::vector<std::int64_t>{1, 2, 3});
      CHECK(storage.get(words, now()) == std::vector<std::string>{"", "two"});
    });
    CHECK_MESSAGE(!end.world.failed, end.world.text);
  }
}

TEST_CASE("publish: a value that is missing on its root fails on every rank") {
  ranks::WorldEnd const end = ranks::run_world(3, [&](rlhf::comm::Local& comm) {
    Storage storage;
    std::string const wrong =
        error_of(Errc::invalid_argument, [&] { runtime::publish(comm, storage, step, 1); });
    CHECK_MESSAGE(says(wrong, "\"step\" is not in the storage of rank 1"), wrong);
  });
  CHECK_MESSAGE(!end.world.failed, end.world.text);
}

}  // namespace
