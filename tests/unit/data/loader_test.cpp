#include <rlhf/core/clock.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/data/in_memory.hpp>
#include <rlhf/data/loader.hpp>
#include <rlhf/data/padding.hpp>
#include <rlhf/data/sampler.hpp>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

#include <support/allocations.hpp>
#include <time.h>

namespace data = rlhf::data;

namespace {

using Numbers = std::vector<std::int64_t>;
using Tokens = data::InMemory<std::vector<std::int32_t>>;

struct Batch {
  data::Padded<std::int32_t> tokens;
  Numbers ids;
  Numbers prompts;
  bool operator==(Batch const&) const = default;
};

struct PadTokens {
  using Batch = ::Batch;
  template <class Sample>
  void operator()(std::span<Sample> samples, Batch& out) const {
    data::pad_rows<std::int32_t>(
        static_cast<std::int64_t>(samples.size()), 1,
        [&](std::int64_t i) {
          return std::span<std::int32_t const>(samples[static_cast<std::size_t>(i)].item());
        },
        {.value = -1, .side = data::PadSide::left}, out.tokens);
    out.ids.clear();
    out.prompts.clear();
    for (Sample const& sample : samples) {
      out.ids.push_back(sample.id);
      out.prompts.push_back(sample.draw.id);
    }
  }
};

std::vector<Tokens> const& datasets() {
  static std::vector<Tokens> const made = [] {
    std::vector<Tokens> out;
    for (std::int32_t set = 0; set < 2; ++set) {
      std::vector<std::vector<std::int32_t>> items;
      for (std::int32_t i = 0; i < 40 + 17 * set; ++i) {
        items.emplace_back(static_cast<std::size_t>(i * 7 % 11), 1000 * set + i);
      }
      out.emplace_back(items);
    }
    return out;
  }();
  return made;
}
data::SamplerOptions options(std::int64_t consumed = 0) {
  return {.dataset_sizes = data::sizes_of(datasets()),
          .ratios = {2, 1},
          .samples_per_episode = 22,
          .repeats = 2,
          .consumed = consumed};
}
struct Delivered {
  std::vector<Batch> batches;
  std::vector<data::LoaderPosition> positions;
  std::vector<data::BatchInfo> infos;
};
Delivered load(data::LoaderOptions const& how, int count, std::int64_t consumed = 0,
               int replica = 0, int replicas = 1) {
  data::Sampler<> sampler(options(consumed));
  data::Loader loader(data::EpisodeDraws(sampler, replica, replicas),
                      data::DatasetItems(datasets()), PadTokens{}, how);
  Delivered out;
  Batch batch;
  for (int i = 0; i < count; ++i) {
    REQUIRE(loader.next(batch));
    out.batches.push_back(batch);
    out.positions.push_back(loader.position());
    out.infos.push_back(loader.info());
  }
  return out;
}

/// Draws 0, 1, 2, ..., `episode` of them at a time, `episodes` times.
struct Counting {
  std::int64_t episode = 4;
  std::int64_t episodes = INT64_MAX;
  std::int64_t next_index = 0;
  bool next(data::DrawnShare& share) {
    if (episodes-- == 0) {
      return false;
    }
    share.draws.clear();
    share.before = next_index;
    share.first_id = next_index;
    for (std::int64_t i = 0; i < episode; ++i) {
      share.draws.push_back({0, next_index++, i});
    }
    share.after = next_index;
    return true;
  }
};
struct Same {
  std::int64_t operator()(std::int32_t, std::int64_t index) const { return index; }
};
struct Sum {
  template <class Sample>
  std::int64_t operator()(std::span<Sample> samples) const {
    std::int64_t sum = 0;
    for (Sample const& sample : samples) {
      sum += sample.item();
    }
    return sum;
  }
};

void sleep_ms(long milliseconds) {
  timespec const time{milliseconds / 1000, milliseconds % 1000 * 1'000'000};
  ::nanosleep(&time, nullptr);
}

template <class Loader>
std::string error_of(Loader& loader, rlhf::Errc code = rlhf::Errc::invalid_argument) {
  typename Loader::Batch batch{};
  try {
    loader.next(batch);
  } catch (rlhf::Error const& error) {
    CHECK(error.code() == code);
    return std::string(error.message());
  }
  return "no error";
}

}  // namespace

