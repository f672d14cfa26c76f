// Weight syncs of published models between GPUs of one host, beside the ceilings of the same links
// and hand-written twins of how it is done today.
//
// Prints a JSON line for each measurement. Every way's result is checked: all elements once, by
// fingerprints afterwards. Exits with 77 where there are fewer than two devices.
//
//   gpu [--model FILE|NAME,...] [--scenario NAME,...|all] [--ways NAME,...|all] [--bucket-mb N]
//       [--iterations N] [--blocks N] [--pack-blocks N] [--follow-blocks N] [--registered 0|1]
//       [--copy-blocks N] [--timeline 0|1] [--json OUT]
//
// Runs as one process with a thread a GPU, or as the processes of a launcher (torchrun, mpirun,
// srun).
#include <rlhf/adapters/model_json.hpp>
#include <rlhf/core/clock.hpp>
#include <rlhf/cuda/packer.cuh>
#include <rlhf/nccl/world.hpp>
#include <rlhf/plan/flows.hpp>
#include <rlhf/plan/model.hpp>
#include <rlhf/sync/link.hpp>
#include <rlhf/sync/policies.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "timeline.cuh"

namespace {

namespace plan = rlhf::plan;
namespace sync = rlhf::sync;
namespace cuda = rlhf::cuda;
using rlhf::Box;
using rlhf::DType;
using rlhf::Extents;
using rlhf::HeldBox;
using rlhf::Layout;
using rlhf::Mesh;
using rlhf::Shape;
using rlhf::nccl::Communicator;
using namespace rlhf::literals;

struct Options {
  std::string models = "qwen3-8b,qwen3-30b-a3b";
  std::string scenario = "all";
  std::string ways = "all";
  int bucket_mb = 128;
  int iterations = 10;
  int blocks = 0;
  int pack_blocks = 0;
  int follow_blocks = 0;
  int copy_blocks = 0;
  int timeline = 0;
  int registered = 1;
  std::string json;
};

struct Scenario {
  char const* name;
  int gpus;
  Layout source;
  Layout destination;
  int destination_first;  // the source begins at rank 0
  bool experts_only = false;
};

std::vector<Scenario> scenarios_for(int gpus) {
  std::vector<Scenario> const all = {
      {"fan_out", gpus, {}, {.data = gpus - 1}, 1},
      {"pp2_tp2", 4, {.pipeline = 2}, {.tensor = 2}, 2},
      {"tp2_replicas", 4, {.tensor = 2}, {.data = 2}, 2},
      {"fsdp4_tp4", 4, {.fsdp = 4}, {.tensor = 4}, 0},
      {"tp2dp2_tp4", 4, {.tensor = 2, .data = 2}, {.tensor = 4}, 0},
      {"ep4_tp2ep2", 4, {.expert = 4}, {.tensor = 2, .expert = 2}, 0, true},
      {"pp4_tp4", 4, {.pipeline = 4}, {.tensor = 4}, 0},
      {"fsdp2_tp2", 2, {.fsdp = 2}, {.tensor = 2}, 0},
      {"pp2_tp2_colocated", 2, {.pipeline = 2}, {.tensor = 2}, 0},
      {"ep2_tp2", 2, {.expert = 2}, {.tensor = 2}, 0, true},
  };
  std::vector<Scenario> out;
  for (Scenario const& one : all) {
    if (one.gpus == gpus) {
      out.push_back(one);
    }
  }
  return out;
}

/// What a rank holds, from a placement: the boxes are all there is to say.
struct PlacedRule {
  rlhf::Holding held;
  [[nodiscard]] rlhf::Holding holding(Shape const&, Layout const&, rlhf::Coordinate const&) const {
    return held;
  }
};

/// The 16 or 32 low bits that an element has in a version.
__host__ __device__ std::uint32_t element_value(std::uint64_t key, std::uint64_t index,
                                                std::uint32_t version) {
  return static_cast<std::uint32_t>(rlhf::mix64(key + index * 0x9e3779b97f4a7c15ULL + version));
}

/// Where elements of a box lie in the global tensor.
struct BoxIndex {
  std::int64_t extent[rlhf::max_rank];
  std::int64_t start[rlhf::max_rank];
  std::int64_t stride[rlhf::max_rank];
  int rank;
};
/// Writes a version's elements, or counts those that are not.
template <class Word>
__global__ void touch(Word* data, std::int64_t count, BoxIndex box, std::uint64_t key,
                      std::uint32_t version, unsigned long long* wrong) {
  unsigned long long found = 0;
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    std::int64_t rest = i;
    std::int64_t global = 0;
    for (int d = box.rank - 1; d >= 0; --d) {
      global += (box.start[d] + rest % box.extent[d]) * box.stride[d];
      rest /= box.extent[d];
    }
    auto const value =
        static_cast<Word>(element_value(key, static_cast<std::uint64_t>(global), version));
    if (wrong == nullptr) {
      data[i] = value;
    } else {
      found += data[i] == value ? 0 : 1;
    }
  }
  if (wrong != nullptr && found != 0) {
    atomicAdd(wrong, found);
  }
}

/// One rank's part of a published model in device memory, without its mathematics.
class Weights {
 public:
  using SyncPolicy = sync::Reshard<1_GiB>;

