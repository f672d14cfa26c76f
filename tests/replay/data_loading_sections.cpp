// Loaders, padding, batches, reuse of rollouts.
#include <rlhf/core/error.hpp>
#include <rlhf/data/batch.hpp>
#include <rlhf/data/in_memory.hpp>
#include <rlhf/data/loader.hpp>
#include <rlhf/data/micro_batch.hpp>
#include <rlhf/data/padding.hpp>
#include <rlhf/data/rollout_buffer.hpp>
#include <rlhf/data/sampler.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "replay/section.hpp"

namespace data = rlhf::data;
using replay::json;
using Numbers = std::vector<std::int64_t>;

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

/// A batch whose columns a file names: lists of anything, one element a row.
struct JsonBatch {
  std::vector<std::string> names;
  std::vector<std::vector<json>> lists;

  template <class Visit>
  void columns(Visit&& visit) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      visit(names[i], lists[i]);
    }
  }
};
/// Of an object of lists, or of a list of them. What is no list is no column.
JsonBatch batch_of(json const& columns) {
  JsonBatch out;
  for (auto const& [name, column] : columns.items()) {
    if (column.is_array()) {
      out.names.push_back(name);
      out.lists.push_back(column.get<std::vector<json>>());
    }
  }
  return out;
}
json json_of(JsonBatch const& batch, bool named) {
  json out = named ? json::object() : json::array();
  for (std::size_t i = 0; i < batch.names.size(); ++i) {
    if (named) {
      out[batch.names[i]] = batch.lists[i];
    } else {
      out.push_back(batch.lists[i]);
    }
  }
  return out;
}
/// Without rows.
JsonBatch like(JsonBatch const& other) {
  JsonBatch out;
  out.names = other.names;
  out.lists.resize(other.lists.size());
  return out;
}
JsonBatch joined(std::vector<JsonBatch> const& parts) {
  JsonBatch out = parts.empty() ? JsonBatch() : like(parts[0]);
  for (JsonBatch const& part : parts) {
    data::append_rows(out, part, 0, data::row_count(part));
  }
  return out;
}
std::vector<JsonBatch> split(JsonBatch const& batch, std::int64_t rows) {
  std::vector<JsonBatch> out;
  data::Rows<std::int64_t> const groups =
      data::micro_batches_by_count(data::row_count(batch), rows);
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    data::append_rows(out.emplace_back(like(batch)), batch, groups[g].front(),
                      groups[g].back() + 1);
  }
  return out;
}

// ---- batching: all equal. Rows are of one type; the padding of a key is an argument of `pad`.

bool is_number(json const& value) {
  return value.is_number();
}
bool is_tensor(json const& value) {
  return value.is_array() &&
         (std::all_of(value.begin(), value.end(), is_number) ||
          std::all_of(value.begin(), value.end(), [](json const& one) { return one.is_array(); }));
}

/// One column of samples: tensors are padded along their first dimension, the rest is a list.
json padded(std::vector<json> const& column, double value, std::string const& side) {
  if (column.empty() || !is_tensor(column[0])) {
    return column;
  }
  bool const nested = !column[0].empty() && column[0][0].is_array();
  std::int64_t const inner = nested ? static_cast<std::int64_t>(column[0][0].size()) : 1;
  data::Rows<double> rows(inner);
  for (json const& sample : column) {
    std::vector<double> values;
    for (json const& position : sample) {
      if (nested) {
        // A position of another size is one of other dimensions; `push_back` says so.
        std::vector<double> const own = position.get<std::vector<double>>();
        if (static_cast<std::int64_t>(own.size()) != inner) {
          rows.push_back(own);
        }
        values.insert(values.end(), own.begin(), own.end());
      } else {
        values.push_back(position.get<double>());
      }
    }
    rows.push_back(values);
  }
  data::Padded<double> const made = data::pad(
      rows,
      data::Padding<double>{.value = value,
                            .side = side == "left" ? data::PadSide::left : data::PadSide::right});
  json out = json::array();
  for (std::int64_t row = 0; row < made.rows; ++row) {
    json& list = out.emplace_back(json::array());
    for (std::int64_t at = 0; at < made.width; ++at) {
      std::span<double const> const position =
          made[row].subspan(static_cast<std::size_t>(at * inner), static_cast<std::size_t>(inner));
      list.push_back(nested ? json(std::vector<double>(position.begin(), position.end()))
                            : json(position[0]));
    }
  }
  return out;
}

