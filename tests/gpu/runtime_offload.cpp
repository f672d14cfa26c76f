// Modules in device memory: parts leave for pinned memory and come back to the bit.
#include <rlhf/cuda/buffer.hpp>
#include <rlhf/cuda/offload.hpp>
#include <rlhf/cuda/stream.hpp>
#include <rlhf/runtime/offload.hpp>

#include <cstddef>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>

namespace cuda = rlhf::cuda;
namespace runtime = rlhf::runtime;
using runtime::Part;
using runtime::Parts;

static_assert(runtime::OffloadSpace<cuda::Offload>);
static_assert(runtime::TensorStorage<cuda::DeviceBuffer>);

namespace {

struct Model : runtime::Offloadable<cuda::Offload> {
  cuda::DeviceBuffer up{1 << 20};
  cuda::DeviceBuffer down{4'099};
  cuda::DeviceBuffer main{2 << 20};
  cuda::DeviceBuffer first{2 << 20};
  cuda::DeviceBuffer gradients{1 << 20};

  template <class Visit>
  void memory(Visit&& visit) {
    visit(Part::weights, "up", up);
    visit(Part::weights, "down", down);
    visit(Part::main_weights, "main", main);
    visit(Part::optimizer_states, "adam.m", first);
    visit(Part::gradient_buffers, "gradients", gradients);
  }
  void fill() {
    int value = 3;
    for (cuda::DeviceBuffer* buffer : {&up, &down, &main, &first, &gradients}) {
      cuda::check(cudaMemset(buffer->data(), value++, buffer->size()), "fill");
    }
  }
  [[nodiscard]] static bool holds(cuda::DeviceBuffer const& buffer, int value) {
    std::vector<std::byte> got(buffer.size());
    cuda::check(cudaMemcpy(got.data(), buffer.data(), got.size(), cudaMemcpyDeviceToHost), "read");
    std::vector<std::byte> const expected(got.size(), static_cast<std::byte>(value));
    return got == expected && !got.empty();
  }
};

}  // namespace

TEST_CASE("a module of device buffers is offloaded in parts and comes back") {
  Model model;
  cuda::Stream const stream;
  for (int round = 0; round < 3; ++round) {
    model.fill();
    runtime::OffloadReport const out =
        runtime::offload(model, Parts::all(), cuda::StreamView(stream));
    CHECK(out.moved == Parts::all());
    CHECK(model.up.empty());
    CHECK(model.gradients.empty());
    auto const away = runtime::memory_rows(model);
    CHECK(away[0].host_bytes >= away[0].away_bytes);
    CHECK(away[0].device_bytes == 0);
    runtime::onload(model, Part::weights, cuda::StreamView(stream));
    CHECK(model.main.empty());
    runtime::onload(model, Parts::all(), cuda::StreamView(stream));
    stream.synchronize();
    CHECK(Model::holds(model.up, 3));
    CHECK(Model::holds(model.down, 4));
    CHECK(Model::holds(model.main, 5));
    CHECK(Model::holds(model.first, 6));
    CHECK(Model::holds(model.gradients, 0));
  }
  model.offloader().release_host();
  CHECK(runtime::memory_rows(model)[0].host_bytes == 0);
}