  Weights(plan::ModelList const& model, Layout const& layout, Mesh const& mesh, int world_rank)
      : layout_(layout),
        mesh_(mesh) {
    int const me = mesh.rank_of(world_rank);
    if (me < 0) {
      return;
    }
    plan::Side side{layout, 0, {}, {}};
    side.world_ranks.assign(mesh.world_ranks().begin(), mesh.world_ranks().end());
    plan::Placement const placed = plan::place(model, side);
    std::size_t bytes = 0;
    for (auto const& parameter : placed.parameters) {
      Held held;
      held.name = parameter.name;
      held.dtype = parameter.dtype;
      held.rule.held.global = parameter.global;
      std::int64_t elements = 0;
      for (plan::Part const& part : placed.patterns[static_cast<std::size_t>(parameter.pattern)]) {
        auto const& ranks = placed.rank_sets[static_cast<std::size_t>(part.ranks)];
        if (std::find(ranks.begin(), ranks.end(), me) != ranks.end() && !part.box.empty()) {
          HeldBox box{part.box, {}};
          box.offset = elements;
          box.strides = rlhf::row_major_strides(part.box.extent);
          held.rule.held.boxes.push_back(box);
          elements += part.box.elements();
        }
      }
      if (elements == 0) {
        continue;
      }
      held.elements = elements;
      held.offset = bytes;
      bytes += static_cast<std::size_t>(
          rlhf::align_up(elements * rlhf::size_of(held.dtype), std::int64_t{256}));
      held_.push_back(std::move(held));
    }
    memory_ = cuda::DeviceBuffer(bytes);
  }

  [[nodiscard]] Mesh const& mesh() const noexcept { return mesh_; }
  [[nodiscard]] Layout layout() const noexcept { return layout_; }
  template <class Visit>
  void parameters(Visit&& visit) {
    for (Held& held : held_) {
      visit(std::string_view(held.name), view(held), held.rule);
    }
  }
  struct Held {
    std::string name;
    DType dtype;
    PlacedRule rule;
    std::int64_t elements = 0;
    std::size_t offset = 0;
  };
  [[nodiscard]] std::vector<Held> const& held() const noexcept { return held_; }
  [[nodiscard]] std::byte* data(Held const& held) const { return memory_.data() + held.offset; }

  void fill(std::uint32_t version) { touch_all(version, nullptr); }
  void clear() { cuda::check(cudaMemset(memory_.data(), 0xA5, memory_.size()), "cudaMemset"); }
  [[nodiscard]] std::int64_t wrong(std::uint32_t version) {
    cuda::DeviceBuffer const counter(8);
    cuda::check(cudaMemset(counter.data(), 0, 8), "cudaMemset");
    touch_all(version, reinterpret_cast<unsigned long long*>(counter.data()));
    unsigned long long out = 0;
    cuda::check(cudaMemcpy(&out, counter.data(), 8, cudaMemcpyDeviceToHost), "cudaMemcpy");
    return static_cast<std::int64_t>(out);
  }

 private:
  [[nodiscard]] rlhf::TensorView view(Held const& held) const {
    return {memory_.data() + held.offset,
            held.dtype,
            {rlhf::Device::Kind::cuda, 0},
            Shape{held.elements},
            Extents{1}};
  }
  void touch_all(std::uint32_t version, unsigned long long* wrong) {
    for (Held const& held : held_) {
      std::uint64_t const key = rlhf::Fingerprint().add(held.name).value();
      Extents const strides = rlhf::row_major_strides(held.rule.held.global);
      for (HeldBox const& box : held.rule.held.boxes) {
        BoxIndex index{};
        index.rank = box.box.rank();
        for (int d = 0; d < index.rank; ++d) {
          index.extent[d] = box.box.extent[d];
          index.start[d] = box.box.start[d];
          index.stride[d] = strides[d];
        }
        std::int64_t const count = box.box.elements();
        auto const blocks =
            static_cast<unsigned>(std::min<std::int64_t>((count + 511) / 512, 1056));
        std::byte* const at = data(held) + box.offset * rlhf::size_of(held.dtype);
        if (rlhf::size_of(held.dtype) == 2) {
          touch<<<blocks, 512>>>(reinterpret_cast<std::uint16_t*>(at), count, index, key, version,
                                 wrong);
        } else {
          touch<<<blocks, 512>>>(reinterpret_cast<std::uint32_t*>(at), count, index, key, version,
                                 wrong);
        }
      }
    }
    cuda::check(cudaDeviceSynchronize(), "touch");
  }

  Layout layout_;
  Mesh mesh_;
  std::vector<Held> held_;
  cuda::DeviceBuffer memory_;
};

/// Lets ranks that are threads of this process meet on the host. Freeing device memory may wait for
/// all kernels of devices that map it, so that no rank may enter a collective while another still
/// frees.
class HostMeeting {
 public:
  explicit HostMeeting(int threads) : threads_(threads) {}
  void arrive() {
    int const turn = turn_.load();
    if (arrived_.fetch_add(1) + 1 == threads_) {
      arrived_ = 0;
      ++turn_;
    }
    while (turn_.load() == turn) {
    }
  }

 private:
  int threads_;
  std::atomic<int> arrived_{0};
  std::atomic<int> turn_{0};
};

std::int64_t most_of(Communicator& world, std::int64_t value) {
  world.all_reduce(&value, &value, 1, DType::i64, rlhf::comm::Reduce::max);
  return value;
}
std::int64_t sum_of(Communicator& world, std::int64_t value) {
  world.all_reduce(&value, &value, 1, DType::i64, rlhf::comm::Reduce::sum);
  return value;
}

