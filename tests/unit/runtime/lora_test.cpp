#include <rlhf/runtime/lora.hpp>
#include <rlhf/runtime/offload.hpp>
#include <rlhf/tensor/cast.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "property/cases.hpp"

namespace runtime = rlhf::runtime;
using rlhf::Adapter;
using rlhf::DType;
using rlhf::Errc;
using rlhf::Error;
using rlhf::TensorView;
using runtime::LayerKind;
using runtime::LoraOptions;
using runtime::Part;

namespace {

/// Kernels that fail when they are told to.
struct FailingLora : runtime::HostLora {
  static inline int failing_in = 0;
  static void add(TensorView const& weight, Adapter const& adapter, float scale) {
    runtime::HostLora::add(weight, adapter, scale);
    if (failing_in != 0 && --failing_in == 0) {
      throw std::runtime_error("launch failed");
    }
  }
};

/// Two adapted weights, the second of grouped experts with gaps between its rows.
template <class Kernels = runtime::HostLora>
struct Model : runtime::Adapted<Kernels>, runtime::Offloadable<> {
  static constexpr int out = 6;
  static constexpr int in = 5;
  static constexpr int dim = 2;
  static constexpr int experts = 3;
  DType dtype;
  std::vector<std::byte> weight;
  std::vector<std::byte> a;
  std::vector<std::byte> b;
  std::vector<std::byte> grouped;
  std::vector<std::byte> grouped_a;
  std::vector<std::byte> grouped_b;
  cases::Dice dice{7};

