// Adapters in device memory: the bits of the host, in and out again.
#include <rlhf/cuda/buffer.hpp>
#include <rlhf/cuda/lora.cuh>
#include <rlhf/runtime/lora.hpp>
#include <rlhf/tensor/cast.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

namespace cuda = rlhf::cuda;
namespace runtime = rlhf::runtime;
using rlhf::DType;
using rlhf::Shape;
using rlhf::TensorView;

namespace {

using Memory = std::vector<std::byte>;

Memory elements(DType dtype, std::int64_t count, std::uint64_t seed) {
  Memory out(static_cast<std::size_t>(count * rlhf::size_of(dtype)));
  for (std::int64_t i = 0; i < count; ++i) {
    auto const word =
        static_cast<int>(rlhf::mix64(seed * 1'000'003 + static_cast<std::uint64_t>(i)) % 20'001);
    rlhf::detail::put_float(dtype, out.data() + i * rlhf::size_of(dtype),
                            static_cast<float>(word - 10'000) * 0.000123F);
  }
  return out;
}

TensorView view_of(void* data, DType dtype, Shape const& shape) {
  return {data, dtype, {rlhf::Device::Kind::cuda, 0}, shape, rlhf::row_major_strides(shape)};
}

}  // namespace

namespace lora_on_device {

struct Model : runtime::Adapted<cuda::LoraKernels> {
  DType dtype;
  Shape shape, of_a, of_b;
  Memory host, host_a, host_b;
  cuda::DeviceBuffer weight, a, b;

  Model(DType type, std::int64_t rows, std::int64_t columns, std::int64_t dim)
      : dtype(type),
        shape{2, rows, columns},
        of_a{2, dim, columns},
        of_b{2, rows, dim} {
    runtime::LoraOptions options;
    options.lora_dim = static_cast<int>(dim);
    options.lora_scaling = 0.7;
    lora().configure(options);
    put(host, weight, shape, 1);
    put(host_a, a, of_a, 2);
    put(host_b, b, of_b, 3);
  }
  void put(Memory& memory, cuda::DeviceBuffer& buffer, Shape const& of, std::uint64_t seed) {
    memory = elements(dtype, rlhf::element_count(of), seed);
    buffer = cuda::DeviceBuffer(memory.size());
    cuda::check(cudaMemcpy(buffer.data(), memory.data(), memory.size(), cudaMemcpyHostToDevice),
                "fill");
  }
  template <class Visit>
  void adapters(Visit&& visit) {
    visit("weight", view_of(weight.data(), dtype, shape),
          rlhf::Adapter{view_of(a.data(), dtype, of_a), view_of(b.data(), dtype, of_b)});
  }
  [[nodiscard]] Memory on_device() const {
    Memory out(weight.size());
    cuda::check(cudaMemcpy(out.data(), weight.data(), out.size(), cudaMemcpyDeviceToHost), "read");
    return out;
  }
};

}  // namespace lora_on_device

using lora_on_device::Model;

TEST_CASE("adapters on a device: the host's bits while fused, the base's after") {
  for (DType const dtype : {DType::f32, DType::bf16, DType::f16}) {
    Model model(dtype, 513, 1000, 20);
    Memory expected = model.host;
    rlhf::add_low_rank(view_of(expected.data(), dtype, model.shape),
                       {view_of(model.host_a.data(), dtype, model.of_a),
                        view_of(model.host_b.data(), dtype, model.of_b)},
                       model.lora().scale());
    for (int cycle = 0; cycle < 3; ++cycle) {
      CHECK(runtime::fuse_lora(model));
      CHECK(model.on_device() == expected);
      CHECK(runtime::unfuse_lora(model));
      CHECK(model.on_device() == model.host);
    }
  }
}

TEST_CASE("a weight on a device that was changed while fused is found") {
  Model model(DType::bf16, 40, 70, 4);
  runtime::fuse_lora(model);
  cuda::check(cudaMemset(model.weight.data() + 7, 0x11, 1), "memset");
  CHECK_THROWS_AS(runtime::unfuse_lora(model), rlhf::Error);
  CHECK(model.lora().fused());
}
