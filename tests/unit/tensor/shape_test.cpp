#include <rlhf/tensor/dtype.hpp>
#include <rlhf/tensor/shape.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using rlhf::DType;
using rlhf::Error;
using rlhf::Extents;
using rlhf::Shape;
using rlhf::TensorView;

TEST_CASE("shapes compare by value and hold at most six dimensions") {
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK(Shape{2, 3} != Shape{2, 3, 1});
  CHECK(Shape{2, 3} != Shape{3, 2});
  CHECK(Shape{} != Shape{0});
  Extents grown{2};
  grown.push_back(3);
  CHECK(grown == Extents{2, 3});
  CHECK(Extents::filled(3, 7) == Extents{7, 7, 7});
  CHECK_NOTHROW(static_cast<void>(Shape{1, 2, 3, 4, 5, 6}));
  CHECK_THROWS_AS((Shape{1, 2, 3, 4, 5, 6, 7}), Error);
  Extents full = Extents::filled(6, 1);
  CHECK_THROWS_AS(full.push_back(1), Error);
  CHECK_THROWS_AS(static_cast<void>(Extents::filled(7, 1)), Error);
  CHECK_THROWS_AS(static_cast<void>(Extents::filled(-1, 1)), Error);
}

TEST_CASE("the number of elements is the product, 1 for a scalar, an error where it overflows") {
  CHECK(rlhf::element_count({}) == 1);
  CHECK(rlhf::element_count({4, 0, 5}) == 0);
  CHECK(rlhf::element_count({4, 3, 5}) == 60);
  CHECK(rlhf::element_count({std::int64_t{1} << 31, std::int64_t{1} << 31}) == std::int64_t{1}
                                                                                   << 62);
  CHECK_THROWS_AS(
      static_cast<void>(rlhf::element_count({std::int64_t{1} << 32, std::int64_t{1} << 31})),
      Error);
}

TEST_CASE("row-major strides") {
  CHECK(rlhf::row_major_strides({4, 3, 5}) == Extents{15, 5, 1});
  CHECK(rlhf::row_major_strides({7}) == Extents{1});
  CHECK(rlhf::row_major_strides({}) == Extents{});
}

TEST_CASE("shapes print like tuples") {
  CHECK(rlhf::to_string(Shape{4096, 1024}) == "(4096, 1024)");
  CHECK(rlhf::to_string(Shape{}) == "()");
  CHECK(rlhf::to_string(Shape{3}) == "(3)");
}

TEST_CASE("element types: sizes, names, and the numbers that are stored in files") {
  struct Row {
    DType dtype;
    int value;
    std::int64_t bytes;
    char const* name;
  };
  std::set<std::string> names;
  for (Row const& row :
       {Row{DType::f32, 0, 4, "f32"}, Row{DType::bf16, 1, 2, "bf16"}, Row{DType::f16, 2, 2, "f16"},
        Row{DType::f64, 3, 8, "f64"}, Row{DType::i64, 4, 8, "i64"}, Row{DType::i32, 5, 4, "i32"},
        Row{DType::u8, 6, 1, "u8"}}) {
    CHECK(static_cast<int>(row.dtype) == row.value);
    CHECK(rlhf::size_of(row.dtype) == row.bytes);
    CHECK(rlhf::to_string(row.dtype) == row.name);
    names.emplace(row.name);
  }
  CHECK(names.size() == 7);
}

TEST_CASE("C++ types map to element types of their size") {
  CHECK(rlhf::dtype_of<float> == DType::f32);
  CHECK(rlhf::dtype_of<double> == DType::f64);
  CHECK(rlhf::dtype_of<rlhf::BFloat16> == DType::bf16);
  CHECK(rlhf::dtype_of<rlhf::Float16> == DType::f16);
  CHECK(rlhf::dtype_of<std::int64_t> == DType::i64);
  CHECK(rlhf::dtype_of<long long> == DType::i64);
  CHECK(rlhf::dtype_of<std::int32_t> == DType::i32);
  CHECK(rlhf::dtype_of<std::uint8_t> == DType::u8);
  CHECK(rlhf::dtype_of<std::byte> == DType::u8);
  CHECK(rlhf::dtype_of<float const> == DType::f32);
  CHECK_FALSE(rlhf::Element<std::string>);
  CHECK_FALSE(rlhf::Element<float*>);
}

TEST_CASE("a view knows memory, type, shape, strides and size") {
  std::vector<float> memory(12);
  TensorView const view = rlhf::view(memory, {3, 4});
  CHECK(view.data == memory.data());
  CHECK(view.dtype == DType::f32);
  CHECK(view.shape == Shape{3, 4});
  CHECK(view.strides == Extents{4, 1});
  CHECK(view.elements() == 12);
  CHECK(view.bytes() == 48);
  CHECK(view.device == rlhf::Device{});
  CHECK(rlhf::view(memory.data(), {2, 2}, {rlhf::Device::Kind::cuda, 3}).device.index == 3);
}

TEST_CASE("a view refuses a shape that is not the memory's") {
  std::vector<float> memory(12);
  try {
    static_cast<void>(rlhf::view(memory, {3, 5}));
    FAIL("nothing was thrown");
  } catch (Error const& error) {
    std::string const what = error.what();
    CHECK(error.code() == rlhf::Errc::invalid_argument);
    CHECK(what.find("(3, 5)") != std::string::npos);
    CHECK(what.find("15") != std::string::npos);
    CHECK(what.find("12") != std::string::npos);
  }
  CHECK_THROWS_AS(static_cast<void>(rlhf::view(memory.data(), {-1, 2})), Error);
}

TEST_CASE("contiguity ignores dimensions of extent 1") {
  std::vector<float> memory(24);
  TensorView view = rlhf::view(memory, {2, 3, 4});
  CHECK(view.contiguous());
  view.shape = {2, 3, 2};
  CHECK_FALSE(view.contiguous());
  view.shape = {1, 1, 2};
  CHECK(view.contiguous());
  TensorView transposed = rlhf::view(memory, {4, 6});
  transposed.strides = {1, 4};
  CHECK_FALSE(transposed.contiguous());
  CHECK(rlhf::view(memory.data(), {}).contiguous());
}
