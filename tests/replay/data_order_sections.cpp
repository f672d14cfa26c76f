// Orders, samplers and evaluations.
#include <rlhf/core/error.hpp>
#include <rlhf/core/math.hpp>
#include <rlhf/data/cursor.hpp>
#include <rlhf/data/evaluation.hpp>
#include <rlhf/data/order.hpp>
#include <rlhf/data/sampler.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "replay/section.hpp"
#include "replay/sha256.hpp"

namespace data = rlhf::data;
using replay::json;
using Draws = std::vector<data::Draw>;
using Shares = std::vector<Draws>;  // one a replica
using Episodes = std::vector<Shares>;
using Numbers = std::vector<std::int64_t>;

namespace rlhf::inline v0::data {
/// As recorded: [dataset, index, id].
inline void to_json(json& out, Draw const& draw) {
  out = {draw.dataset, draw.index, draw.id};
}
}  // namespace rlhf::inline v0::data

namespace {

template <class Call>
bool is_refused(Call&& call) {
  try {
    call();
  } catch (rlhf::Error const&) {
    return true;
  }
  return false;
}

data::Exhausted mode_of(json const& args) {
  std::string const name = args.value("drop_last", "cycle");
  return name == "drop"     ? data::Exhausted::drop
         : name == "retain" ? data::Exhausted::retain
                            : data::Exhausted::cycle;
}

data::SamplerOptions options_of(json const& args) {
  data::SamplerOptions options;
  options.dataset_sizes = args.at("dataset_sizes").get<std::vector<std::int64_t>>();
  options.samples_per_episode = args.at("sample_per_episode").get<std::int64_t>();
  if (args.contains("data_ratio")) {
    json const& ratio = args.at("data_ratio");
    if (ratio.is_number()) {
      options.ratios.assign(options.dataset_sizes.size(), ratio.get<std::int64_t>());
    } else {
      options.ratios = ratio.get<std::vector<std::int64_t>>();
    }
  }
  options.repeats = args.value("num_inference_per_prompt", std::int64_t{1});
  options.shuffle = args.value("shuffle", true);
  options.repeat =
      args.value("data_rerank", false) ? data::Repeat::whole_list : data::Repeat::adjacent;
  options.seed = args.value("seed", std::uint64_t{0});
  options.seeding = data::Seeding::shared;
  options.consumed = args.value("consumed_samples", std::int64_t{0});
  return options;
}

int replicas_of(json const& recorded) {
  std::int64_t const replicas = recorded.at("data_parallel_size").get<std::int64_t>();
  replay::require(replicas >= 1 && replicas <= 100'000, "data_parallel_size is not 1 to 100000");
  return static_cast<int>(replicas);
}

Draws draws_of(json const& recorded) {
  Draws out;
  for (json const& draw : recorded) {
    out.push_back(data::Draw{draw.at(0).get<std::int32_t>(), draw.at(1).get<std::int64_t>(),
                             draw.at(2).get<std::int64_t>()});
  }
  return out;
}

/// What was recorded, episode by episode.
Episodes recorded_episodes(json const& yields) {
  Episodes out;
  for (std::size_t episode = 0; episode < yields.at(0).size(); ++episode) {
    Shares& shares = out.emplace_back();
    for (json const& of_replica : yields) {
      shares.push_back(draws_of(of_replica.at(episode)));
    }
  }
  return out;
}

/// What one sampler a replica draws.
template <data::Exhausted Mode>
Episodes drawn_episodes(data::SamplerOptions const& options, int replicas, std::size_t episodes) {
  Episodes out(episodes, Shares(static_cast<std::size_t>(replicas)));
  for (int replica = 0; replica < replicas; ++replica) {
    data::Sampler<data::TorchOrder, Mode> sampler(options);
    for (Shares& shares : out) {
      sampler.next(replica, replicas, shares[static_cast<std::size_t>(replica)]);
    }
  }
  return out;
}
Episodes drawn_episodes(data::Exhausted mode, data::SamplerOptions const& options, int replicas,
                        std::size_t episodes) {
  switch (mode) {
    case data::Exhausted::drop:
      return drawn_episodes<data::Exhausted::drop>(options, replicas, episodes);
    case data::Exhausted::retain:
      return drawn_episodes<data::Exhausted::retain>(options, replicas, episodes);
    case data::Exhausted::cycle:
      break;
  }
  return drawn_episodes<data::Exhausted::cycle>(options, replicas, episodes);
}

// ---- randperm: all equal

template <class Permutation>
Numbers items(Permutation const& permutation, std::int64_t begin, std::int64_t end) {
  Numbers out;
  for (std::int64_t i = begin; i < end; ++i) {
    out.push_back(permutation[i]);
  }
  return out;
}

void check_randperm(json const& recorded, replay::Entry& result) {
  std::int64_t const size = recorded.at("n").get<std::int64_t>();
  data::TorchOrder::Permutation const order(recorded.at("seed").get<std::uint64_t>(), 0, size);
  if (recorded.contains("perm")) {
    result.equal("order", items(order, 0, size), recorded.at("perm").get<Numbers>());
    return;
  }
  replay::require(size >= 16, "n is below 16");
  result.equal("first items", items(order, 0, 16), recorded.at("first16").get<Numbers>());
  result.equal("last items", items(order, size - 16, size), recorded.at("last16").get<Numbers>());
  std::string joined;
  for (std::int64_t const item : items(order, 0, size)) {
    joined += (joined.empty() ? "" : ",") + std::to_string(item);
  }
  result.equal("digest of all items", replay::sha256(joined),
               recorded.at("sha256_of_comma_joined").get<std::string>());
}
replay::Registration const randperm("randperm", check_randperm);

// ---- multi_dataset_sampler, training: all equal, but for what the reference does silently or
// wrongly. We refuse drop and retain over several datasets (it cycled without a word; asked to
// cycle, we draw the same), an episode of no samples (it drew nothing for ever), and all that made
// it divide by zero; and we leave out the empty episodes of retain, which ended each epoch whose
// size is a multiple of the episode.

void check_training(json const& recorded, replay::Entry& result) {
  json const& args = recorded.at("args");
  if (args.value("init_shuffle_prompt", 0) != 0 || args.value("data_ratio", json()).is_string()) {
    // Nothing of the library is called: there is nothing to call it with.
    if (recorded.contains("error")) {
      result.not_expressible("the reference refused it, our options cannot say it");
    } else {
      result.right("the reference took what our options cannot say", false);
    }
    return;
  }
  data::SamplerOptions const options = options_of(args);
  data::Exhausted mode = mode_of(args);
  if (recorded.contains("error") || options.samples_per_episode == 0) {
    result.right("expected an error", is_refused([&] { drawn_episodes(mode, options, 1, 1); }));
    return;
  }
  if (mode != data::Exhausted::cycle && options.dataset_sizes.size() > 1) {
    result.right("expected an error for drop or retain with several datasets",
                 is_refused([&] { drawn_episodes(mode, options, 1, 1); }));
    mode = data::Exhausted::cycle;
  }
  int const replicas = replicas_of(recorded);
  replay::require(recorded.at("yields").size() == static_cast<std::size_t>(replicas),
                  "yields are not those of data_parallel_size replicas");
  Episodes expected = recorded_episodes(recorded.at("yields"));
  if (mode == data::Exhausted::retain) {
    std::erase_if(expected, [](Shares const& shares) { return shares.at(0).empty(); });
  }
  Episodes const ours = drawn_episodes(mode, options, replicas, expected.size());
  for (std::size_t e = 0; e < expected.size(); ++e) {
    for (std::size_t r = 0; r < expected[e].size(); ++r) {
      result.equal("episode " + std::to_string(e) + ", replica " + std::to_string(r), ours[e].at(r),
                   expected[e][r]);
    }
  }
}

// ---- multi_dataset_sampler, evaluation: the same items under the same ids, split by what there
// is. The reference cut the enumeration into episodes and split each by the size of a full one, so
// a short last episode went to the first replicas, and it failed when an episode was larger than
// everything. We split the whole enumeration evenly, as its later versions do. With one replica, or
// one episode of everything, the two agree exactly; else after sorting by id.

void check_evaluation(json const& recorded, replay::Entry& result) {
  json const& args = recorded.at("args");
  auto const sizes = args.at("dataset_sizes").get<Numbers>();
  std::int64_t const whole = rlhf::data::EvaluationSampler(sizes, 0, 1).slice().size();
  int const replicas = replicas_of(recorded);
  Shares ours;
  Draws joined;
  for (int replica = 0; replica < replicas; ++replica) {
    data::EvaluationSampler sampler(sizes, replica, replicas);
    sampler.next(whole + 1, ours.emplace_back());
    joined.insert(joined.end(), ours.back().begin(), ours.back().end());
  }
  result.equal("items evaluated", static_cast<std::int64_t>(joined.size()), whole);
  if (recorded.contains("error")) {
    return;
  }
  Shares theirs;
  std::map<std::int64_t, data::Draw> by_id;
  for (json const& of_replica : recorded.at("yields")) {
    Draws& share = theirs.emplace_back();
    for (json const& chunk : of_replica) {
      for (data::Draw const& draw : draws_of(chunk)) {
        share.push_back(draw);
        by_id.emplace(draw.id, draw);
      }
    }
  }
  if (replicas == 1 || args.at("sample_per_episode").get<std::int64_t>() == whole) {
    result.equal("shares", ours, theirs);
    return;
  }
  Draws sorted;
  for (auto const& [id, draw] : by_id) {
    sorted.push_back(draw);
  }
  result.equal("items by id", joined, sorted);
}

void check_sampler(json const& recorded, replay::Entry& result) {
  if (recorded.at("args").value("is_eval", false)) {
    check_evaluation(recorded, result);
  } else {
    check_training(recorded, result);
  }
}
replay::Registration const multi_dataset_sampler("multi_dataset_sampler", check_sampler);

// ---- reiterate: training goes on, an evaluation begins again

void check_iterators(json const& recorded, replay::Entry& result) {
  data::SamplerOptions const options = options_of(recorded.at("args"));
  bool const evaluates = recorded.at("args").value("is_eval", false);
  data::EvaluationSampler evaluation(options.dataset_sizes, 0, 1);
  data::Sampler<> training(options);
  for (char const* const iterator : {"first_iterator_two_batches", "second_iterator_two_batches"}) {
    for (json const& expected : recorded.at(iterator)) {
      Draws batch;
      if (evaluates) {
        evaluation.next(options.samples_per_episode, batch);
      } else {
        training.next(0, 1, batch);
      }
      result.equal(iterator, batch, draws_of(expected));
    }
    evaluation.reset();
  }
}
replay::Registration const reiterate("reiterate", check_iterators);

// ---- takes from one dataset: all equal, places too

template <data::Exhausted Mode>
void check_takes(json const& script, replay::Entry& result) {
  json const& args = script.at("args");
  data::CursorOptions options;
  options.size = args.at("total_samples").get<std::int64_t>();
  options.batch = args.at("batch_size").get<std::int64_t>();
  options.seed = args.value("seed", std::uint64_t{0});
  data::Cursor<data::TorchOrder, Mode> cursor(options);
  cursor.seek(args.at("consumed_samples").get<std::int64_t>());
  json const& begin = script.at("init_state");
  result.equal("usable items", cursor.usable(), begin.at("actual_samples").get<std::int64_t>());
  result.equal("first offset", cursor.offset(), begin.at("offset").get<std::int64_t>());
  result.equal("first epoch", cursor.epoch(), begin.at("epoch").get<std::int64_t>());
  for (std::size_t i = 0; i < script.at("calls").size(); ++i) {
    std::string const take = "take " + std::to_string(i);
    std::int64_t const count = script.at("calls").at(i).get<std::int64_t>();
    json const& expected = script.at("results").at(i);
    Numbers taken;
    auto const sink = [&](std::int64_t index) { taken.push_back(index); };
    if (expected.is_object()) {
      result.right(take + ": expected an error", is_refused([&] { cursor.take(count, sink); }));
      return;  // what the reference does after an error is nobody's concern
    }
    cursor.take(count, sink);
    result.equal(take, taken, expected.get<Numbers>());
    result.equal(take + ", place after it", Numbers{cursor.offset(), cursor.epoch()},
                 script.at("state_after").at(i).get<Numbers>());
  }
}
void check_script(json const& script, replay::Entry& result) {
  switch (mode_of(script.at("args"))) {
    case data::Exhausted::cycle:
      return check_takes<data::Exhausted::cycle>(script, result);
    case data::Exhausted::drop:
      return check_takes<data::Exhausted::drop>(script, result);
    case data::Exhausted::retain:
      return check_takes<data::Exhausted::retain>(script, result);
  }
}
replay::Registration const cursor_scripts("cursor_scripts", check_script);
replay::Registration const single_sampler("rlhf_single_sampler", check_script);

// ---- legacy_samplers: all equal. Both go through the items in order; the batches of the one end
// with its episodes, the other ends with its items, the rest of which it keeps or drops. Here each
// batch is an episode of its own size, drawn by samplers that go on where the last batch ended.

void check_legacy(json const& recorded, replay::Entry& result) {
  json const& args = recorded.at("args");
  bool const ends = recorded.at("class") == "SingleDataSampler";
  std::int64_t const total = args.at("total_samples").get<std::int64_t>();
  int const replicas = replicas_of(args);
  std::int64_t consumed = args.at("consumed_samples").get<std::int64_t>();
  std::int64_t batch = args.at("micro_batch_size").get<std::int64_t>() * replicas;
  if (args.value("dynamic_batch_size_flag", false)) {
    batch += (total - consumed) % replicas;
  }
  std::int64_t const episode = args.value("sample_per_episode", std::int64_t{0});
  std::int64_t left_of_episode = episode;
  std::size_t const batches = recorded.at("num_next").get<std::size_t>();
  std::vector<std::vector<Numbers>> ours(static_cast<std::size_t>(replicas));
  for (std::size_t b = 0; b < batches; ++b) {
    data::SamplerOptions options;
    options.dataset_sizes = {total};
    options.consumed = consumed;
    options.samples_per_episode = ends ? batch : std::min(batch, left_of_episode);
    if (ends &&
        (consumed >= total || (args.value("drop_last", false) && total - consumed < batch))) {
      break;
    }
    for (int replica = 0; replica < replicas; ++replica) {
      Draws share;
      if (ends) {
        data::Sampler<data::SequentialOrder, data::Exhausted::retain> sampler(options);
        sampler.next(replica, replicas, share);
        consumed = sampler.consumed();
      } else {
        data::Sampler<data::SequentialOrder> sampler(options);
        sampler.next(replica, replicas, share);
        consumed = sampler.consumed();
      }
      Numbers& items = ours[static_cast<std::size_t>(replica)].emplace_back();
      for (data::Draw const& draw : share) {
        items.push_back(draw.index);
      }
    }
    left_of_episode -= options.samples_per_episode;
    left_of_episode = left_of_episode == 0 ? episode : left_of_episode;
  }
  result.equal("batches", ours, recorded.at("yields").get<std::vector<std::vector<Numbers>>>());
}
replay::Registration const legacy_samplers("legacy_samplers", check_legacy);

// ---- split_index: all equal

void check_split(json const& entry, replay::Entry& result) {
  std::int64_t const total = entry.at("args").at(0).get<std::int64_t>();
  std::int64_t const parts = entry.at("args").at(1).get<std::int64_t>();
  replay::require(total >= 0 && parts >= 1 && parts <= 1'000'000, "no such parts of no such whole");
  std::vector<Numbers> ours;
  for (std::int64_t i = 0; i < parts; ++i) {
    rlhf::IndexRange const range = rlhf::split_evenly(total, parts, i);
    ours.push_back({range.begin, range.end});
  }
  result.equal("ranges", ours, entry.at("out").get<std::vector<Numbers>>());
}
replay::Registration const split_index("split_index", check_split);

}  // namespace
