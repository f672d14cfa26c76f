// From a large JSON Lines file to batches: indexing beside `wc -l`, the first batch, batches a
// second beside a loop by hand, and memory over a million batches.
//
//   bench_data_loader [--mb N] [--directory D] [--batches N]
//
// Writes a file of N MB (2048) under D (where temporary files go); it has no name, so that nothing
// is left of it however the program ends. All reading is from the page cache; everything is
// compared with what was written.
#include <rlhf/adapters/jsonl_dataset.hpp>
#include <rlhf/data/in_memory.hpp>
#include <rlhf/data/loader.hpp>
#include <rlhf/data/padding.hpp>
#include <rlhf/rlhf.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace data = rlhf::data;
namespace adapters = rlhf::adapters;

namespace {

double seconds_since(std::int64_t begin) {
  return static_cast<double>(rlhf::steady_nanoseconds() - begin) * 1e-9;
}

/// A file without a name, open as long as the program lives.
struct File {
  std::string path;  ///< By its descriptor.
  std::int64_t bytes = 0;
  std::int64_t lines = 0;
};

/// Prompts of a few words to a few hundred, as instruction data has them.
void write_file(File& file, std::string const& directory, std::int64_t bytes) {
  rlhf::CounterRandom const random(1, 1);
  std::string words;
  while (words.size() < 8192) {
    words += "the quick brown fox jumps over a lazy dog, ";
  }
  std::string name = directory + "/rlhf-bench-XXXXXX";
  int const descriptor = ::mkstemp(name.data());
  std::FILE* const out = descriptor >= 0 ? ::fdopen(descriptor, "w") : nullptr;
  if (out == nullptr) {
    std::perror(name.c_str());
    std::exit(EXIT_FAILURE);
  }
  ::unlink(name.c_str());
  file.path = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(descriptor);
  std::string line;
  while (file.bytes < bytes) {
    std::uint64_t const i = static_cast<std::uint64_t>(file.lines);
    float const u = random.uniform(2 * i);
    std::size_t const length = 40 + static_cast<std::size_t>(1600.0F * u * u * u);
    line = "{\"prompt\": \"" + words.substr(random.below(2 * i + 1, 40), length) +
           "\", \"answer\": " + std::to_string(i) + "}\n";
    if (std::fwrite(line.data(), 1, line.size(), out) != line.size()) {
      std::perror("write");
      std::exit(EXIT_FAILURE);
    }
    file.bytes += static_cast<std::int64_t>(line.size());
    ++file.lines;
  }
  if (std::fflush(out) != 0) {
    std::perror("write");
    std::exit(EXIT_FAILURE);
  }
}

double wc_seconds(File const& file, bool& right) {
  std::string const command = "wc -l '" + file.path + "'";
  std::int64_t const begin = rlhf::steady_nanoseconds();
  std::FILE* const pipe = ::popen(command.c_str(), "r");
  long long lines = -1;
  right = pipe != nullptr && std::fscanf(pipe, "%lld", &lines) == 1 && lines == file.lines && right;
  if (pipe != nullptr) {
    ::pclose(pipe);
  }
  return seconds_since(begin);
}
double index_seconds(File const& file, int threads, bool& right) {
  std::int64_t const begin = rlhf::steady_nanoseconds();
  data::MappedFile const mapped(file.path);
  data::LineIndex const index(mapped.content(), threads);
  double const seconds = seconds_since(begin);
  right = right && index.size() == file.lines;
  return seconds;
}

/// Kilobytes of memory that are ours alone, without pages of mapped files.
std::int64_t resident_kb() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.rfind("RssAnon:", 0) == 0) {
      return std::atoll(line.c_str() + 8);
    }
  }
  return 0;
}

struct Item {
  std::string prompt;
  std::int64_t answer;
};
struct Decode {
  Item operator()(adapters::JsonlRow const& row) const {
    return Item{row.string("prompt"), row.at("answer").get<std::int64_t>()};
  }
};
using Prompts = adapters::JsonlDataset<Decode>;

struct Batch {
  data::Padded<std::uint8_t> bytes;
  std::vector<std::int64_t> answers;
};
struct PadBytes {
  using Batch = ::Batch;
  template <class Sample>
  void operator()(std::span<Sample> samples, Batch& out) const {
    data::pad_rows<std::uint8_t>(
        static_cast<std::int64_t>(samples.size()), 1,
        [&](std::int64_t i) {
          std::string const& prompt = samples[static_cast<std::size_t>(i)].item().prompt;
          return std::span<std::uint8_t const>(reinterpret_cast<std::uint8_t const*>(prompt.data()),
                                               prompt.size());
        },
        {.side = data::PadSide::left, .multiple_of = 8}, out.bytes);
    out.answers.clear();
    for (Sample const& sample : samples) {
      out.answers.push_back(sample.item().answer);
    }
  }
};

data::SamplerOptions options_for(std::int64_t items, std::int64_t episode) {
  data::SamplerOptions options;
  options.dataset_sizes = {items};
  options.samples_per_episode = episode;
  return options;
}

