// What it costs to say which sample comes next: samples a second of whole episodes and of one
// rank's share, time and memory to begin anywhere, time to save and load the state.
//
// Prints JSON lines. Each rate stands beside that of a loop written by hand for one dataset and one
// order, in the same process, alternating; the results of both are compared. "bytes" are those
// that the constructor and the first episode ask the allocator for, freed or not. Fails where
// results differ.
#include <rlhf/checkpoint/file.hpp>
#include <rlhf/core/clock.hpp>
#include <rlhf/data/sampler.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace data = rlhf::data;

namespace {
std::size_t allocated_bytes = 0;
}
void* operator new(std::size_t size) {
  allocated_bytes += size;
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) {
    return memory;
  }
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace {

bool all_right = true;
void require(bool holds, char const* what) {
  if (!holds) {
    std::printf("WRONG: %s\n", what);
    all_right = false;
  }
}

using Draws = std::vector<data::Draw>;

/// Order-dependent sum of what was drawn.
std::uint64_t digest(std::uint64_t sum, Draws const& draws) {
  for (data::Draw const& draw : draws) {
    sum = sum * 31 + static_cast<std::uint64_t>(draw.index) +
          7 * static_cast<std::uint64_t>(draw.dataset);
  }
  return sum;
}

template <class Body>
double seconds_of(Body&& body) {
  std::int64_t const begin = rlhf::steady_nanoseconds();
  body();
  return static_cast<double>(rlhf::steady_nanoseconds() - begin) * 1e-9;
}
double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

data::SamplerOptions one_dataset(std::int64_t size, std::int64_t samples) {
  data::SamplerOptions options;
  options.dataset_sizes = {size};
  options.samples_per_episode = samples;
  options.seed = 1;
  return options;
}

// By hand: one dataset, no options; the order's own loop, as whoever has only this case writes it.

class KeyedByHand {
 public:
  KeyedByHand(std::uint64_t seed, std::int64_t size)
      : seed_(seed),
        size_(size),
        order_(seed, 0, size) {}
  void next(std::int64_t samples, Draws& out) {
    out.resize(static_cast<std::size_t>(samples));
    std::int64_t items[data::KeyedOrder::Permutation::block];
    for (std::int64_t done = 0; done < samples;) {
      std::int64_t const left = std::min(samples - done, size_ - offset_);
      int const now = static_cast<int>(std::min<std::int64_t>(left, std::ssize(items)));
      order_.fill(offset_, now, items);
      for (int i = 0; i < now; ++i, ++done) {
        out[static_cast<std::size_t>(done)] = {0, items[i], done};
      }
      offset_ += now;
      if (offset_ == size_) {
        offset_ = 0;
        order_ = data::KeyedOrder::Permutation(seed_, ++epoch_, size_);
      }
    }
  }

 private:
  std::uint64_t seed_;
  std::int64_t size_;
  std::int64_t epoch_ = 0;
  std::int64_t offset_ = 0;
  data::KeyedOrder::Permutation order_;
};

class TorchByHand {
 public:
  TorchByHand(std::uint64_t seed, std::int64_t size)
      : random_(static_cast<std::uint32_t>(seed)),
        items_(static_cast<std::size_t>(size)) {
    std::iota(items_.begin(), items_.end(), 0U);
    for (std::size_t i = 0; i + 1 < items_.size(); ++i) {
      std::swap(items_[i], items_[i + random_() % (items_.size() - i)]);
    }
  }
  void next(std::int64_t samples, Draws& out) {
    out.resize(static_cast<std::size_t>(samples));
    for (std::int64_t i = 0; i < samples; ++i) {
      out[static_cast<std::size_t>(i)] = {0, items_[offset_++], i};
    }
  }

 private:
  std::mt19937 random_;
  std::vector<std::uint32_t> items_;
  std::size_t offset_ = 0;
};

/// Samples a second of whole episodes, beside the loop by hand.
template <class Sampler, class ByHand>
void rate(char const* order, std::int64_t size, std::int64_t samples, int episodes) {
  data::SamplerOptions const options = one_dataset(size, samples);
  std::uint64_t const seed = data::dataset_seed(1, data::Seeding::per_dataset, 0);
  constexpr int rounds = 7;
  std::vector<double> library;
  std::vector<double> by_hand;
  for (int round = 0; round <= rounds; ++round) {  // the first warms up
    Draws draws;
    std::uint64_t sums[2] = {0, 0};
    Sampler sampler(options);
    ByHand twin(seed, size);
    sampler.next(0, 1, draws);  // builds the order
    double const a = seconds_of([&] {
      for (int e = 1; e < episodes; ++e) {
        sampler.next(0, 1, draws);
        sums[0] = sums[0] * 31 + static_cast<std::uint64_t>(draws[draws.size() / 2].index);
      }
    });
    sums[0] = digest(sums[0], draws);
    twin.next(samples, draws);
    double const b = seconds_of([&] {
      for (int e = 1; e < episodes; ++e) {
        twin.next(samples, draws);
        sums[1] = sums[1] * 31 + static_cast<std::uint64_t>(draws[draws.size() / 2].index);
      }
    });
    sums[1] = digest(sums[1], draws);
    require(sums[0] == sums[1], "sampler and loop by hand differ");
    if (round > 0) {
      library.push_back(a);
      by_hand.push_back(b);
    }
  }
  double const drawn = static_cast<double>(samples) * (episodes - 1);
  std::printf(
      "{\"benchmark\":\"data/indices\",\"case\":\"rate\",\"order\":\"%s\",\"items\":%lld,"
      "\"samples_per_episode\":%lld,\"samples_per_s\":%.4g,\"by_hand_per_s\":%.4g,\"ratio\":%.3f}"
      "\n",
      order, static_cast<long long>(size), static_cast<long long>(samples), drawn / median(library),
      drawn / median(by_hand), median(library) / median(by_hand));
}

/// Samples a second of mixtures.
template <class Order>
void mixture_rate(char const* what, data::SamplerOptions const& options, int episodes) {
  std::vector<double> seconds;
  for (int round = 0; round < 5; ++round) {
    data::Sampler<Order> sampler(options);
    Draws draws;
    sampler.next(0, 1, draws);
    seconds.push_back(seconds_of([&] {
      for (int e = 1; e < episodes; ++e) {
        sampler.next(0, 1, draws);
      }
    }));
  }
  std::printf(
      "{\"benchmark\":\"data/indices\",\"case\":\"mixture\",\"mixture\":\"%s\",\"order\":\"%s\","
      "\"datasets\":%zu,\"samples_per_s\":%.4g}\n",
      what, std::string(data::order_name<Order>()).c_str(), options.dataset_sizes.size(),
      static_cast<double>(options.samples_per_episode) * (episodes - 1) / median(seconds));
}

/// What one rank of many pays for its share of an episode, beside one that takes all of it.
template <class Order>
void share(char const* what, data::SamplerOptions const& options, int replicas) {
  double times[2];
  for (int all = 0; all < 2; ++all) {
    data::Sampler<Order> sampler(options);
    Draws draws;
    sampler.next(0, 1, draws);
    std::vector<double> seconds;
    for (int e = 0; e < 50; ++e) {
      seconds.push_back(seconds_of(
          [&] { sampler.next(all == 1 ? 0 : replicas / 2, all == 1 ? 1 : replicas, draws); }));
    }
    times[all] = median(seconds);
  }
  std::printf(
      "{\"benchmark\":\"data/indices\",\"case\":\"share\",\"mixture\":\"%s\",\"replicas\":%d,"
      "\"samples_per_episode\":%lld,\"share_us\":%.2f,\"whole_us\":%.2f,\"part_of_whole\":%.4f}\n",
      what, replicas, static_cast<long long>(options.samples_per_episode), times[0] * 1e6,
      times[1] * 1e6, times[0] / times[1]);
}

/// From options that say where to go on to the first episode.
template <class Order>
void resume(char const* what, data::SamplerOptions const& options, int rounds) {
  std::vector<double> seconds;
  std::size_t bytes = 0;
  std::uint64_t sum = 0;
  for (int round = 0; round < rounds; ++round) {
    data::SamplerOptions own = options;
    std::size_t const before = allocated_bytes;
    Draws draws;
    seconds.push_back(seconds_of([&] {
      data::Sampler<Order> sampler(std::move(own));
      sampler.next(0, 1, draws);
    }));
    bytes = allocated_bytes - before;
    std::uint64_t const now = digest(0, draws);
    require(round == 0 || now == sum, "a resume drew something else");
    sum = now;
  }
  std::printf(
      "{\"benchmark\":\"data/indices\",\"case\":\"resume\",\"what\":\"%s\",\"order\":\"%s\","
      "\"consumed\":%lld,\"median_us\":%.2f,\"slowest_us\":%.2f,\"bytes\":%zu}\n",
      what, std::string(data::order_name<Order>()).c_str(),
      static_cast<long long>(options.consumed), median(seconds) * 1e6,
      *std::max_element(seconds.begin(), seconds.end()) * 1e6, bytes);
}

void state(char const* what, data::SamplerOptions const& options) {
  data::Sampler<data::KeyedOrder> sampler(options);
  std::vector<double> format;
  std::vector<double> parse;
  std::vector<double> save;
  std::vector<double> load;
  std::string const path =
      (std::filesystem::temp_directory_path() / "rlhf_bench_indices_state").string();
  for (int round = 0; round < 51; ++round) {
    std::string text;
    data::SamplerState read;
    format.push_back(seconds_of([&] { text = data::to_text(sampler.state()); }));
    parse.push_back(seconds_of([&] { read = data::parse_sampler_state(text); }));
    require(read == sampler.state(), "a state does not read back");
    save.push_back(seconds_of(
        [&] { rlhf::checkpoint::write_atomically(path, rlhf::checkpoint::as_bytes(text)); }));
    load.push_back(seconds_of([&] {
      std::vector<std::byte> const bytes = rlhf::checkpoint::read_file(path);
      data::Sampler<data::KeyedOrder> resumed(options);
      resumed.restore(data::parse_sampler_state(rlhf::checkpoint::as_text(bytes), path));
    }));
  }
  std::filesystem::remove(path);
  std::printf(
      "{\"benchmark\":\"data/indices\",\"case\":\"state\",\"what\":\"%s\",\"text_bytes\":%zu,"
      "\"to_text_us\":%.2f,\"parse_us\":%.2f,\"write_and_flush_us\":%.2f,"
      "\"read_and_restore_us\":%.2f}\n",
      what, data::to_text(sampler.state()).size(), median(format) * 1e6, median(parse) * 1e6,
      median(save) * 1e6, median(load) * 1e6);
}

/// Every item of an epoch once.
template <class Order>
void check_epoch(std::int64_t size) {
  data::Sampler<Order> sampler(one_dataset(size, size));
  Draws draws;
  sampler.next(0, 1, draws);
  std::vector<bool> seen(static_cast<std::size_t>(size));
  for (data::Draw const& draw : draws) {
    seen.at(static_cast<std::size_t>(draw.index)) = true;
  }
  require(std::count(seen.begin(), seen.end(), true) == size, "an epoch is no permutation");
}

data::SamplerOptions five_datasets(std::int64_t samples) {
  data::SamplerOptions options;
  options.dataset_sizes = {1'000'000'000, 40'000'000, 3'000'000, 70'000, 1'000};
  options.samples_per_episode = samples;
  return options;
}

}  // namespace

int main() {
  using Keyed = data::Sampler<data::KeyedOrder>;
  check_epoch<data::KeyedOrder>(10'000'000);
  check_epoch<data::TorchOrder>(10'000'000);

  rate<Keyed, KeyedByHand>("keyed", 10'000'000, 8192, 1000);
  rate<Keyed, KeyedByHand>("keyed", 1'000'000'000, 8192, 1000);
  rate<Keyed, KeyedByHand>("keyed", (std::int64_t{1} << 30) + 1, 8192, 1000);  // the worst size
  rate<data::Sampler<>, TorchByHand>("torch", 10'000'000, 8192, 1000);

  data::SamplerOptions mixed = five_datasets(8192);
  mixed.ratios = {8, 4, 2, 1, 1};
  mixture_rate<data::KeyedOrder>("ratios", mixed, 500);
  mixed.ratios.clear();
  mixed.weights = {0.5, 0.25, 0.15, 0.07, 0.03};
  mixture_rate<data::KeyedOrder>("weights", mixed, 500);

  share<data::KeyedOrder>("one dataset", one_dataset(1'000'000'000, 65536), 64);
  mixed.samples_per_episode = 65536;
  share<data::KeyedOrder>("weights", mixed, 64);

  data::SamplerOptions far = one_dataset(1'000'000'000, 1);
  far.consumed = 500'000'000'000;
  resume<data::KeyedOrder>("one dataset", far, 101);
  mixed = five_datasets(1);
  mixed.consumed = 500'000'000'000;
  mixed.ratios = {8, 4, 2, 1, 1};
  resume<data::KeyedOrder>("five datasets by ratios", mixed, 101);
  mixed.ratios.clear();
  mixed.weights = {0.5, 0.25, 0.15, 0.07, 0.03};
  resume<data::KeyedOrder>("five datasets by weights", mixed, 101);
  mixed.weights = {1, 0.3, 0.1, 0.01, 0.000002};
  resume<data::KeyedOrder>("five datasets, one of a weight of 1 in 705000", mixed, 11);
  data::SamplerOptions tabled = one_dataset(10'000'000, 1);
  tabled.consumed = 123'456'789;
  resume<data::TorchOrder>("one dataset", tabled, 5);

  state("one dataset", one_dataset(1'000'000'000, 8192));
  mixed = five_datasets(8192);
  mixed.schedule =
      data::ramp<void>({0.9, 0.1, 0, 0, 0}, {0.1, 0.1, 0.2, 0.3, 0.3}, 100'000, 900'000, 20);
  state("five datasets, 22 stages", mixed);
  return all_right ? EXIT_SUCCESS : EXIT_FAILURE;
}
