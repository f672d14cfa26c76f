// Laws of what lies between a file and a micro-batch: index, fingerprint, loader, batches, padding,
// packing, balance.
#include <rlhf/core/error.hpp>
#include <rlhf/data/balance.hpp>
#include <rlhf/data/batch.hpp>
#include <rlhf/data/fingerprint.hpp>
#include <rlhf/data/in_memory.hpp>
#include <rlhf/data/line_index.hpp>
#include <rlhf/data/loader.hpp>
#include <rlhf/data/micro_batch.hpp>
#include <rlhf/data/packing.hpp>
#include <rlhf/data/padding.hpp>
#include <rlhf/data/sampler.hpp>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <property/cases.hpp>
#include <unit/data/rollout.hpp>

namespace data = rlhf::data;
using cases::Dice;
using Numbers = std::vector<std::int64_t>;

namespace {

test::Rollout random_batch(Dice& dice) {
  std::vector<std::vector<std::int32_t>> samples;
  for (int i = dice.between(0, 12); i > 0; --i) {
    auto& tokens = samples.emplace_back();
    for (int k = dice.between(0, 9); k > 0; --k) {
      tokens.push_back(dice.between(-5, 100));
    }
  }
  return test::rollout(samples, dice.between(0, 1000));
}

/// Lengths as rollouts have them: many short, a few long; sometimes all alike.
Numbers random_lengths(Dice& dice, int most_samples, int longest) {
  Numbers out;
  int const kind = dice.between(0, 3);
  for (int i = dice.between(0, most_samples); i > 0; --i) {
    out.push_back(kind == 0   ? dice.between(0, longest)
                  : kind == 1 ? longest / dice.between(1, 40)
                  : kind == 2 ? longest / 3
                              : (dice.one_in(8) ? longest : dice.between(0, 5)));
  }
  return out;
}

/// Whether every sample is in exactly one group, and each group's numbers rise.
bool is_partition(data::Rows<std::int64_t> const& groups, std::size_t samples) {
  std::vector<int> seen(samples, 0);
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    std::int64_t last = -1;
    for (std::int64_t const sample : groups[g]) {
      if (sample <= last || sample >= static_cast<std::int64_t>(samples)) {
        return false;
      }
      last = sample;
      ++seen[static_cast<std::size_t>(sample)];
    }
  }
  return std::all_of(seen.begin(), seen.end(), [](int times) { return times == 1; });
}

struct NaiveLine {
  std::string line;
  std::int64_t number;
  bool operator==(NaiveLine const&) const = default;
};
std::vector<NaiveLine> naive_lines(std::string const& content) {
  std::vector<NaiveLine> out;
  std::string line;
  std::int64_t number = 1;
  for (std::size_t i = 0; i <= content.size(); ++i) {
    if (i == content.size() || content[i] == '\n') {
      bool blank = true;
      for (char const c : line) {
        blank = blank && (c == ' ' || c == '\t' || c == '\r');
      }
      if (!blank) {
        if (line.back() == '\r') {
          line.pop_back();
        }
        out.push_back({line, number});
      }
      line.clear();
      ++number;
    } else {
      line += content[i];
    }
  }
  return out;
}

}  // namespace

TEST_CASE("the index of any bytes is what splitting them gives") {
  for (std::uint64_t seed = 0; seed < cases::to_try(3000); ++seed) {
    Dice dice(seed);
    std::string content;
    bool const text = dice.one_in(2);
    for (int i = dice.between(0, 300); i > 0; --i) {
      content += text ? dice.pick({'\n', '\n', '\r', ' ', '\t', '{', 'x', '"'})
                      : static_cast<char>(dice.between(0, 255));
      if (dice.one_in(9)) {
        content += '\n';
      }
    }
    std::vector<NaiveLine> const expected = naive_lines(content);
    data::LineIndex const index(content);
    std::vector<NaiveLine> found;
    for (std::int64_t i = 0; i < index.size(); ++i) {
      found.push_back({std::string(index.line(content, i)), index.line_number(i)});
    }
    CHECK(found == expected);
  }
}