TEST_CASE("batches are the same, in the same order, whatever the threads and how far ahead") {
  Delivered const plain = load({.threads = 0, .batch_size = 5}, 60);
  CHECK(plain.batches[0].ids == Numbers{0, 1, 2, 3, 4});
  CHECK(plain.batches[0].prompts == Numbers{0, 0, 1, 1, 2});
  CHECK(plain.batches[4].ids == Numbers{20, 21});  // the episode has 22
  CHECK(plain.batches[5].ids == Numbers{22, 23, 24, 25, 26});
  CHECK(plain.batches[5].prompts == Numbers{0, 0, 1, 1, 2});
  for (int const threads : {1, 2, 3, 8}) {
    for (int const ahead : {1, 2, 5, 16}) {
      Delivered const made = load({.threads = threads, .ahead = ahead, .batch_size = 5}, 60);
      CHECK(made.batches == plain.batches);
      CHECK(made.positions == plain.positions);
    }
  }
}

TEST_CASE("replicas share the episodes, whole shares are one batch") {
  Numbers ids;
  for (int replica = 0; replica < 3; ++replica) {
    for (Batch const& batch : load({}, 2, 0, replica, 3).batches) {
      ids.insert(ids.end(), batch.ids.begin(), batch.ids.end());
      CHECK(batch.ids.size() == (replica == 0 ? 8 : 7));
    }
  }
  CHECK(std::set<std::int64_t>(ids.begin(), ids.end()).size() == 44);
  // More replicas than samples: an empty batch, so that all of them go on together.
  Delivered const none = load({.batch_size = 4}, 2, 0, 29, 30);
  CHECK(none.batches[1].ids.empty());
  CHECK(none.infos[1].episode == 1);
  CHECK(none.infos[1].last);
}

TEST_CASE("a run goes on behind any batch, from a text, with batches of any size") {
  Delivered const ones = load({.batch_size = 1}, 200, 0, 1, 2);
  for (std::int64_t const size : {1, 2, 3, 5, 0}) {
    for (int stop = 0; stop < 12; ++stop) {
      data::LoaderState saved;
      std::size_t given = 0;
      {
        data::Sampler<> sampler(options());
        data::Loader loader(data::EpisodeDraws(sampler, 1, 2), data::DatasetItems(datasets()),
                            PadTokens{}, {.threads = stop % 3, .batch_size = size});
        Batch batch;
        for (int i = 0; i < stop; ++i) {
          REQUIRE(loader.next(batch));
          given += batch.ids.size();
        }
        saved = data::parse_loader_state(data::to_text(loader.state()));
        CHECK(saved == loader.state());
        CHECK(saved.position == loader.position());
        CHECK(saved.sampler.consumed == saved.position.consumed);
      }
      for (std::int64_t const other : {4, 1, 0}) {
        data::Sampler<> sampler(options());
        sampler.restore(saved.sampler);
        data::Loader loader(data::EpisodeDraws(sampler, 1, 2), data::DatasetItems(datasets()),
                            PadTokens{},
                            {.threads = 2, .batch_size = other, .resume = saved.position});
        CHECK(loader.state() == saved);
        std::size_t at = given;
        Batch batch;
        for (int i = 0; i < 3; ++i) {
          REQUIRE(loader.next(batch));
          for (std::size_t k = 0; k < batch.ids.size(); ++k, ++at) {
            CHECK(batch.ids[k] == ones.batches[at].ids[0]);
            CHECK(batch.prompts[k] == ones.batches[at].prompts[0]);
          }
        }
      }
    }
  }
}

TEST_CASE("a resumed loader counts batches and positions as if it had not stopped") {
  Delivered const whole = load({.batch_size = 5}, 30);
  for (std::size_t stop = 0; stop < 20; ++stop) {
    data::LoaderPosition const at = whole.positions[stop];
    Delivered const rest = load(
        {.threads = static_cast<int>(stop % 3), .batch_size = 5, .resume = at}, 8, at.consumed);
    for (std::size_t i = 0; i < 8; ++i) {
      CHECK(rest.batches[i] == whole.batches[stop + 1 + i]);
      CHECK(rest.positions[i] == whole.positions[stop + 1 + i]);
      CHECK(rest.infos[i].batch == whole.infos[stop + 1 + i].batch);
      CHECK(rest.infos[i].last == whole.infos[stop + 1 + i].last);
    }
  }
  CHECK(whole.positions[3] == data::LoaderPosition{0, 20, 0, 22});
  CHECK(whole.positions[4] == data::LoaderPosition{22, 0, 0, 0});
  CHECK(whole.infos[4].last);
  CHECK_FALSE(whole.infos[3].last);
}