/// Time from nothing to the first batch; `index` is the part of it that opening the file took.
double first_batch_seconds(File const& file, int threads, double& index, bool& right) {
  std::int64_t const begin = rlhf::steady_nanoseconds();
  std::vector<Prompts> sets;
  sets.emplace_back(file.path, adapters::JsonlOptions{.threads = threads}, Decode{});
  index = seconds_since(begin);
  // The keyed order has no table to build, whatever the size of the dataset.
  data::Sampler<data::KeyedOrder> sampler(options_for(sets[0].size(), 1024));
  data::Loader loader(data::EpisodeDraws(sampler, 0, 1), data::DatasetItems(sets), PadBytes{},
                      {.threads = threads, .batch_size = 32});
  Batch batch;
  right = loader.next(batch) && batch.answers.size() == 32 && right;
  return seconds_since(begin);
}

/// Batches a second through the loader, and the sum of what they hold.
double batches_a_second(std::vector<Prompts> const& sets, int threads, int count,
                        std::uint64_t& sum) {
  data::Sampler<data::KeyedOrder> sampler(options_for(sets[0].size(), 1024));
  data::Loader loader(data::EpisodeDraws(sampler, 0, 1), data::DatasetItems(sets), PadBytes{},
                      {.threads = threads, .ahead = 8, .batch_size = 32});
  Batch batch;
  sum = 0;
  std::int64_t const begin = rlhf::steady_nanoseconds();
  for (int i = 0; i < count && loader.next(batch); ++i) {
    for (std::int64_t const answer : batch.answers) {
      sum += static_cast<std::uint64_t>(answer);
    }
    sum += batch.bytes.values.size();
  }
  return count / seconds_since(begin);
}
/// The same by hand: the sampler's draws, nlohmann/json on the mapped lines, loops that pad.
double by_hand_a_second(std::vector<Prompts> const& sets, int count, std::uint64_t& sum) {
  data::Sampler<data::KeyedOrder> sampler(options_for(sets[0].size(), 1024));
  std::vector<data::Draw> draws;
  std::vector<std::string> prompts(32);
  std::vector<std::int64_t> answers(32);
  std::vector<std::uint8_t> padded;
  sum = 0;
  std::int64_t const begin = rlhf::steady_nanoseconds();
  for (int i = 0; i < count; ++i) {
    std::size_t const at = static_cast<std::size_t>(i % 32) * 32;
    if (at == 0) {
      sampler.next(0, 1, draws);
    }
    std::size_t width = 0;
    for (std::size_t k = 0; k < 32; ++k) {
      nlohmann::json const row = nlohmann::json::parse(sets[0].line(draws[at + k].index));
      prompts[k] = row.at("prompt").get_ref<std::string const&>();
      answers[k] = row.at("answer").get<std::int64_t>();
      width = std::max(width, prompts[k].size());
    }
    width = (width + 7) / 8 * 8;
    padded.assign(32 * width, 0);
    for (std::size_t k = 0; k < 32; ++k) {
      std::copy(prompts[k].begin(), prompts[k].end(),
                padded.begin() + static_cast<std::ptrdiff_t>((k + 1) * width - prompts[k].size()));
    }
    for (std::int64_t const answer : answers) {
      sum += static_cast<std::uint64_t>(answer);
    }
    sum += padded.size();
  }
  return count / seconds_since(begin);
}

struct Memory {
  std::int64_t first_kb = 0;
  std::int64_t last_kb = 0;
  double batches_a_second = 0;
};
template <class Sets, class Collate>
Memory memory_over(Sets const& sets, Collate const& collate, std::int64_t batches) {
  data::Sampler<data::KeyedOrder> sampler(options_for(sets[0].size(), 4096));
  data::Loader loader(data::EpisodeDraws(sampler, 0, 1), data::DatasetItems(sets), collate,
                      {.threads = 2, .ahead = 8, .batch_size = 4});
  typename Collate::Batch batch;
  Memory out;
  std::int64_t begin = 0;
  for (std::int64_t i = 0; i < batches && loader.next(batch); ++i) {
    if (i == batches / 100) {
      out.first_kb = resident_kb();
      begin = rlhf::steady_nanoseconds();
    }
  }
  out.batches_a_second =
      static_cast<double>(batches - batches / 100) / std::max(1e-9, seconds_since(begin));
  out.last_kb = resident_kb();
  return out;
}
struct PadTokens {
  using Batch = data::Padded<std::int32_t>;
  template <class Sample>
  void operator()(std::span<Sample> samples, Batch& out) const {
    data::pad_rows<std::int32_t>(
        static_cast<std::int64_t>(samples.size()), 1,
        [&](std::int64_t i) {
          return std::span<std::int32_t const>(samples[static_cast<std::size_t>(i)].item());
        },
        {}, out);
  }
};