json collated(json const& samples, json const& options) {
  auto const of_key = [&](char const* name, std::string const& key, json const& otherwise) {
    json const given = options.value(name, otherwise);
    return given.is_object() ? given.value(key, otherwise) : given;
  };
  auto const pad_key = [&](std::string const& key, std::vector<json> const& column) {
    return padded(column, of_key("padding_value", key, 0.0).get<double>(),
                  of_key("padding_type", key, "right").get<std::string>());
  };
  if (is_tensor(samples.at(0))) {
    return pad_key("", samples.get<std::vector<json>>());
  }
  replay::require(samples.at(0).is_structured(), "samples are no lists or objects");
  json out = samples.at(0).is_object() ? json::object() : json::array();
  for (auto const& [key, first] : samples.at(0).items()) {
    std::vector<json> column;
    for (json const& sample : samples) {
      column.push_back(sample.is_object() ? sample.at(key) : sample.at(std::stoul(key)));
    }
    if (out.is_object()) {
      out[key] = pad_key(key, column);
    } else {
      out.push_back(pad_key(key, column));
    }
  }
  return out;
}

void check_batching(json const& entry, replay::Entry& result) {
  json const& expected = entry.at("out");
  if (expected.is_object() && expected.contains("error")) {
    result.right("expected an error",
                 is_refused([&] { collated(entry.at("in"), entry.at("kw")); }));
    return;
  }
  result.equal("batch", collated(entry.at("in"), entry.at("kw")), expected);
}
replay::Registration const batching("batching", check_batching);

// ---- split_batch: rows of a batch, all equal

void check_split_batch(json const& entry, replay::Entry& result) {
  json const& in = entry.at("in");
  json const& expected = entry.at("out");
  JsonBatch const batch = batch_of(in);
  if (expected.is_object()) {
    result.right("expected an error",
                 is_refused([&] { static_cast<void>(data::row_count(batch)); }));
    return;
  }
  json ours = json::array();
  for (JsonBatch const& row : split(batch, 1)) {
    json& sample = ours.emplace_back(in.is_object() ? json::object() : json::array());
    for (std::size_t i = 0; i < row.names.size(); ++i) {
      if (in.is_object()) {
        sample[row.names[i]] = row.lists[i].at(0);
      } else {
        sample.push_back(row.lists[i].at(0));
      }
    }
  }
  result.equal("samples", ours, expected);
}
replay::Registration const split_batch("split_batch", check_split_batch);

// ---- split_along_batch, concat_along_batch, regroup_by_concat_along_batch,
// slice_by_index_along_batch: all equal where the reference does not fail. It cannot join rows of
// different lengths or of three dimensions; rows here have lengths of their own and may have any
// number of values a position, and are padded when they are used.

void check_split_along(json const& entry, replay::Entry& result) {
  json ours = json::array();
  for (JsonBatch const& part :
       split(batch_of(entry.at("in")), entry.at("new_batch_size").get<std::int64_t>())) {
    ours.push_back(json_of(part, entry.at("in").is_object()));
  }
  result.equal("batches", ours, entry.at("out"));
}
replay::Registration const split_along("split_along_batch(decorator)", check_split_along);

void check_join(json const& entry, replay::Entry& result) {
  json const& expected = entry.at("out");
  std::vector<JsonBatch> parts;
  bool columns = true;
  for (json const& part : entry.at("in")) {
    parts.push_back(part.is_null() ? JsonBatch() : batch_of(part));
    columns = columns && parts.back().names.size() == part.size();
  }
  json const ours = json_of(joined(parts), true);
  if (!expected.contains("error")) {
    result.equal("batch", ours, expected);
  } else if (!columns) {
    result.right("a value without rows is no column", ours.empty());
  } else {
    json whole = json::object();
    for (json const& part : entry.at("in")) {
      for (auto const& [name, rows] : part.items()) {
        for (json const& row : rows) {
          whole[name].push_back(row);
        }
      }
    }
    result.equal("batch of rows that differ", ours, whole);
  }
}
replay::Registration const concat("concat_along_batch(decorator)", check_join);
replay::Registration const regroup("regroup_by_concat_along_batch", check_join);