TEST_CASE("at the end of an episode any number of replicas goes on; inside only the same one") {
  auto const resumed = [](data::LoaderPosition const& at, int replica, int replicas,
                          data::SamplerOptions how = options()) {
    how.consumed = at.consumed;
    data::Sampler<> sampler(how);
    data::Loader loader(data::EpisodeDraws(sampler, replica, replicas),
                        data::DatasetItems(datasets()), PadTokens{},
                        {.batch_size = 4, .resume = at});
    return error_of(loader);
  };
  // Four replicas of 22 samples: 6, 6, 5 and 5.
  for (int replica = 0; replica < 4; ++replica) {
    Delivered const made = load({.batch_size = 4}, 2, 0, replica, 4);
    CHECK(made.positions[1] == data::LoaderPosition{22, 0, 0, 0});
    for (int replicas = 1; replicas < 6; ++replicas) {
      for (int other = 0; other < replicas; ++other) {
        CHECK(resumed(made.positions[1], other, replicas) == "no error");
        bool const same = replicas == 4 && other == replica;
        CHECK((resumed(made.positions[0], other, replicas) == "no error") == same);
      }
    }
    data::SamplerOptions larger = options();
    larger.samples_per_episode = 24;
    CHECK(resumed(made.positions[1], replica, 4, larger) == "no error");
    if (replica > 1) {
      CHECK(resumed(made.positions[0], replica, 4, larger) ==
            rlhf::text("drawing episode 0: LoaderOptions::resume is inside an episode, in a share ",
                       "of 5 samples from id ", replica == 2 ? 12 : 17,
                       "; this share has 6 samples from id ", replica == 2 ? 12 : 18,
                       ". Go on to the end of the episode with the number of replicas and of ",
                       "samples in an episode that there were, and change them there; or, to have ",
                       "the whole episode again, set LoaderPosition::taken to 0"));
    }
  }
  data::LoaderPosition again = load({.batch_size = 4}, 1, 0, 1, 4).positions[0];
  again.taken = 0;
  CHECK(resumed(again, 0, 2) == "no error");
}

TEST_CASE("a position that is none of these draws ends the loader, and stays its position") {
  struct Case {
    data::LoaderPosition at;
    char const* words;
  };
  for (Case const& now :
       {Case{{0, 4, 0, 4}, "there is nothing behind 4 samples of a share of 4"},
        Case{{0, 9, 0, 4}, "there is nothing behind 9 samples of a share of 4"},
        Case{{0, 2, 0, 5}, "in a share of 5 samples from id 0; this share has 4 samples from id 0"},
        Case{{4, 2, 4, 4}, "of the episode behind 4 consumed samples, the draws begin at 0"},
        Case{{4, 0, 0, 0}, "of the episode behind 4 consumed samples, the draws begin at 0"}}) {
    for (int const threads : {0, 2}) {
      data::Loader loader(Counting{}, Same{}, Sum{},
                          {.threads = threads, .batch_size = 4, .resume = now.at});
      CHECK(loader.position() == now.at);
      CHECK(error_of(loader).find(now.words) != std::string::npos);
      CHECK(loader.position() == now.at);
      std::int64_t sum = 0;
      CHECK_FALSE(loader.next(sum));
      CHECK(loader.position() == now.at);
    }
  }
}

TEST_CASE("a batch that failed counts as given, a draw that failed does not") {
  struct Fails {
    int left = 1;
    bool next(data::DrawnShare& share) {
      if (left-- == 0) {
        throw std::runtime_error("no more");
      }
      share = data::DrawnShare{{{0, 0, 0}, {0, 1, 1}, {0, 2, 2}}, 0, 0, 3};
      return true;
    }
  };
  struct BadItem {
    std::int64_t operator()(std::int32_t, std::int64_t index) const {
      return index == 1 ? throw std::runtime_error("bad item") : index;
    }
  };
  for (int const threads : {0, 2}) {
    data::Loader loader(Fails{}, BadItem{}, Sum{}, {.threads = threads, .batch_size = 1});
    std::int64_t sum = 0;
    CHECK(loader.next(sum));
    CHECK(error_of(loader).find("bad item") != std::string::npos);
    CHECK(loader.position() == data::LoaderPosition{0, 2, 0, 3});
    CHECK(loader.next(sum));
    CHECK(loader.position() == data::LoaderPosition{3, 0, 0, 0});
    CHECK(error_of(loader) == "drawing episode 1: no more");
    CHECK(loader.position() == data::LoaderPosition{3, 0, 0, 0});
    CHECK_FALSE(loader.next(sum));
  }
}