bool report_memory(char const* dataset, std::int64_t batches, Memory const& memory) {
  std::printf(
      "{\"benchmark\":\"data/loader\",\"what\":\"memory\",\"dataset\":\"%s\",\"batch_size\":4,"
      "\"threads\":2,\"batches\":%lld,\"resident_kb_after_1_percent\":%lld,"
      "\"resident_kb_at_the_end\":%lld,\"batches_per_s\":%.0f}\n",
      dataset, static_cast<long long>(batches), static_cast<long long>(memory.first_kb),
      static_cast<long long>(memory.last_kb), memory.batches_a_second);
  std::fflush(stdout);
  return memory.last_kb < memory.first_kb + 1024;
}

}  // namespace

int main(int argc, char** argv) {
  std::int64_t megabytes = 2048;
  std::int64_t batches = 1'000'000;
  char const* const temporary = std::getenv("TMPDIR");
  std::string directory = temporary != nullptr ? temporary : "/tmp";
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string_view const option = argv[i];
    if (option == "--mb") {
      megabytes = std::atoll(argv[i + 1]);
    } else if (option == "--batches") {
      batches = std::atoll(argv[i + 1]);
    } else if (option == "--directory") {
      directory = argv[i + 1];
    }
  }
  bool right = true;
  {  // first, while there is no freed memory in which a leak could hide
    std::vector<data::InMemory<std::vector<std::int32_t>>> tokens;
    std::vector<std::vector<std::int32_t>> items;
    for (std::int32_t i = 0; i < 10'000; ++i) {
      items.emplace_back(static_cast<std::size_t>(i % 97 + 1), i);
    }
    tokens.emplace_back(items);
    right = report_memory("in_memory", batches, memory_over(tokens, PadTokens{}, batches)) && right;
  }
  File file;
  write_file(file, directory, megabytes * 1'000'000);
  {
    std::vector<Prompts> sets;
    sets.emplace_back(file.path, adapters::JsonlOptions{}, Decode{});
    right = report_memory("jsonl", batches, memory_over(sets, PadBytes{}, batches)) && right;
  }
  double const gigabytes = static_cast<double>(file.bytes) * 1e-9;
  wc_seconds(file, right);  // everything is in the page cache now, as far as it fits

  double wc = 1e9;
  double index[3] = {1e9, 1e9, 1e9};
  for (int round = 0; round < 5; ++round) {
    wc = std::min(wc, wc_seconds(file, right));
    index[1] = std::min(index[1], index_seconds(file, 1, right));
    index[2] = std::min(index[2], index_seconds(file, 2, right));
  }
  for (int const threads : {1, 2}) {
    std::printf(
        "{\"benchmark\":\"data/loader\",\"what\":\"index\",\"bytes\":%lld,\"lines\":%lld,"
        "\"threads\":%d,\"seconds\":%.4f,\"gb_per_s\":%.2f,\"wc_seconds\":%.4f,"
        "\"wc_gb_per_s\":%.2f,\"over_wc\":%.3f,\"verified\":%s}\n",
        static_cast<long long>(file.bytes), static_cast<long long>(file.lines), threads,
        index[threads], gigabytes / index[threads], wc, gigabytes / wc, index[threads] / wc,
        right ? "true" : "false");
    double best = 1e9;
    double best_index = 0;
    for (int round = 0; round < 5; ++round) {
      double opened = 0;
      double const first = first_batch_seconds(file, threads, opened, right);
      if (first < best) {
        best = first;
        best_index = opened;
      }
    }
    std::printf(
        "{\"benchmark\":\"data/loader\",\"what\":\"first_batch\",\"threads\":%d,"
        "\"seconds\":%.4f,\"of_which_index\":%.4f,\"over_index\":%.4f,\"verified\":%s}\n",
        threads, best, best_index, best / best_index, right ? "true" : "false");
    std::fflush(stdout);
  }

  std::vector<Prompts> sets;
  sets.emplace_back(file.path, adapters::JsonlOptions{.threads = 2}, Decode{});
  constexpr int count = 4000;
  std::uint64_t expected = 0;
  std::uint64_t sum = 0;
  double by_hand = by_hand_a_second(sets, count, expected);  // the first round warms up
  double made[4] = {};
  for (int round = 0; round < 3; ++round) {
    by_hand = std::max(by_hand, by_hand_a_second(sets, count, expected));
    for (int const threads : {0, 1, 2, 3}) {
      made[threads] = std::max(made[threads], batches_a_second(sets, threads, count, sum));
      right = right && sum == expected;
    }
  }
  for (int const threads : {0, 1, 2, 3}) {
    std::printf(
        "{\"benchmark\":\"data/loader\",\"what\":\"batches\",\"batch_size\":32,\"threads\":%d,"
        "\"batches_per_s\":%.0f,\"by_hand_batches_per_s\":%.0f,\"time_over_by_hand\":%.3f,"
        "\"verified\":%s}\n",
        threads, made[threads], by_hand, by_hand / made[threads], right ? "true" : "false");
  }
  std::fflush(stdout);

  return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