/// Seconds of the slowest rank, in the order of the runs.
template <class Body>
std::vector<double> measure(Communicator& world, cuda::StreamView stream, int iterations,
                            Body&& body) {
  std::vector<double> out;
  for (int i = iterations < 5 ? -1 : -2; i < iterations; ++i) {
    world.barrier();
    std::int64_t const begin = rlhf::steady_nanoseconds();
    body();
    world.wait(stream);
    std::int64_t const took = most_of(world, rlhf::steady_nanoseconds() - begin);
    if (i >= 0) {
      out.push_back(static_cast<double>(took) * 1e-9);
    }
  }
  return out;
}
double quantile(std::vector<double> runs, std::size_t percent) {
  std::sort(runs.begin(), runs.end());
  return runs[std::min(runs.size() - 1, runs.size() * percent / 100)];
}
double median(std::vector<double> const& runs) {
  return quantile(runs, 50);
}
/// How much longer the last quarter takes than the first.
double drift(std::vector<double> const& runs) {
  auto const quarter = static_cast<std::ptrdiff_t>((runs.size() + 3) / 4);
  return median({runs.end() - quarter, runs.end()}) /
             median({runs.begin(), runs.begin() + quarter}) -
         1;
}

/// What the links can do, measured with one large buffer.
struct Ceilings {
  double ring = 0;       // GB/s each way, send/recv to the next rank
  double broadcast = 0;  // GB/s of one broadcast from rank 0 to all
  double copy = 0;       // GB/s each way, copy engines to the next rank
  double memory = 0;     // GB/s of device memory, bytes read and written
};
Ceilings ceilings(Communicator& world, cuda::StreamView stream) {
  std::int64_t const bytes = std::int64_t{4} << 30;
  cuda::DeviceBuffer const from(static_cast<std::size_t>(bytes));
  cuda::DeviceBuffer const to(static_cast<std::size_t>(bytes));
  cuda::check(cudaMemset(from.data(), 1, from.size()), "cudaMemset");
  int const next = (world.rank() + 1) % world.size();
  int const last = (world.rank() + world.size() - 1) % world.size();
  auto const rate = [&](auto&& body) {
    return static_cast<double>(bytes) / median(measure(world, stream, 10, body)) * 1e-9;
  };
  Ceilings out;
  out.ring = rate([&] {
    rlhf::comm::grouped(
        world,
        [&] {
          world.send(from.data(), bytes, DType::u8, next, stream);
          world.recv(to.data(), bytes, DType::u8, last, stream);
        },
        stream);
  });
  out.broadcast = rate([&] { world.broadcast(to.data(), bytes, DType::u8, 0, stream); });
  cuda::PeerMemory mapped;
  cuda::MemoryCard const mine = cuda::card_of(to.data());
  std::vector<cuda::MemoryCard> all(static_cast<std::size_t>(world.size()));
  world.all_gather(&mine, all.data(), sizeof mine, DType::u8);
  std::byte* const peer = mapped.map(all[static_cast<std::size_t>(next)]);
  if (peer != nullptr) {
    out.copy = rate([&] {
      cuda::check(cudaMemcpyAsync(peer, from.data(), from.size(), cudaMemcpyDefault, stream.get()),
                  "cudaMemcpyAsync");
    });
  }
  out.memory = 2 * rate([&] {
                 cuda::check(cudaMemcpyAsync(to.data(), from.data(), from.size(),
                                             cudaMemcpyDeviceToDevice, stream.get()),
                             "cudaMemcpyAsync");
               });
  world.barrier();
  return out;
}

class Bench {
 public:
  Bench(Communicator& world, Options const& options, plan::ModelList const& model, std::FILE* out,
        HostMeeting& meeting)
      : world_(world),
        options_(options),
        model_(model),
        out_(out),
        meeting_(meeting) {}

  int run() {
    connect();
    ceilings_ = ceilings(world_, stream_);
    meeting_.arrive();
    print(
        "{\"ceilings\":true,\"gpus\":%d,\"ring_gbps\":%.1f,\"broadcast_gbps\":%.1f,"
        "\"copy_engine_gbps\":%.1f,\"memory_gbps\":%.1f}\n",
        world_.size(), ceilings_.ring, ceilings_.broadcast, ceilings_.copy, ceilings_.memory);
    bool any = false;
    for (Scenario const& scenario : scenarios_for(world_.size())) {
      bool const has_experts = model_.parameters.size() > 5000;
      if (!listed(options_.scenario, scenario.name) || (scenario.experts_only && !has_experts)) {
        continue;
      }
      any = true;
      run(scenario);
      meeting_.arrive();
    }
    if (!any) {
      std::fprintf(stderr, "there is no scenario %s for %d GPUs\n", options_.scenario.c_str(),
                   world_.size());
      return 2;
    }
    return failed_ ? 1 : 0;
  }

 private:
  /// Makes all connections, which NCCL does at the first transfer between two ranks.
  void connect() {
    auto const size = static_cast<std::size_t>(world_.size());
    std::vector<std::int64_t> from(size);
    std::vector<std::int64_t> to(size);
    world_.all_to_all(from.data(), to.data(), 1, DType::i64);
  }