TEST_CASE("draws that end end the loader, for good") {
  for (int const threads : {0, 1, 3}) {
    data::Loader loader(Counting{4, 3}, Same{}, Sum{}, {.threads = threads, .batch_size = 3});
    CHECK_THROWS_AS(loader.position(), rlhf::Error);
    std::int64_t sum = 0;
    std::int64_t all = 0;
    int batches = 0;
    while (loader.next(sum)) {
      all += sum;
      ++batches;
    }
    CHECK(batches == 6);
    CHECK(all == 66);
    CHECK_FALSE(loader.next(sum));
    CHECK_FALSE(loader.next(sum));
  }
}

TEST_CASE("an error comes with its batch, names dataset, item and sample, and the rest goes on") {
  struct Faulty {
    std::int64_t operator()(std::int32_t, std::int64_t index) const {
      if (index == 6) {
        rlhf::fail(rlhf::Errc::corrupted, "bad item");
      }
      if (index == 9) {
        throw std::runtime_error("worse item");
      }
      if (index == 14) {
        throw 14;
      }
      return index;
    }
  };
  struct SumButNot20 {
    std::int64_t operator()(std::span<data::Sample<std::int64_t>> samples) const {
      if (samples[0].item() == 20) {
        throw std::invalid_argument("no batch of 20");
      }
      return samples[0].item();
    }
  };
  for (int const threads : {0, 1, 4}) {
    data::Loader loader(Counting{}, Faulty{}, SumButNot20{},
                        {.threads = threads, .ahead = 6, .batch_size = 2});
    std::int64_t first = -1;
    Numbers good;
    std::vector<std::string> errors;
    for (int i = 0; i < 12; ++i) {
      try {
        bool const more = loader.next(first);
        CHECK(more);
        good.push_back(first);
      } catch (rlhf::Error const& error) {
        errors.emplace_back(error.message());
        CHECK((error.code() == rlhf::Errc::corrupted) == (errors.size() == 1));
        CHECK(loader.info().first_id == static_cast<std::int64_t>(2 * i));
      }
    }
    CHECK(good == Numbers{0, 2, 4, 10, 12, 16, 18, 22});
    CHECK(errors ==
          std::vector<std::string>{
              "batch 1 of episode 1, sample 0 of it (id 6): item 6 of dataset 0: bad item",
              "batch 0 of episode 2, sample 1 of it (id 9): item 9 of dataset 0: worse item",
              "batch 1 of episode 3, sample 0 of it (id 14): item 14 of dataset 0: an exception "
              "that is no std::exception",
              "batch 0 of episode 5 (2 samples from id 20, the first is item 20 of dataset 0): "
              "collate: no batch of 20"});
  }
}

TEST_CASE("an error of the draws is reported, then the draws have ended") {
  struct Failing {
    int left = 2;
    bool next(data::DrawnShare& share) {
      if (left-- == 0) {
        throw std::runtime_error("no more");
      }
      share = data::DrawnShare{{{0, 1, 0}}, 0, 0, 1};
      return true;
    }
  };
  for (int const threads : {0, 2}) {
    data::Loader loader(Failing{}, Same{}, Sum{}, {.threads = threads});
    std::int64_t batch = 0;
    CHECK(loader.next(batch));
    CHECK(loader.next(batch));
    CHECK(error_of(loader) == "drawing episode 2: no more");
    CHECK_FALSE(loader.next(batch));
  }
  data::Loader loader(Counting{}, data::DatasetItems(std::as_const(datasets())), PadTokens{}, {});
  Batch batch;
  for (int i = 0; i < 10; ++i) {
    CHECK(loader.next(batch));
  }
  CHECK(
      error_of(loader) ==
      "batch 0 of episode 10, sample 0 of it (id 40): item 40 of dataset 0: it was drawn, but the "
      "dataset has 40 items; sampler and loader need the same datasets");
  std::vector<Tokens> const none;
  data::Loader lost(Counting{}, data::DatasetItems(none), PadTokens{}, {});
  CHECK(error_of(lost).find("item 0 of dataset 0: dataset 0 was drawn, the loader has 0") !=
        std::string::npos);
}

