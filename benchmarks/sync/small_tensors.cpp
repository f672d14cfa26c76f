// What many small tensors cost: 100,000 tensors of 4 KiB beside one tensor of the same bytes, from
// one rank to another over Local, and beside one memcpy of as many bytes as a ceiling.
//
// Prints a JSON line each: the median seconds of a sync over rounds that alternate between the two,
// and the ratio. Fails where a byte is wrong.
#include <rlhf/rlhf.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using namespace rlhf::literals;

struct Weights : rlhf::Module<rlhf::Grid<rlhf::Layout{}>, rlhf::sync::Reshard<256_MiB>> {
  Weights(rlhf::Mesh mesh, int rank, std::int64_t count, std::int64_t elements)
      : Module(std::move(mesh), rank),
        each(elements) {
    if (present()) {
      memory.assign(static_cast<std::size_t>(count * elements), 0.0F);
      for (std::int64_t i = 0; i < count; ++i) {
        names.push_back("layers." + std::to_string(i) + ".weight");
      }
    }
  }
  template <class Visit>
  void parameters(Visit&& visit) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      visit(names[i], rlhf::view(memory.data() + static_cast<std::int64_t>(i) * each, {each}),
            rlhf::shard::replicated());
    }
  }
  std::int64_t each;
  std::vector<std::string> names;
  std::vector<float> memory;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  std::int64_t const tensors = argc > 1 ? std::atoll(argv[1]) : 100'000;
  int const rounds = argc > 2 ? std::atoi(argv[2]) : 11;
  constexpr std::int64_t elements = 1024;  // 4 KiB
  std::atomic<bool> wrong{false};
  std::vector<double> small;
  std::vector<double> large;
  std::vector<double> copy;
  double plan_seconds = 0;
  rlhf::comm::run_local(2, [&](rlhf::comm::Local world) {
    auto const mesh = [](int rank) { return rlhf::Mesh::range(rank, 1); };
    Weights many(mesh(0), world.rank(), tensors, elements);
    Weights many_to(mesh(1), world.rank(), tensors, elements);
    Weights one(mesh(0), world.rank(), 1, tensors * elements);
    Weights one_to(mesh(1), world.rank(), 1, tensors * elements);
    std::int64_t const begin = rlhf::steady_nanoseconds();
    rlhf::sync::Link link_many(world, many, many_to);
    if (world.rank() == 1) {
      plan_seconds = static_cast<double>(rlhf::steady_nanoseconds() - begin) * 1e-9;
    }
    rlhf::sync::Link link_one(world, one, one_to);
    for (int round = 0; round < rounds; ++round) {
      for (Weights* const from : {&many, &one}) {
        for (std::size_t i = 0; i < from->memory.size(); ++i) {
          from->memory[i] = static_cast<float>(i % 1021) + static_cast<float>(round);
        }
      }
      world.barrier();
      link_many.sync(rlhf::Version{round + 1});
      world.barrier();
      link_one.sync(rlhf::Version{round + 1});
      world.barrier();
      if (world.rank() == 1) {
        small.push_back(link_many.report().seconds);
        large.push_back(link_one.report().seconds);
        for (Weights const* const to : {&many_to, &one_to}) {
          for (std::size_t i = 0; i < to->memory.size(); ++i) {
            wrong =
                wrong || to->memory[i] != static_cast<float>(i % 1021) + static_cast<float>(round);
          }
        }
        std::int64_t const start = rlhf::steady_nanoseconds();
        std::memcpy(one_to.memory.data(), many_to.memory.data(),
                    one_to.memory.size() * sizeof(float));
        copy.push_back(static_cast<double>(rlhf::steady_nanoseconds() - start) * 1e-9);
      }
      world.barrier();
    }
    link_many.verify();
  });
  double const bytes = static_cast<double>(tensors * elements * 4);
  std::printf(
      "{\"benchmark\":\"sync/small_tensors\",\"tensors\":%lld,\"bytes\":%.0f,"
      "\"small_seconds\":%.4f,\"one_seconds\":%.4f,\"ratio\":%.3f,\"memcpy_seconds\":%.4f,"
      "\"one_over_memcpy\":%.3f,\"link_seconds\":%.3f,\"rounds\":%d,\"verified\":%s}\n",
      static_cast<long long>(tensors), bytes, median(small), median(large),
      median(small) / median(large), median(copy), median(large) / median(copy), plan_seconds,
      rounds, wrong ? "false" : "true");
  return wrong ? 1 : 0;
}
