// What can be said about nccl::Communicator without a device.
#include <rlhf/comm/local.hpp>
#include <rlhf/comm/recording.hpp>
#include <rlhf/nccl/detail/operation.hpp>
#include <rlhf/nccl/world.hpp>

#include <array>
#include <cstddef>
#include <string>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

namespace {

using rlhf::DType;
using rlhf::nccl::Communicator;
using rlhf::nccl::detail::Kind;
using rlhf::nccl::detail::Operation;

static_assert(rlhf::comm::Communicator<Communicator>);
static_assert(rlhf::comm::Communicator<rlhf::comm::Recording<Communicator>>);
static_assert(!rlhf::comm::MovesRegions<Communicator>);
static_assert(rlhf::comm::RegistersMemory<Communicator, rlhf::cuda::DeviceBuffer>);
static_assert(!rlhf::comm::RegistersMemory<Communicator, std::vector<std::byte>>);
static_assert(!rlhf::comm::RegistersMemory<rlhf::comm::Local, std::vector<std::byte>>);
static_assert(std::is_nothrow_move_constructible_v<Communicator>);
static_assert(!std::is_copy_constructible_v<Communicator>);
static_assert(std::is_trivially_copyable_v<Communicator::Stream>);
static_assert(rlhf::nccl::to_nccl(DType::bf16) == ncclBfloat16);
static_assert(rlhf::nccl::to_nccl(rlhf::comm::Reduce::max) == ncclMax);

std::string error_of(auto body) {
  try {
    body();
  } catch (rlhf::Error const& error) {
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("operations are named with elements, partners and bytes") {
  CHECK(describe(Operation{.kind = Kind::all_reduce, .dtype = DType::bf16, .count = 10}) ==
        "all_reduce(10 x bf16, sum, 20 bytes)");
  CHECK(describe(Operation{.kind = Kind::broadcast, .dtype = DType::u8, .peer = 3, .count = 1}) ==
        "broadcast(1 x u8, root 3, 1 bytes)");
  std::array<Operation, 2> const group{
      Operation{.kind = Kind::send, .dtype = DType::f32, .peer = 1, .count = 2},
      Operation{.kind = Kind::recv, .dtype = DType::f32, .peer = 1, .count = 3}};
  CHECK(rlhf::nccl::detail::describe(std::span<Operation const>(group)) ==
        "a group of 2, send(2 x f32, to rank 1, 8 bytes) first, 20 bytes in all");
}

TEST_CASE("bytes that a rank reads and writes") {
  auto const both = [](Kind kind, int rank) {
    Operation const op{.kind = kind, .dtype = DType::f32, .peer = 1, .count = 5};
    return std::array<std::int64_t, 2>{op.bytes_in(rank, 3), op.bytes_out(rank, 3)};
  };
  using Bytes = std::array<std::int64_t, 2>;
  CHECK(both(Kind::broadcast, 1) == Bytes{20, 0});
  CHECK(both(Kind::broadcast, 0) == Bytes{0, 20});
  CHECK(both(Kind::all_reduce, 0) == Bytes{20, 20});
  CHECK(both(Kind::all_gather, 0) == Bytes{20, 60});
  CHECK(both(Kind::reduce_scatter, 0) == Bytes{60, 20});
  CHECK(both(Kind::all_to_all, 0) == Bytes{60, 60});
  CHECK(both(Kind::send, 0) == Bytes{20, 0});
  CHECK(both(Kind::recv, 0) == Bytes{0, 20});
}

TEST_CASE("a world of another size than the launcher's is refused before any device is touched") {
  rlhf::comm::Launch launch;
  launch.launcher = rlhf::comm::Launcher::torchrun;
  launch.size = 2;
  rlhf::nccl::RunOptions options;
  options.ranks = 3;
  std::string const error =
      error_of([&] { rlhf::nccl::run([](Communicator) {}, options, launch); });
  CHECK(error.find("needs 3 ranks, torchrun started 2") != std::string::npos);
}

TEST_CASE("errors of NCCL carry its text and code") {
  try {
    rlhf::nccl::check(ncclInvalidUsage, "something");
    FAIL("no error");
  } catch (rlhf::Error const& error) {
    CHECK(error.code() == rlhf::Errc::nccl);
    CHECK(error.native_code() == static_cast<int>(ncclInvalidUsage));
    CHECK(std::string(error.what()).find(ncclGetErrorString(ncclInvalidUsage)) !=
          std::string::npos);
  }
  rlhf::nccl::check(ncclInProgress, "nothing wrong");
}