TEST_CASE("a batch that does not come is a timeout; it may come later") {
  static std::atomic<bool> held{true};
  struct Held {
    std::int64_t operator()(std::int32_t, std::int64_t index) const {
      while (held.load()) {
        sleep_ms(1);
      }
      return index;
    }
  };
  held = true;
  data::Loader loader(Counting{1}, Held{}, Sum{}, {.timeout = rlhf::Milliseconds{30}});
  CHECK(error_of(loader, rlhf::Errc::timeout).find("batch 0 was not ready within 30 ms") !=
        std::string::npos);
  held = false;
  std::int64_t sum = -1;
  while (true) {
    try {
      bool const more = loader.next(sum);
      CHECK(more);
      break;
    } catch (rlhf::Error const&) {  // on a busy machine
    }
  }
  CHECK(sum == 0);
}

TEST_CASE("a loader that is left early ends its threads, in the middle of a batch too") {
  struct Slow {
    std::int64_t operator()(std::int32_t, std::int64_t index) const {
      sleep_ms(1);
      return index;
    }
  };
  for (int taken = 0; taken < 3; ++taken) {
    std::int64_t const begin = rlhf::steady_nanoseconds();
    {
      // A batch takes 20 s; the destructor waits for one item of each thread.
      data::Loader loader(Counting{taken == 0 ? 20'000 : 1}, Slow{}, Sum{}, {.threads = 3});
      std::int64_t sum = 0;
      for (int i = 0; i < taken; ++i) {
        CHECK(loader.next(sum));
      }
      sleep_ms(5);
    }
    CHECK(rlhf::steady_nanoseconds() - begin < 10'000'000'000);
  }
}

TEST_CASE("no more batches are made ahead than allowed") {
  static std::atomic<std::int64_t> made{0};
  struct Count {
    std::int64_t operator()(std::int32_t, std::int64_t index) const {
      ++made;
      return index;
    }
  };
  for (int const ahead : {1, 3}) {
    made = 0;
    data::Loader loader(Counting{1}, Count{}, Sum{}, {.threads = 4, .ahead = ahead});
    std::int64_t sum = 0;
    for (std::int64_t taken = 0; taken < 40; ++taken) {
      REQUIRE(loader.next(sum));
      CHECK(sum == taken);
      if (taken % 10 == 0) {
        sleep_ms(3);
      }
      CHECK(made <= taken + 1 + ahead);
    }
  }
}

TEST_CASE("in the steady state neither the loader nor its threads allocate") {
  static std::mutex mutex;
  static std::vector<std::pair<std::int64_t, std::int64_t>> counts;  // batches and allocations
  struct Watching {
    using Batch = ::Batch;
    void operator()(std::span<data::Sample<std::vector<std::int32_t> const&>> samples,
                    Batch& out) const {
      thread_local std::int64_t batches = 0;
      PadTokens()(samples, out);
      thread_local std::int64_t last = 0;
      std::int64_t const now = allocations();
      if (++batches > 400 && now != last) {
        std::lock_guard const lock(mutex);
        counts.emplace_back(batches, now - last);
      }
      last = now;
    }
  };
  if (!allocations_are_counted()) {
    return;
  }
  for (int const threads : {0, 1, 2}) {
    counts.clear();
    // Sequential draws of a cycle of items, so that what a batch needs was seen before.
    struct Cycle {
      std::int64_t at = 0;
      bool next(data::DrawnShare& share) {
        share.draws.clear();
        for (std::int64_t i = 0; i < 40; ++i) {
          share.draws.push_back({0, i, i});
        }
        share.first_id = share.before = at;
        share.after = at += 40;
        return true;
      }
    };
    data::Loader loader(Cycle{}, data::DatasetItems(datasets()), Watching{},
                        {.threads = threads, .batch_size = 8});
    Batch batch;
    std::int64_t before = 0;
    for (int i = 0; i < 4000; ++i) {
      if (i == 2000) {
        before = allocations();
      }
      REQUIRE(loader.next(batch));
    }
    CHECK(allocations() == before);
    std::lock_guard const lock(mutex);
    CHECK(counts.empty());
  }
}

TEST_CASE("options out of range are refused") {
  auto const make = [](data::LoaderOptions const& how) {
    data::Loader const loader(Counting{}, Same{}, Sum{}, how);
  };
  CHECK_THROWS_AS(make({.threads = -1}), rlhf::Error);
  CHECK_THROWS_AS(make({.ahead = 0}), rlhf::Error);
  CHECK_THROWS_AS(make({.batch_size = -1}), rlhf::Error);
  CHECK_THROWS_AS(make({.resume = data::LoaderPosition{-1, 0, 0, 0}}), rlhf::Error);
  CHECK_THROWS_AS(make({.resume = data::LoaderPosition{0, -1, 0, 0}}), rlhf::Error);
}