  explicit Model(DType type) : dtype(type) {
    LoraOptions options;
    options.lora_dim = dim;
    options.lora_scaling = 0.7;
    this->lora().configure(options);
    weight.resize(bytes(out * in));
    grouped.resize(bytes(experts * out * (in + 1)));
    randomize(weight);
    randomize(grouped);
    a.resize(bytes(dim * in));
    b.resize(bytes(out * dim));
    grouped_a.resize(bytes(experts * dim * in));
    grouped_b.resize(bytes(experts * out * dim));
    randomize_factors();
  }
  [[nodiscard]] std::size_t bytes(int elements) const {
    return static_cast<std::size_t>(elements * rlhf::size_of(dtype));
  }
  void randomize(std::vector<std::byte>& memory) {
    auto const size = static_cast<std::size_t>(rlhf::size_of(dtype));
    for (std::size_t i = 0; i < memory.size(); i += size) {
      rlhf::detail::put_float(dtype, memory.data() + i,
                              static_cast<float>(dice.between(-1000, 1000)) * 0.00137F);
    }
  }
  void randomize_factors() {
    for (std::vector<std::byte>* memory : {&a, &b, &grouped_a, &grouped_b}) {
      randomize(*memory);
    }
  }
  [[nodiscard]] TensorView view(std::vector<std::byte>& memory, rlhf::Shape const& shape) const {
    return {memory.data(), dtype, {}, shape, rlhf::row_major_strides(shape)};
  }
  template <class Visit>
  void adapters(Visit&& visit) {
    visit("up.weight", view(weight, {out, in}),
          Adapter{.a = view(a, {dim, in}), .b = view(b, {out, dim})});
    TensorView gaps = view(grouped, {experts, out, in + 1});
    gaps.shape = {experts, out, in};
    visit("experts.weight", gaps,
          Adapter{.a = view(grouped_a, {experts, dim, in}),
                  .b = view(grouped_b, {experts, out, dim})});
  }
  template <class Visit>
  void memory(Visit&& visit) {
    visit(Part::weights, "up.weight", weight);
    visit(Part::weights, "up.a", a);
    visit(Part::weights, "up.b", b);
    visit(Part::weights, "experts.weight", grouped);
    visit(Part::weights, "experts.a", grouped_a);
    visit(Part::weights, "experts.b", grouped_b);
  }
  [[nodiscard]] float at(std::vector<std::byte> const& memory, int element) const {
    return rlhf::detail::as_float(dtype, memory.data() + bytes(element));
  }
  /// y = W x, and the adapter where it is not in W.
  [[nodiscard]] std::vector<float> forward(std::vector<float> const& x) const {
    std::vector<float> y(out, 0.0F);
    for (int r = 0; r < out; ++r) {
      auto& sum = y[static_cast<std::size_t>(r)];
      for (int c = 0; c < in; ++c) {
        sum += at(weight, r * in + c) * x[static_cast<std::size_t>(c)];
      }
      for (int k = 0; k < dim && !this->lora().fused(); ++k) {
        float low = 0;
        for (int c = 0; c < in; ++c) {
          low += at(a, k * in + c) * x[static_cast<std::size_t>(c)];
        }
        sum += this->lora().scale() * at(b, r * dim + k) * low;
      }
    }
    return y;
  }
};

template <class Call>
std::string failure(Call&& call) {
  try {
    call();
  } catch (Error const& error) {
    return error.what();
  }
  return "nothing was thrown";
}

bool says(std::string const& text, std::string const& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("500 cycles of fusing and unfusing change no bit, in any type") {
  for (DType const dtype : {DType::f32, DType::bf16, DType::f16}) {
    Model<> model(dtype);
    std::memset(model.weight.data(), 0xff, 4);  // NaNs come back, too
    auto const weight = model.weight;
    auto const grouped = model.grouped;
    int unchanged = 0;
    for (int cycle = 0; cycle < 500; ++cycle) {
      CHECK(runtime::fuse_lora(model));
      CHECK(model.lora().fused());
      unchanged += model.weight == weight || model.grouped == grouped ? 1 : 0;
      model.randomize_factors();  // what is taken out does not depend on them
      CHECK(runtime::unfuse_lora(model));
      CHECK(!model.lora().fused());
      CHECK(model.weight == weight);
      CHECK(model.grouped == grouped);
    }
    CHECK(unchanged == 0);
  }
}

TEST_CASE("a fused weight is W + scale * B A, rounded once") {
  for (DType const dtype : {DType::f32, DType::bf16, DType::f16}) {
    Model<> model(dtype);
    auto const weight = model.weight;
    auto const grouped = model.grouped;
    runtime::fuse_lora(model);
    CHECK(!runtime::fuse_lora(model));  // once
    CHECK(model.lora().kept_bytes() == static_cast<std::int64_t>(model.bytes((1 + 3) * 30)));
    int wrong = 0;
    auto const check = [&](std::vector<std::byte> const& before, std::vector<std::byte> const& now,
                           std::vector<std::byte> const& a, std::vector<std::byte> const& b,
                           int matrix, int row_elements) {
      for (int r = 0; r < 6; ++r) {
        for (int c = 0; c < 5; ++c) {
          float sum = 0;
          for (int k = 0; k < 2; ++k) {
            sum += model.at(b, (matrix * 6 + r) * 2 + k) * model.at(a, (matrix * 2 + k) * 5 + c);
          }
          int const element = (matrix * 6 + r) * row_elements + c;
          float const exact = model.at(before, element) + model.lora().scale() * sum;
          std::byte rounded[4] = {};
          rlhf::detail::put_float(dtype, rounded, exact);
          wrong += rlhf::detail::as_float(dtype, rounded) == model.at(now, element) ? 0 : 1;
        }
        if (row_elements == 6) {  // gaps stay
          int const gap = (matrix * 6 + r) * 6 + 5;
          wrong += model.at(before, gap) == model.at(now, gap) ? 0 : 1;
        }
      }
    };
    check(weight, model.weight, model.a, model.b, 0, 5);
    for (int expert = 0; expert < 3; ++expert) {
      check(grouped, model.grouped, model.grouped_a, model.grouped_b, expert, 6);
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("a forward pass counts the adapter once, fused or not") {
  Model<> model(DType::f32);
  std::vector<float> const x{1.0F, -2.0F, 0.5F, 3.0F, 0.25F};
  std::vector<float> const apart = model.forward(x);
  runtime::fuse_lora(model);
  std::vector<float> const fused = model.forward(x);
  for (std::size_t i = 0; i < apart.size(); ++i) {
    CHECK(fused[i] == doctest::Approx(apart[i]).epsilon(1e-5));
  }
  runtime::unfuse_lora(model);
  CHECK(model.forward(x) == apart);
}

TEST_CASE(
    "with fused adapters: taken out again, also after an error, and not if they were in before") {
  Model<> model(DType::bf16);
  auto const weight = model.weight;
  runtime::with_fused_lora(model, [&] { CHECK(model.weight != weight); });
  CHECK(model.weight == weight);
  CHECK_THROWS_AS(runtime::with_fused_lora(model, [] { throw std::runtime_error("sync failed"); }),
                  std::runtime_error);
  CHECK(model.weight == weight);
  runtime::fuse_lora(model);
  runtime::with_fused_lora(model, [] {});
  CHECK(model.lora().fused());
}

TEST_CASE("a failure while fusing leaves every weight as it was") {
  Model<FailingLora> model(DType::f16);
  auto const weight = model.weight;
  auto const grouped = model.grouped;
  for (int const call : {1, 2}) {
    FailingLora::failing_in = call;
    CHECK_THROWS_AS(runtime::fuse_lora(model), std::runtime_error);
    FailingLora::failing_in = 0;
    CHECK(!model.lora().fused());
    CHECK(model.weight == weight);
    CHECK(model.grouped == grouped);
  }
}

TEST_CASE("fused weights may be offloaded, come back elsewhere and be unfused there") {
  Model<> model(DType::bf16);
  auto const weight = model.weight;
  runtime::fuse_lora(model);
  auto const fused = model.weight;
  runtime::offload(model);
  CHECK(says(failure([&] { runtime::unfuse_lora(model); }), "up.weight: a tensor of shape (6, 5)"));
  CHECK(says(failure([&] { runtime::unfuse_lora(model); }), "is it offloaded?"));
  runtime::onload(model);
  CHECK(model.weight == fused);
  runtime::unfuse_lora(model);
  CHECK(model.weight == weight);
}

TEST_CASE("a weight that was changed while fused is not silently put back") {
  Model<> model(DType::f32);
  runtime::fuse_lora(model);
  auto const before = model.weight;
  model.weight[9] = ~model.weight[9];
  CHECK(says(failure([&] { runtime::unfuse_lora(model); }),
             "weight up.weight was changed while its adapter was in it"));
  CHECK(model.lora().fused());
  model.weight = before;
  model.lora().discard();
  CHECK(!runtime::unfuse_lora(model));
  CHECK(model.weight == before);
}

TEST_CASE("factors that do not fit are refused with their shapes, before anything changes") {
  struct Plain {
  } plain;
  CHECK(!runtime::fuse_lora(plain));
  std::vector<float> memory(64);
  TensorView const weight = rlhf::view(memory, {8, 8});
  TensorView const a = rlhf::view(memory.data(), {2, 8});
  TensorView const b = rlhf::view(memory.data(), {8, 3});
  CHECK(says(failure([&] { rlhf::expect_adapter("w", weight, {.a = a, .b = b}); }),
             "adapter of w: a weight of shape (8, 8) takes A (..., dim, in) and B (..., out, dim), "
             "not (2, 8) and (8, 3)"));
  TensorView columns = rlhf::view(memory.data(), {8, 2});
  columns.strides = {1, 8};
  CHECK(says(failure([&] { rlhf::expect_adapter("w", weight, {.a = a, .b = columns}); }),
             "the elements of a row lie 8 apart"));
  TensorView integers = weight;
  integers.dtype = DType::i32;
  TensorView const b2 = rlhf::view(memory.data(), {8, 2});
  CHECK(says(failure([&] { rlhf::expect_adapter("w", integers, {.a = a, .b = b2}); }),
             "elements are i32"));
}

TEST_CASE("options: ranges, kinds of layers, names") {
  LoraOptions options;
  CHECK(options.scale() == 0.125F);
  CHECK(!options.adapts("layers.0.qkv.weight", LayerKind::column_parallel_linear));
  options.enable_lora = true;
  CHECK(options.adapts("layers.0.qkv.weight", LayerKind::column_parallel_linear));
  CHECK(options.adapts("embed", LayerKind::vocab_parallel_embedding));
  options.column_only_qkv = true;
  CHECK(options.adapts("layers.0.linear_qkv.weight", LayerKind::column_parallel_linear));
  CHECK(!options.adapts("layers.0.mlp.up_proj.weight", LayerKind::column_parallel_linear));
  CHECK(options.adapts("layers.0.mlp.down_proj.weight", LayerKind::row_parallel_linear));
  options.lora_layer = "RowParallelLinear, Embedding";
  CHECK(!options.adapts("layers.0.linear_qkv.weight", LayerKind::column_parallel_linear));
  CHECK(options.adapts("layers.0.o_proj", LayerKind::row_parallel_linear));
  options.part_module_name = "mlp";
  CHECK(!options.adapts("layers.0.o_proj", LayerKind::row_parallel_linear));
  CHECK(options.adapts("layers.0.mlp.down_proj", LayerKind::row_parallel_linear));
  options.check();
  options.lora_layer = "RowParallelLinear,Conv2d";
  CHECK(
      says(failure([&] { options.check(); }), "lora_layer names Conv2d; known are LinearLayer, "));
  options.lora_layer = "Embedding";
  options.lora_dim = 0;
  CHECK(says(failure([&] { options.check(); }), "lora_dim is 0; it must be at least 1"));
  options.lora_dim = 1;
  options.lora_dropout = 1.0;
  CHECK(says(failure([&] { options.check(); }), "lora_dropout is 1; "));
}