  template <class... Values>
  void print(char const* format, Values... values) {
    if (world_.rank() == 0) {
      std::printf(format, values...);
      std::fflush(stdout);
      if (out_ != nullptr) {
        std::fprintf(out_, format, values...);
        std::fflush(out_);
      }
    }
  }
  [[nodiscard]] static bool listed(std::string const& names, char const* name) {
    return names == "all" ||
           ("," + names + ",").find("," + std::string(name) + ",") != std::string::npos;
  }
  [[nodiscard]] bool wants(char const* way) const { return listed(options_.ways, way); }

  void run(Scenario const& scenario) {
    auto range = [](int first, int count) { return Mesh::range(first, count); };
    scenario_ = &scenario;
    Weights source(model_, scenario.source, range(0, scenario.source.ranks()), world_.rank());
    Weights destination(model_, scenario.destination,
                        range(scenario.destination_first, scenario.destination.ranks()),
                        world_.rank());
    source_ = &source;
    destination_ = &destination;
    // What twins need, before any collective: see HostMeeting.
    scratch_ = cuda::DeviceBuffer(std::size_t{1} << 30);
    host_ = cuda::PinnedBuffer(std::size_t{128} << 20);
    bool const fan_out = std::strcmp(scenario.name, "fan_out") == 0;
    ours("direct", true, false, false);
    ours("direct_fingerprints", true, true, false);
    ours("direct_captured", true, false, true);
    ours("nccl", false, false, false);
    ours("nccl_captured", false, false, true);
    if (fan_out) {
      twin("one_broadcast_a_parameter", 5, [&] { one_by_one(); });
      twin("packed_double_buffer", 5, [&] { packed(); });
      twin("flatten_and_broadcast", 5, [&] { flattened(); });
    } else {
      if (world_.size() == 2) {  // of more ranks, groups would wait for each other in a circle
        twin("one_send_a_piece", 5, [&] { pieces(1); });
        twin("sends_in_groups_of_64", 5, [&] { pieces(64); });
      }
    }
    twin("through_pinned_host_memory", 1, [&] { pinned(); });
    double_buffer_[0] = cuda::DeviceBuffer();
    double_buffer_[1] = cuda::DeviceBuffer();
    scratch_ = cuda::DeviceBuffer();
    plan_ = {};
  }