void check_slice(json const& entry, replay::Entry& result) {
  JsonBatch const batch = batch_of(entry.at("in"));
  std::int64_t const first = entry.at("index").at(0).get<std::int64_t>();
  std::int64_t const step = entry.at("index").at(1).get<std::int64_t>();
  replay::require(first >= 0 && step >= 1, "index is no first row and step");
  JsonBatch out = like(batch);
  for (std::int64_t row = first; row < data::row_count(batch); row += step) {
    data::append_rows(out, batch, row, row + 1);
  }
  result.equal("rows", json_of(out, true), entry.at("out"));
}
replay::Registration const slice("slice_by_index_along_batch", check_slice);

// ---- rlhf_dataloader: all equal but for two: an evaluation ends instead of beginning again
// without a word, and a rank without samples gets an empty batch instead of an error.

struct ListItems {
  std::string prompt_key;  ///< Under which an id is put; empty: nowhere.

  template <class Sample>
  json operator()(std::span<Sample> samples) const {
    json out = json::array();
    for (Sample const& sample : samples) {
      json item = sample.item();
      if (!prompt_key.empty() && item.is_object() && item.contains(prompt_key)) {
        item[prompt_key]["uid"] = std::to_string(sample.draw.id);
      }
      out.push_back(std::move(item));
    }
    return out;
  }
};

void check_loader(json const& entry, replay::Entry& result) {
  std::vector<data::InMemory<json>> sets;
  for (json const& items : entry.at("datasets")) {
    sets.emplace_back(items.get<std::vector<json>>());
  }
  json const& args = entry.at("sampler");
  std::int64_t const size = args.at("sample_per_episode").get<std::int64_t>();
  int const rank = args.value("data_parallel_rank", 0);
  int const ranks = args.value("data_parallel_size", 1);
  json const& loading = entry.at("loader_args");
  ListItems const collate{loading.value("add_uid", false)
                              ? loading.value("vllm_prompt_key", std::string("prompt"))
                              : std::string()};
  std::vector<json> batches;
  if (args.value("is_eval", false)) {
    data::EvaluationSampler sampler(data::sizes_of(sets), rank, ranks);
    json batch;
    std::size_t begun = 0;
    while (batches.size() < entry.at("yields").size() && begun++ < 2) {
      data::Loader loader(data::EvaluationDraws(sampler, size), data::DatasetItems(sets), collate);
      while (loader.next(batch)) {
        batches.push_back(batch);
      }
      sampler.reset();  // the reference does without being asked
    }
    result.equal("evaluations begun", begun, std::size_t{2});
  } else {
    data::SamplerOptions options;
    options.dataset_sizes = data::sizes_of(sets);
    options.ratios = args.value("data_ratio", Numbers());
    options.samples_per_episode = size;
    options.repeats = args.value("num_inference_per_prompt", std::int64_t{1});
    options.shuffle = args.value("shuffle", true);
    options.seeding = data::Seeding::shared;
    data::Sampler<> sampler(options);
    data::Loader loader(data::EpisodeDraws(sampler, rank, ranks), data::DatasetItems(sets),
                        collate);
    while (batches.size() < entry.at("yields").size()) {
      loader.next(batches.emplace_back());
    }
  }
  for (std::size_t i = 0; i < entry.at("yields").size(); ++i) {
    json const& expected = entry.at("yields").at(i);
    if (expected.is_object() && expected.contains("error")) {
      result.equal("batch of a rank without samples", batches.at(i), json(json::array()));
    } else if (expected.is_object()) {
      result.equal("columns", collated(batches.at(i), json::object()), expected);
    } else {
      result.equal("batch " + std::to_string(i), batches.at(i), expected);
    }
  }
}
replay::Registration const loader("rlhf_dataloader", check_loader);