TEST_CASE("the index of megabytes by several threads is what splitting them gives") {
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    Dice dice(seed);
    std::string content;
    // Blocks of many short lines, of blank ones, and of a few long ones, some beyond a thread's
    // part.
    std::size_t const size = (std::size_t{2} << 20) + static_cast<std::size_t>(dice.between(0, 9));
    while (content.size() < size) {
      int const kind = dice.between(0, 3);
      for (int i = dice.between(0, 2000); i > 0 && kind < 2; --i) {
        content += kind == 0 ? "{\"a\": 1}\r\n" : dice.pick({"\n", " \n", "\r\n", "x\n"});
      }
      if (kind > 1) {
        content.append(static_cast<std::size_t>(dice.between(0, kind == 2 ? 3000 : 900'000)), 'x');
        content += dice.one_in(2) ? "\n" : "";
      }
    }
    std::vector<NaiveLine> const expected = naive_lines(content);
    for (int const threads : {1, 2, 3}) {  // a thread a megabyte, at most
      data::LineIndex const index(content, threads);
      REQUIRE(index.size() == static_cast<std::int64_t>(expected.size()));
      int wrong = 0;
      for (std::int64_t i = 0; i < index.size(); ++i) {
        NaiveLine const& right = expected[static_cast<std::size_t>(i)];
        wrong +=
            index.line(content, i) == right.line && index.line_number(i) == right.number ? 0 : 1;
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("a fingerprint changes with the size and with any sampled item, and only with those") {
  for (std::uint64_t seed = 0; seed < cases::to_try(300); ++seed) {
    Dice dice(seed);
    std::int64_t const size = dice.between(1, 900);
    std::int64_t const samples = dice.between(1, 300);
    std::vector<std::string> items;
    for (std::int64_t i = 0; i < size; ++i) {
      items.push_back(std::to_string(dice.word() % 50));
    }
    auto const print = [&] {
      return data::sampled_fingerprint(
          static_cast<std::int64_t>(items.size()),
          [&](std::int64_t i) -> std::string const& { return items[static_cast<std::size_t>(i)]; },
          samples);
    };
    std::uint64_t const before = print();
    CHECK(print() == before);
    std::vector<bool> sampled(items.size(), false);
    std::int64_t const looks = std::min(samples, size);
    for (std::int64_t k = 0; k < looks; ++k) {
      sampled[static_cast<std::size_t>(data::sampled_position(size, looks, k))] = true;
    }
    CHECK(std::count(sampled.begin(), sampled.end(), true) == looks);
    for (int change = 0; change < 10; ++change) {
      std::size_t const at = static_cast<std::size_t>(dice.between(0, static_cast<int>(size) - 1));
      std::string const kept = std::exchange(items[at], items[at] + "x");
      CHECK((print() != before) == sampled[at]);
      items[at] = kept;
    }
    items.push_back(items.back());
    CHECK(print() != before);
    items.pop_back();
    if (size > 1) {
      items.pop_back();
      CHECK(print() != before);
    }
  }
}

TEST_CASE("what is split is whole when it is joined") {
  for (std::uint64_t seed = 0; seed < cases::to_try(500); ++seed) {
    Dice dice(seed);
    test::Rollout const batch = random_batch(dice);
    std::int64_t const rows = data::row_count(batch);
    std::vector<test::Rollout> const parts = data::split_by(batch, dice.between(1, 14));
    CHECK(data::join(parts) == batch);
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      CHECK(data::row_count(parts[i]) == data::row_count(parts[0]));
    }
    CHECK(data::join(data::split_into(batch, dice.between(1, 14))) == batch);
    Numbers order;
    for (std::int64_t i = 0; i < rows; ++i) {
      order.push_back(i);
    }
    dice.shuffle(order);
    Numbers back(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      back[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
    }
    CHECK(data::select(data::select(batch, order), back) == batch);
    std::int64_t const step = dice.between(1, 4);
    std::int64_t strided = 0;
    for (std::int64_t first = 0; first < step; ++first) {
      strided += data::row_count(data::every(batch, first, step));
    }
    CHECK(strided == rows);
  }
}

TEST_CASE("padding holds every row where it belongs, and its value everywhere else") {
  for (std::uint64_t seed = 0; seed < cases::to_try(500); ++seed) {
    Dice dice(seed);
    test::Rollout const batch = random_batch(dice);
    data::Padding<float> const padding{
        .value = -1,
        .side = dice.pick({data::PadSide::left, data::PadSide::right}),
        .multiple_of = dice.pick({1, 1, 4, 8}),
        .width = dice.pick({0, 0, 9, 15})};
    data::Padded<float> const padded = data::pad(batch.hidden, padding);
    CHECK(data::unpad(padded, padding.side) == batch.hidden);
    CHECK(padded.width % padding.multiple_of == 0);
    data::Padded<std::uint8_t> const mask = data::mask_of(padded, padding.side);
    std::int64_t kept = 0;
    for (std::size_t i = 0; i < padded.values.size(); ++i) {
      bool const own = mask.values[i / 2] != 0;
      kept += own ? 1 : 0;
      CHECK((own || padded.values[i] == -1));
    }
    CHECK(kept == 2 * batch.hidden.positions());
  }
}

TEST_CASE("token budgets: every sample once, no micro-batch above the budget") {
  for (std::uint64_t seed = 0; seed < cases::to_try(1000); ++seed) {
    Dice dice(seed);
    Numbers const lengths = random_lengths(dice, 60, 100);
    data::TokenBudget const budget{
        .tokens = dice.between(100, 400),
        .cost = dice.pick({data::TokenCost::sum, data::TokenCost::padded}),
        .grouping = dice.pick({data::Grouping::in_order, data::Grouping::by_length}),
        .at_least = dice.pick({0, 0, 3, 70})};
    data::Rows<std::int64_t> const groups = data::micro_batches_by_tokens(lengths, budget);
    CHECK(is_partition(groups, lengths.size()));
    CHECK(groups.size() >= budget.at_least);
    std::int64_t next = 0;
    for (std::int64_t g = 0; g < groups.size(); ++g) {
      CHECK(data::cost_of(lengths, groups[g], budget.cost) <= budget.tokens);
      for (std::int64_t const sample : groups[g]) {
        CHECK((budget.grouping == data::Grouping::by_length || sample == next));
        ++next;
      }
    }
    std::int64_t const sum = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
    if (budget.cost == data::TokenCost::sum && budget.at_least == 0 &&
        budget.grouping == data::Grouping::by_length) {
      // First fit leaves at most one group half empty.
      CHECK(groups.size() <= 2 * (sum / budget.tokens) + 1 + (lengths.empty() ? 0 : 1));
    }
  }
}

TEST_CASE("packing conserves tokens, and no row is longer than its budget") {
  for (std::uint64_t seed = 0; seed < cases::to_try(500); ++seed) {
    Dice dice(seed);
    data::Rows<std::int32_t> rows;
    for (std::int64_t const length : random_lengths(dice, 40, 50)) {
      std::vector<std::int32_t> tokens;
      for (std::int64_t i = 0; i < length; ++i) {
        tokens.push_back(dice.between(0, 1 << 20));
      }
      rows.push_back(tokens);
    }
    std::int64_t const length = dice.between(50, 120);
    data::PackPlan const plan = data::plan_packing(
        rows.lengths(), length, dice.pick({data::Grouping::in_order, data::Grouping::by_length}));
    std::vector<std::int32_t> const packed = data::pack(rows, plan, -1);
    CHECK(static_cast<std::int64_t>(packed.size()) == plan.rows() * length);
    CHECK(std::count_if(packed.begin(), packed.end(), [](int token) { return token >= 0; }) ==
          rows.positions());
    CHECK(plan.unused() == plan.rows() * length - rows.positions());
    CHECK(data::unpack(packed, plan) == rows);
    for (std::int64_t row = 0; row < plan.rows(); ++row) {
      CHECK(plan.cumulative[row].back() <= length);
    }
    std::vector<std::int32_t> const positions = data::position_ids(plan);
    for (std::int64_t s = 0; s < rows.size(); ++s) {
      for (std::int64_t i = 0; i < rows.length(s); ++i) {
        std::size_t const at =
            static_cast<std::size_t>(plan.row_of[static_cast<std::size_t>(s)] * length +
                                     plan.position_of[static_cast<std::size_t>(s)] + i);
        CHECK(packed[at] == rows[s][static_cast<std::size_t>(i)]);
        CHECK(positions[at] == i);
      }
    }
  }
}

namespace {

/// The least possible largest load, by trying everything.
std::int64_t least_largest(Numbers const& costs, std::size_t next, Numbers& loads,
                           std::int64_t best) {
  std::int64_t const largest = *std::max_element(loads.begin(), loads.end());
  if (largest >= best) {
    return best;
  }
  if (next == costs.size()) {
    return largest;
  }
  for (std::int64_t& load : loads) {
    load += costs[next];
    best = std::min(best, least_largest(costs, next + 1, loads, best));
    load -= costs[next];
  }
  return best;
}

}  // namespace

TEST_CASE("balance: every sample once, loads below the proven bound, alike on every rank") {
  for (std::uint64_t seed = 0; seed < cases::to_try(2000); ++seed) {
    Dice dice(seed);
    Numbers const costs = random_lengths(dice, 60, 1000);
    std::int64_t const parts = dice.between(1, 12);
    for (data::PartSizes const sizes : {data::PartSizes::any, data::PartSizes::equal}) {
      data::Rows<std::int64_t> const dealt = data::balance(costs, parts, sizes);
      CHECK(dealt == data::balance(costs, parts, sizes));
      CHECK(dealt.size() == parts);
      CHECK(is_partition(dealt, costs.size()));
      Numbers const loads = data::loads_of(costs, dealt);
      CHECK(*std::max_element(loads.begin(), loads.end()) <= data::balance_bound(costs, parts));
      if (sizes == data::PartSizes::equal) {
        Numbers counts = dealt.lengths();
        CHECK(*std::max_element(counts.begin(), counts.end()) -
                  *std::min_element(counts.begin(), counts.end()) <=
              1);
      }
    }
  }
}

TEST_CASE("balance by rounds, which equal sizes fall back on, keeps the bound by itself") {
  for (std::uint64_t seed = 0; seed < cases::to_try(2000); ++seed) {
    Dice dice(seed);
    Numbers const costs = random_lengths(dice, 60, 1000);
    std::int64_t const parts = dice.between(1, 12);
    data::Rows<std::int64_t> const dealt = data::detail::groups_of(
        data::detail::in_rounds(costs, data::detail::largest_first(costs), parts), parts);
    CHECK(is_partition(dealt, costs.size()));
    Numbers const loads = data::loads_of(costs, dealt);
    std::int64_t const most = costs.empty() ? 0 : *std::max_element(costs.begin(), costs.end());
    CHECK(*std::max_element(loads.begin(), loads.end()) -
              *std::min_element(loads.begin(), loads.end()) <=
          most);
  }
}

TEST_CASE("balance is within 4/3 - 1/3m of the best there is") {
  for (std::uint64_t seed = 0; seed < cases::to_try(150); ++seed) {
    Dice dice(seed);
    Numbers costs = random_lengths(dice, 9, 60);
    std::int64_t const parts = dice.between(2, 4);
    Numbers const loads = data::loads_of(costs, data::balance(costs, parts));
    std::int64_t const largest = *std::max_element(loads.begin(), loads.end());
    Numbers empty(static_cast<std::size_t>(parts), 0);
    std::int64_t const best = least_largest(costs, 0, empty, largest + 1);
    CHECK(3 * parts * largest <= (4 * parts - 1) * best);
  }
}

namespace {

struct ItemsAndIds {
  using Batch = std::pair<Numbers, Numbers>;
  void operator()(std::span<data::Sample<int const&>> samples, Batch& out) const {
    out.first.clear();
    out.second.clear();
    for (auto const& sample : samples) {
      out.first.push_back(sample.item());
      out.second.push_back(sample.id);
    }
  }
};

struct LoadingCase {
  std::vector<data::InMemory<int>> sets;
  data::SamplerOptions options;
};
LoadingCase loading_case(Dice& dice, int most_datasets) {
  LoadingCase made;
  for (int d = dice.between(1, most_datasets); d > 0; --d) {
    std::vector<int> items;
    for (int i = dice.between(12, 40); i > 0; --i) {
      items.push_back(dice.between(0, 1 << 20));
    }
    made.sets.emplace_back(items);
  }
  std::int64_t const repeats = dice.between(1, 3);
  made.options.dataset_sizes = data::sizes_of(made.sets);
  made.options.samples_per_episode = repeats * dice.between(1, 12);
  made.options.repeats = repeats;
  made.options.repeat = dice.pick({data::Repeat::adjacent, data::Repeat::whole_list});
  made.options.seed = dice.word();
  return made;
}

/// A run that stops at random batches, saves its state as text, and goes on from it with another
/// size of batch, other threads and, at the end of an episode, another number of replicas: what all
/// replicas get together is what one that never stopped gets.
template <data::Exhausted Mode>
void check_resumed_loaders(std::uint64_t seed, int most_datasets) {
  Dice dice(seed);
  LoadingCase const made = loading_case(dice, most_datasets);
  using Sampler = data::Sampler<data::KeyedOrder, Mode>;
  auto const loader_of = [&](Sampler& sampler, int replica, int replicas,
                             data::LoaderOptions const& how) {
    return data::Loader(data::EpisodeDraws(sampler, replica, replicas),
                        data::DatasetItems(made.sets), ItemsAndIds{}, how);
  };
  constexpr int episodes = 6;
  std::vector<std::pair<std::int64_t, std::int64_t>> expected;  // id and item
  {
    Sampler sampler(made.options);
    auto loader = loader_of(sampler, 0, 1, {.threads = 0});
    ItemsAndIds::Batch batch;
    for (int e = 0; e < episodes; ++e) {
      REQUIRE(loader.next(batch));
      for (std::size_t i = 0; i < batch.first.size(); ++i) {
        expected.emplace_back(batch.second[i], batch.first[i]);
      }
    }
  }
  std::vector<std::pair<std::int64_t, std::int64_t>> found;
  Sampler first(made.options);
  std::string at_end = data::to_text(loader_of(first, 0, 1, {}).state());
  for (int e = 0; e < episodes; ++e) {
    int const replicas = dice.between(1, 5);
    std::string next_end;
    for (int replica = 0; replica < replicas; ++replica) {
      std::string text = at_end;
      for (bool done = false; !done;) {
        data::LoaderState const saved = data::parse_loader_state(text);
        Sampler sampler(made.options);
        sampler.restore(saved.sampler);
        auto loader = loader_of(sampler, replica, replicas,
                                {.threads = dice.pick({0, 0, 1, 2}),
                                 .ahead = dice.between(1, 4),
                                 .batch_size = dice.pick({0, 1, 2, 3, 7}),
                                 .resume = saved.position});
        ItemsAndIds::Batch batch;
        for (int i = dice.between(0, 3); i > 0 && !done; --i) {
          REQUIRE(loader.next(batch));
          for (std::size_t k = 0; k < batch.first.size(); ++k) {
            found.emplace_back(batch.second[k], batch.first[k]);
          }
          done = loader.info().last;
        }
        text = data::to_text(loader.state());
      }
      CHECK((next_end.empty() || next_end == text));  // the same of all replicas
      next_end = text;
    }
    at_end = next_end;
  }
  CHECK(found == expected);  // replicas in their order, so without sorting
}

}  // namespace

TEST_CASE("loaders give the same batches whatever their threads") {
  for (std::uint64_t seed = 0; seed < cases::to_try(60); ++seed) {
    Dice dice(seed);
    LoadingCase const made = loading_case(dice, 3);
    int const replicas = dice.between(1, 5);
    int const replica = dice.between(0, replicas - 1);
    data::LoaderOptions how{.threads = 0, .batch_size = dice.pick({0, 1, 3, 7})};
    std::vector<ItemsAndIds::Batch> expected;
    std::vector<data::LoaderPosition> positions;
    auto const run = [&](auto&& deliver) {
      data::Sampler<> sampler(made.options);
      data::Loader loader(data::EpisodeDraws(sampler, replica, replicas),
                          data::DatasetItems(made.sets), ItemsAndIds{}, how);
      ItemsAndIds::Batch batch;
      for (int i = 0; i < 40; ++i) {
        CHECK(loader.next(batch));
        deliver(batch, loader.position());
      }
    };
    run([&](ItemsAndIds::Batch const& batch, data::LoaderPosition const& position) {
      expected.push_back(batch);
      positions.push_back(position);
    });
    for (int const threads : {1, 2, 5}) {
      how.threads = threads;
      how.ahead = dice.between(1, 9);
      std::size_t at = 0;
      run([&](ItemsAndIds::Batch const& batch, data::LoaderPosition const& position) {
        CHECK(batch == expected[at]);
        CHECK(position == positions[at]);
        ++at;
      });
    }
  }
}

TEST_CASE("loaders go on from a saved text, with other batches, threads and replicas") {
  for (std::uint64_t seed = 0; seed < cases::to_try(150); ++seed) {
    check_resumed_loaders<data::Exhausted::cycle>(seed, 3);
    check_resumed_loaders<data::Exhausted::drop>(seed, 1);
    check_resumed_loaders<data::Exhausted::retain>(seed, 1);
  }
}