  /// One way of ours.
  void ours(char const* way, bool direct, bool prints, bool captured) {
    if (!wants(way)) {
      return;
    }
    one(way, direct, prints, captured);
    meeting_.arrive();
  }
  void one(char const* way, bool direct, bool prints, bool captured) {
    world_.barrier();
    auto const before = static_cast<std::int64_t>(cuda::device_memory().free);
    cuda::PackerOptions packing;
    packing.direct.reach = direct ? cuda::Reach::automatic : cuda::Reach::never;
    packing.direct.fingerprints = prints;
    packing.direct.blocks = options_.blocks;
    packing.direct.follow_blocks = options_.follow_blocks;
    packing.blocks = options_.pack_blocks > 0 ? options_.pack_blocks : packing.blocks;
    packing.copy_blocks = options_.copy_blocks > 0 ? options_.copy_blocks : packing.copy_blocks;
    sync::LinkOptions linking;
    linking.budget = rlhf::Bytes{std::int64_t{4} * options_.bucket_mb << 20};
    std::int64_t const begin = rlhf::steady_nanoseconds();
    auto const record = std::make_shared<timeline::Record>();
    sync::Link link(world_, *source_, *destination_, linking, timeline::Packer(packing, record));
    double const making = static_cast<double>(most_of(world_, rlhf::steady_nanoseconds() - begin));
    plan_ = link.plan();
    set_bound();
    std::uint32_t version = ++versions_;
    source_->fill(version);
    destination_->clear();
    world_.barrier();
    link.sync(rlhf::Version{version}, stream_);
    std::int64_t wrong = destination_->wrong(version);
    version = ++versions_;
    source_->fill(version);
    world_.barrier();
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t replay = nullptr;
    if (captured) {
      cuda::check(cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeThreadLocal), "begin");
      link.start(stream_);
      cuda::check(cudaStreamEndCapture(stream_.get(), &graph), "end");
      cuda::check(cudaGraphInstantiate(&replay, graph, 0), "instantiate");
      world_.barrier();
    }
    std::vector<double> launches;
    auto const settled = static_cast<std::int64_t>(cuda::device_memory().free);
    auto const seconds = measure(world_, stream_, options_.iterations, [&] {
      std::int64_t const start = rlhf::steady_nanoseconds();
      if (captured) {
        cuda::check(cudaGraphLaunch(replay, stream_.get()), "launch");
      } else {
        link.start(stream_);
      }
      launches.push_back(static_cast<double>(rlhf::steady_nanoseconds() - start) * 1e-3);
    });
    link.finish(rlhf::Version{version}, stream_);
    std::int64_t const growth =
        most_of(world_, settled - static_cast<std::int64_t>(cuda::device_memory().free));
    std::int64_t const extra =
        most_of(world_, before - static_cast<std::int64_t>(cuda::device_memory().free));
    wrong += destination_->wrong(version);
    bool verified = true;
    try {
      link.verify();
    } catch (rlhf::Error const& error) {
      std::fprintf(stderr, "%s\n", error.what());
      verified = false;
    }
    double const launch =
        static_cast<double>(most_of(world_, static_cast<std::int64_t>(median(launches) * 1e3))) *
        1e-3;
    row(way, seconds, launch, extra, growth, sum_of(world_, wrong), verified, making * 1e-9);
    if (options_.timeline != 0 && !captured) {
      draw(way, link, *record);
    }
    if (replay != nullptr) {
      cudaGraphExecDestroy(replay);
      cudaGraphDestroy(graph);
    }
    world_.barrier();
  }

  /// One more sync, with the times of its lanes on every rank.
  template <class Link>
  void draw(char const* way, Link& link, timeline::Record& record) {
    world_.barrier();
    record.start(stream_);
    link.start(stream_);
    record.stop();
    link.finish(rlhf::Version{versions_}, stream_);
    stream_.synchronize();
    std::string const what = model_.name + " " + scenario_->name + " " + way;
    for (int rank = 0; rank < world_.size(); ++rank) {  // lines of a process do not mix
      world_.barrier();
      if (rank == world_.rank()) {
        record.print(out_ != nullptr ? out_ : stdout, what, rank);
      }
    }
    world_.barrier();
  }

  /// A hand-written way.
  void twin(char const* way, int iterations, std::function<void()> const& body) {
    if (!wants(way)) {
      return;
    }
    if (plan_.parameters.empty()) {
      cuda::PackerOptions packing;
      {
        sync::Link link(world_, *source_, *destination_, {}, cuda::Packer(packing));
        plan_ = link.plan();
        set_bound();
        world_.barrier();
      }
      meeting_.arrive();
    }
    std::uint32_t const version = ++versions_;
    source_->fill(version);
    destination_->clear();
    world_.barrier();
    auto const before = static_cast<std::int64_t>(cuda::device_memory().free);
    std::vector<double> launches;
    auto const seconds = measure(world_, stream_, std::min(options_.iterations, iterations), [&] {
      std::int64_t const start = rlhf::steady_nanoseconds();
      body();
      launches.push_back(static_cast<double>(rlhf::steady_nanoseconds() - start) * 1e-3);
    });
    std::int64_t const extra =
        most_of(world_, before - static_cast<std::int64_t>(cuda::device_memory().free));
    std::int64_t const wrong = sum_of(world_, destination_->wrong(version));
    row(way, seconds, median(launches), extra, 0, wrong, true, 0);
  }

  /// The least time that links allow: the most that any GPU must take in, or give out once.
  void set_bound() {
    auto const ranks = static_cast<std::size_t>(plan_.world);
    std::vector<std::int64_t> in(ranks);
    std::vector<std::int64_t> out(ranks);
    for (plan::Flow const& flow : plan::flows_of(plan_)) {
      out[static_cast<std::size_t>(flow.source)] += flow.bytes;
      for (int const to : plan_.paths[static_cast<std::size_t>(flow.path)].destinations) {
        in[static_cast<std::size_t>(to)] += flow.bytes;
      }
    }
    bound_bytes_ = std::max(*std::max_element(in.begin(), in.end()),
                            *std::max_element(out.begin(), out.end()));
    // Device memory is read for what leaves and written for what comes; copies do both.
    std::vector<std::int64_t> memory(ranks);
    for (plan::Copy const& copy : plan_.copies) {
      plan::Kind const& kind = plan_.kinds[static_cast<std::size_t>(copy.kind)];
      for (int const rank : plan_.rank_sets[static_cast<std::size_t>(copy.ranks)]) {
        memory[static_cast<std::size_t>(rank)] +=
            2 * plan::wire_bytes(kind, copy.box) * std::ssize(kind.parameters);
      }
    }
    memory_bytes_ = 0;
    for (std::size_t r = 0; r < ranks; ++r) {
      memory_bytes_ = std::max(memory_bytes_, memory[r] + in[r] + out[r]);
    }
  }

  void row(char const* way, std::vector<double> const& seconds, double launch_us,
           std::int64_t extra, std::int64_t growth, std::int64_t wrong, bool verified,
           double making) {
    double const rate = static_cast<double>(bound_bytes_) / median(seconds) * 1e-9;
    double const ceiling =
        std::strcmp(scenario_->name, "fan_out") == 0 ? ceilings_.broadcast : ceilings_.ring;
    double const link_seconds = static_cast<double>(bound_bytes_) / ceiling * 1e-9;
    double const memory_seconds = static_cast<double>(memory_bytes_) / ceilings_.memory * 1e-9;
    double const bound = std::max(link_seconds, memory_seconds);
    failed_ = failed_ || wrong != 0 || !verified;
    print(
        "{\"scenario\":\"%s\",\"model\":\"%s\",\"way\":\"%s\",\"gpus\":%d,\"parameters\":%zu,"
        "\"bytes_moved\":%lld,\"bytes_bound\":%lld,\"seconds\":%.6f,\"seconds_p95\":%.6f,\"drift\":"
        "%.4f,"
        "\"gbps\":%.1f,\"ceiling_gbps\":%.1f,\"ratio\":%.3f,\"memory_bytes\":%lld,"
        "\"ratio_with_memory\":%.3f,\"launch_us\":%.1f,"
        "\"device_extra_bytes\":%lld,\"growth_bytes\":%lld,\"link_seconds\":%.3f,\"wrong_"
        "elements\":%lld,"
        "\"verified\":%s}\n",
        scenario_->name, model_.name.c_str(), way, world_.size(), plan_.parameters.size(),
        static_cast<long long>(plan_.bytes_moved), static_cast<long long>(bound_bytes_),
        median(seconds), quantile(seconds, 95), drift(seconds), rate, ceiling, rate / ceiling,
        static_cast<long long>(memory_bytes_), bound / median(seconds), launch_us,
        static_cast<long long>(extra), static_cast<long long>(growth), making,
        static_cast<long long>(wrong), verified ? "true" : "false");
  }

  [[nodiscard]] Weights& mine() { return world_.rank() == 0 ? *source_ : *destination_; }

  /// Twin: one broadcast a parameter, one after the other.
  void one_by_one() {
    for (auto const& held : mine().held()) {
      world_.broadcast(mine().data(held), held.elements * rlhf::size_of(held.dtype), DType::u8, 0,
                       stream_);
    }
  }
  /// Calls `whole(parameters, bytes)` for runs of parameters that fill a buffer.
  template <class Whole>
  void in_buckets(std::int64_t limit, Whole&& whole) {
    std::vector<Weights::Held const*> bucket;
    std::int64_t bytes = 0;
    for (auto const& held : mine().held()) {
      std::int64_t const size = held.elements * rlhf::size_of(held.dtype);
      if (!bucket.empty() && bytes + size > limit) {
        whole(bucket, bytes);
        bucket.clear();
        bytes = 0;
      }
      bucket.push_back(&held);
      bytes += size;
    }
    whole(bucket, bytes);
  }
  void copy_all(std::vector<Weights::Held const*> const& bucket, std::byte* buffer, bool in,
                cuda::StreamView stream) {
    for (auto const* const held : bucket) {
      auto const size = static_cast<std::size_t>(held->elements * rlhf::size_of(held->dtype));
      std::byte* const at = mine().data(*held);
      cuda::check(cudaMemcpyAsync(in ? buffer : at, in ? at : buffer, size,
                                  cudaMemcpyDeviceToDevice, stream.get()),
                  "cudaMemcpyAsync");
      buffer += size;
    }
  }
  /// Twin: packed into two buffers in turn, so that copies overlap broadcasts.
  void packed() {
    std::int64_t const limit = std::int64_t{2} << 30;
    for (auto& buffer : double_buffer_) {
      if (buffer.empty()) {
        buffer = cuda::DeviceBuffer(static_cast<std::size_t>(limit));
      }
    }
    int turn = 0;
    start_.record(stream_);
    for (auto& stream : twin_streams_) {
      start_.wait(stream);
    }
    in_buckets(limit, [&](auto const& bucket, std::int64_t bytes) {
      auto& stream = twin_streams_[turn];
      std::byte* const buffer = double_buffer_[turn].data();
      turn = 1 - turn;
      if (world_.rank() == 0) {
        copy_all(bucket, buffer, true, stream);
      }
      copied_.record(stream);
      copied_.wait(stream_);
      world_.broadcast(buffer, bytes, DType::u8, 0, stream_);
      sent_.record(stream_);
      sent_.wait(stream);
      if (world_.rank() != 0) {
        copy_all(bucket, buffer, false, stream);
      }
    });
    for (auto& stream : twin_streams_) {
      copied_.record(stream);
      copied_.wait(stream_);
    }
  }
  /// Twin: buckets flattened, broadcast and unflattened, one after the other.
  void flattened() {
    std::int64_t const limit = std::int64_t{1} << 30;
    if (double_buffer_[0].size() < static_cast<std::size_t>(2 * limit)) {
      double_buffer_[0] = cuda::DeviceBuffer(static_cast<std::size_t>(2 * limit));
    }
    in_buckets(limit, [&](auto const& bucket, std::int64_t bytes) {
      std::byte* const buffer = double_buffer_[0].data();
      if (world_.rank() == 0) {
        copy_all(bucket, buffer, true, stream_);
      }
      world_.broadcast(buffer, bytes, DType::u8, 0, stream_);
      if (world_.rank() != 0) {
        copy_all(bucket, buffer, false, stream_);
      }
    });
  }

  /// The plan's pieces of this rank, as contiguous bytes where they are, in order.
  struct Moves {
    plan::Schedule schedule;
    std::unique_ptr<sync::LocalSide<>> source;
    std::unique_ptr<sync::LocalSide<>> destination;
  };
  Moves const& moves() {
    if (moves_of_ != scenario_) {
      moves_of_ = scenario_;
      moves_.schedule = plan::schedule(plan_, world_.rank());
      auto const side = [&](Weights& weights) {
        sync::LocalParameters local;
        local.description.world_rank = world_.rank();
        if (weights.mesh().rank_of(world_.rank()) >= 0) {
          local = sync::local_parameters(weights, world_.rank());
        }
        return std::make_unique<sync::LocalSide<>>(plan_, std::move(local));
      };
      moves_.source = side(*source_);
      moves_.destination = side(*destination_);
    }
    return moves_;
  }
  void copy_region(rlhf::Region const& region, std::byte* packed, bool in, cudaStream_t stream,
                   cudaMemcpyKind kind) {
    if (region.contiguous()) {
      cuda::check(cudaMemcpyAsync(in ? packed : region.data, in ? region.data : packed,
                                  static_cast<std::size_t>(region.run_bytes), kind, stream),
                  "cudaMemcpyAsync");
      return;
    }
    int const last = region.counts.rank() - 1;
    rlhf::Region outer = region;
    outer.counts = {};
    outer.byte_strides = {};
    for (int d = 0; d < last; ++d) {
      outer.counts.push_back(region.counts[d]);
      outer.byte_strides.push_back(region.byte_strides[d]);
    }
    auto const run = static_cast<std::size_t>(region.run_bytes);
    auto const pitch = static_cast<std::size_t>(region.byte_strides[last]);
    auto const rows = static_cast<std::size_t>(region.counts[last]);
    rlhf::for_each_run(outer, [&](std::byte* data) {
      cuda::check(cudaMemcpy2DAsync(in ? packed : data, in ? run : pitch, in ? data : packed,
                                    in ? pitch : run, run, rows, kind, stream),
                  "cudaMemcpy2DAsync");
      packed += run * rows;
    });
  }
  void local_copies() {
    for (plan::LocalCopy const& copy : moves().schedule.copies) {
      rlhf::Region const from = moves().source->region(plan_, copy.piece);
      rlhf::Region const to = moves().destination->region(plan_, copy.piece);
      if (from.contiguous()) {
        copy_region(to, from.data, false, stream_.get(), cudaMemcpyDeviceToDevice);
      } else if (to.contiguous()) {
        copy_region(from, to.data, true, stream_.get(), cudaMemcpyDeviceToDevice);
      } else {
        copy_region(from, scratch(from.bytes()), true, stream_.get(), cudaMemcpyDeviceToDevice);
        copy_region(to, scratch(from.bytes()), false, stream_.get(), cudaMemcpyDeviceToDevice);
      }
    }
  }
  std::byte* scratch(std::int64_t bytes) {
    if (scratch_.size() < static_cast<std::size_t>(bytes)) {
      scratch_ = cuda::DeviceBuffer(static_cast<std::size_t>(bytes));
    }
    return scratch_.data();
  }
  /// Twin: every piece a send and a receive, `each` in a group, packed where it has gaps.
  void pieces(int each) {
    local_copies();
    std::int64_t const slot = std::int64_t{512} << 20;
    int open = 0;
    std::int64_t used = 0;
    std::int64_t in_group = 0;
    std::vector<std::pair<rlhf::Region, std::byte*>> unpack;
    auto const flush = [&] {
      world_.group_end(stream_);
      for (auto const& [region, packed] : unpack) {
        copy_region(region, packed, false, stream_.get(), cudaMemcpyDeviceToDevice);
      }
      unpack.clear();
      open = 0;
      used = 0;
    };
    std::byte* const staging = scratch(2 * slot);
    std::int64_t used_out = 0;
    for (plan::Bucket const& bucket : moves().schedule.buckets) {
      plan::Flow const& flow = moves().schedule.flows[static_cast<std::size_t>(bucket.flow)];
      auto const& path = plan_.paths[static_cast<std::size_t>(flow.path)];
      for (plan::Piece const& piece : bucket.pieces) {
        auto const bytes =
            plan::wire_bytes(plan_.kinds[static_cast<std::size_t>(kind_of(piece))], piece.box);
        if (open != 0 && in_group + bytes > slot) {  // both ranks of a piece see all of a group
          flush();
        }
        if (open == 0) {
          world_.group_start();
          used = used_out = in_group = 0;
        }
        in_group += bytes;
        if (flow.source == world_.rank()) {
          rlhf::Region const region = moves().source->region(plan_, piece);
          std::byte* from = region.data;
          if (!region.contiguous()) {
            from = staging + slot + used_out;
            used_out += bytes;
            copy_region(region, from, true, stream_.get(), cudaMemcpyDeviceToDevice);
          }
          for (int const to : path.destinations) {
            world_.send(from, bytes, DType::u8, to, stream_);
          }
        } else {
          rlhf::Region const region = moves().destination->region(plan_, piece);
          std::byte* to = region.data;
          if (!region.contiguous()) {
            to = staging + used;
            used += bytes;
            unpack.emplace_back(region, to);
          }
          world_.recv(to, bytes, DType::u8, flow.source, stream_);
        }
        if (++open == each) {
          flush();
        }
      }
    }
    if (open != 0) {
      flush();
    }
  }
  [[nodiscard]] std::int32_t kind_of(plan::Piece const& piece) {
    if (kinds_.size() != plan_.parameters.size()) {
      kinds_ = plan::kinds_of(plan_);
    }
    return kinds_[static_cast<std::size_t>(piece.parameter)];
  }
  /// Twin: by way of pinned host memory, bucket by bucket: device to host, to device, to the peer.
  void pinned() {
    local_copies();
    for (plan::Bucket const& bucket : moves().schedule.buckets) {
      plan::Flow const& flow = moves().schedule.flows[static_cast<std::size_t>(bucket.flow)];
      auto const& path = plan_.paths[static_cast<std::size_t>(flow.path)];
      if (host_.size() < static_cast<std::size_t>(bucket.bytes)) {
        host_ = cuda::PinnedBuffer(static_cast<std::size_t>(bucket.bytes));
      }
      std::byte* const staging = scratch(bucket.bytes);
      auto const each = [&](sync::LocalSide<> const& side, std::byte* packed, bool in,
                            cudaMemcpyKind kind) {
        for (plan::Piece const& piece : bucket.pieces) {
          rlhf::Region const region = side.region(plan_, piece);
          copy_region(region, packed, in, stream_.get(), kind);
          packed += region.bytes();
        }
      };
      auto const size = static_cast<std::size_t>(bucket.bytes);
      if (flow.source == world_.rank()) {
        each(*moves().source, host_.data(), true, cudaMemcpyDeviceToHost);
        cuda::check(
            cudaMemcpyAsync(staging, host_.data(), size, cudaMemcpyHostToDevice, stream_.get()),
            "cudaMemcpyAsync");
        rlhf::comm::grouped(
            world_,
            [&] {
              for (int const to : path.destinations) {
                world_.send(staging, bucket.bytes, DType::u8, to, stream_);
              }
            },
            stream_);
      } else {
        rlhf::comm::grouped(
            world_, [&] { world_.recv(staging, bucket.bytes, DType::u8, flow.source, stream_); },
            stream_);
        cuda::check(
            cudaMemcpyAsync(host_.data(), staging, size, cudaMemcpyDeviceToHost, stream_.get()),
            "cudaMemcpyAsync");
        each(*moves().destination, host_.data(), false, cudaMemcpyHostToDevice);
      }
    }
  }

  Communicator& world_;
  Options const& options_;
  plan::ModelList const& model_;
  std::FILE* out_;
  cuda::Stream stream_{cuda::Priority::high};  // transfers go before packing
  cuda::Stream twin_streams_[2];
  cuda::Event start_;
  cuda::Event copied_;
  cuda::Event sent_;
  cuda::DeviceBuffer double_buffer_[2];
  cuda::DeviceBuffer scratch_;
  cuda::PinnedBuffer host_;
  Ceilings ceilings_;
  Scenario const* scenario_ = nullptr;
  Scenario const* moves_of_ = nullptr;
  Moves moves_;
  Weights* source_ = nullptr;
  Weights* destination_ = nullptr;
  plan::Plan plan_;
  std::vector<std::int32_t> kinds_;
  std::int64_t bound_bytes_ = 0;
  std::int64_t memory_bytes_ = 0;  // the most that any GPU's memory must read and write
  HostMeeting& meeting_;
  std::uint32_t versions_ = 0;
  bool failed_ = false;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string const name = argv[i];
    std::string const value = argv[i + 1];
    if (name == "--model") {
      options.models = value;
    } else if (name == "--scenario") {
      options.scenario = value;
    } else if (name == "--ways") {
      options.ways = value;
    } else if (name == "--bucket-mb") {
      options.bucket_mb = std::atoi(value.c_str());
    } else if (name == "--iterations") {
      options.iterations = std::atoi(value.c_str());
    } else if (name == "--blocks") {
      options.blocks = std::atoi(value.c_str());
    } else if (name == "--pack-blocks") {
      options.pack_blocks = std::atoi(value.c_str());
    } else if (name == "--follow-blocks") {
      options.follow_blocks = std::atoi(value.c_str());
    } else if (name == "--copy-blocks") {
      options.copy_blocks = std::atoi(value.c_str());
    } else if (name == "--timeline") {
      options.timeline = std::atoi(value.c_str());
    } else if (name == "--registered") {
      options.registered = std::atoi(value.c_str());
    } else if (name == "--json") {
      options.json = value;
    } else {
      std::fprintf(stderr, "unknown option %s\n", name.c_str());
      std::exit(2);
    }
  }
  if (argc % 2 == 0 || options.bucket_mb < 1 || options.iterations < 1) {
    std::fprintf(
        stderr,
        "usage: gpu [--model FILE|NAME,...] [--scenario NAME,...|all] [--ways NAME,...|all]\n"
        "           [--bucket-mb N] [--iterations N] [--blocks N] [--pack-blocks N]\n"
        "           [--follow-blocks N] [--copy-blocks N] [--registered 0|1] [--timeline 0|1]\n"
        "           [--json OUT]\n");
    std::exit(2);
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  Options const options = parse(argc, argv);
  // Streams that share one of the usual eight queues wait for each other: lanes would not overlap.
  setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
  auto const launch = rlhf::comm::launch_from_environment();
  if (cuda::device_count() < 2) {
    std::printf("skipped: needs two devices\n");
    return 77;
  }
  int status = 0;
  try {
    rlhf::nccl::RunOptions running;
    running.communicator.timeout = rlhf::Milliseconds{60'000};
    running.communicator.register_staging = options.registered != 0;
    std::FILE* const out =
        options.json.empty() || launch.rank > 0 ? nullptr : std::fopen(options.json.c_str(), "a");
    for (std::size_t begin = 0; begin < options.models.size();) {
      std::size_t const end = std::min(options.models.find(',', begin), options.models.size());
      std::string const name = options.models.substr(begin, end - begin);
      begin = end + 1;
      plan::ModelList const model = plan::read_model_file(
          name.find('/') != std::string::npos ? name
                                              : std::string(RLHF_MODELS_DIR "/") + name + ".json");
      HostMeeting meeting(launch.size > 1 ? 1 : cuda::device_count());
      rlhf::nccl::run(
          [&](Communicator& world) {
            int const mine = Bench(world, options, model, out, meeting).run();
            if (world.rank() == 0 || mine != 0) {
              status = std::max(status, mine);
            }
          },
          running);
    }
    if (out != nullptr) {
      std::fclose(out);
    }
  } catch (std::exception const& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return status;
}