// ---- stream_dataset: equal, but for two: no row is lost when rollouts do not divide into
// micro-batches (the "dynamic" kind left the rest in its buffer), and without a function of the
// user all samples of the episodes kept are trained on.

struct Lengths {
  Numbers value;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("value", value);
  }
};

void check_stream(json const& entry, replay::Entry& result) {
  std::int64_t const size = entry.at("micro_batch_size").get<std::int64_t>();
  std::int64_t const relay = entry.at("max_relay_episode").get<std::int64_t>();
  std::int64_t const window = entry.at("global_batch_size").get<std::int64_t>();
  json const& declared = entry.at("sample_per_episode");
  json const& episodes = entry.at("episodes");
  json const& rollouts = entry.at("rollout_batches");
  data::RolloutBuffer<Lengths> buffer(
      {.keep = relay > 0 ? relay : 1,
       .reuse_from = entry.at("relay_episode_offset").get<std::int64_t>(),
       .samples = declared.is_null() ? -1 : declared.get<std::int64_t>()});
  bool const several = rollouts.at(0).at(0).is_array();  // lists of batches, one an episode
  for (std::size_t e = 0; e < episodes.size(); ++e) {
    json const& expected = episodes[e];
    json const& own = several ? rollouts.at(e) : rollouts;
    auto const fill = [&] {
      for (json const& batch : own) {
        buffer.add(static_cast<std::int64_t>(e), Lengths{batch.get<Numbers>()});
      }
      return buffer.training_set();
    };
    if (expected.contains("error") && relay == 0) {
      result.right("expected an error", is_refused(fill));
      return;
    }
    Lengths const samples = fill();
    std::int64_t const count = data::row_count(samples);
    bool const wraps = entry.at("type") == "fixed";
    data::Rows<std::int64_t> groups = data::micro_batches_by_count(
        count, size, wraps ? data::LastBatch::filled : data::LastBatch::cut);
    if (wraps) {
      groups = data::sort_windows(groups, samples.value, window > 0 ? window : size);
    }
    json ours = json::array();
    for (Lengths const& batch : data::split_by_groups(samples, groups)) {
      ours.push_back(batch.value);
    }
    if (expected.contains("error")) {
      result.equal("batches of all samples", ours, own);
      return;
    }
    json right = expected.at("batches");
    if (!wraps && groups.size() > static_cast<std::int64_t>(right.size())) {
      right.push_back(Numbers(samples.value.end() - count % size, samples.value.end()));
    }
    result.equal("batches", ours, right);
    result.equal("samples", count, expected.at("total_samples").get<std::int64_t>());
    result.equal("batches an episode", groups.size(),
                 expected.at("batch_per_episode").get<std::int64_t>());
    result.equal("episodes kept",
                 relay > 0 ? static_cast<std::int64_t>(buffer.episodes().size()) : 0,
                 expected.at("relay_buffers").get<std::int64_t>());
  }
}
replay::Registration const stream("stream_dataset", check_stream);

// ---- compute_wrapper: which rows each call of a model's function gets, and what becomes of its
// results. The rows that went in are known from what came out. Counters and hooks are the engine's.

void check_compute(json const& entry, replay::Entry& result) {
  if (entry.at("func") != "forward_step") {
    result.not_expressible("micro-batches of training are passed as they are");
    return;
  }
  JsonBatch whole;
  whole.names = {"x"};
  whole.lists.resize(1);
  for (json const& row : entry.at("out").at("y")) {
    whole.lists[0].push_back(row.get<std::int64_t>() / 10);
  }
  std::int64_t const size = entry.at("generation_batch_size").get<std::int64_t>();
  std::vector<JsonBatch> parts = size < 0 ? std::vector<JsonBatch>{whole} : split(whole, size);
  json calls = json::array();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    calls.push_back({i, parts[i].lists[0]});
    parts[i].names = {"y"};
    for (json& row : parts[i].lists[0]) {
      row = 10 * row.get<std::int64_t>();  // what the recorded function does
    }
  }
  result.equal("calls", calls, entry.at("calls"));
  result.equal("results", json_of(joined(parts), true), entry.at("out"));
}
replay::Registration const compute("compute_wrapper", check_compute);

}  // namespace
