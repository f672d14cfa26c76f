// Calls of an nccl::Communicator captured in a CUDA graph.
#include <rlhf/cuda/buffer.hpp>
#include <rlhf/cuda/stream.hpp>
#include <rlhf/nccl/world.hpp>

#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "gpu/worlds.hpp"

namespace {

using rlhf::DType;
using rlhf::comm::Reduce;
using rlhf::nccl::Communicator;

}  // namespace

TEST_CASE("a group of sends, a collective and a barrier are captured and replayed") {
  for (int const size : gpu::world_sizes()) {
    CAPTURE(size);
    gpu::WorldEnd const end = gpu::run_world(size, [&](Communicator& comm) {
      constexpr std::int64_t n = 4096;
      int const rank = comm.rank();
      int const next = (rank + 1) % size;
      int const before = (rank + size - 1) % size;
      rlhf::cuda::Stream const stream;
      rlhf::cuda::DeviceBuffer const from(n * sizeof(std::int32_t));
      rlhf::cuda::DeviceBuffer const to(n * sizeof(std::int32_t));
      auto const calls = [&] {
        comm.group_start();
        comm.send(from.data(), n / 2, DType::i32, next, stream);
        comm.recv(to.data(), n / 2, DType::i32, before, stream);
        comm.send(from.data() + 2 * n, n / 2, DType::i32, next, stream);
        comm.recv(to.data() + 2 * n, n / 2, DType::i32, before, stream);
        comm.group_end(stream);
        comm.barrier(stream);
        comm.all_reduce(to.data(), to.data(), n, DType::i32, Reduce::sum, stream);
      };
      rlhf::cuda::check(cudaMemsetAsync(from.data(), 0, from.size(), stream.get()), "memset");
      calls();  // connections
      comm.wait(stream);

      cudaGraph_t graph = nullptr;
      cudaGraphExec_t executable = nullptr;
      rlhf::cuda::check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal),
                        "begin");
      calls();
      CHECK(gpu::outcome_of([&] { comm.wait(stream); }).code == rlhf::Errc::invalid_argument);
      rlhf::cuda::check(cudaStreamEndCapture(stream.get(), &graph), "end");
      rlhf::cuda::check(cudaGraphInstantiate(&executable, graph, 0), "instantiate");
      for (int round = 1; round <= 3; ++round) {
        std::vector<std::int32_t> values(n);
        for (std::int64_t i = 0; i < n; ++i) {
          values[static_cast<std::size_t>(i)] =
              static_cast<std::int32_t>(round * 1000 * (rank + 1) + i);
        }
        rlhf::cuda::check(cudaMemcpyAsync(from.data(), values.data(), from.size(),
                                          cudaMemcpyHostToDevice, stream.get()),
                          "up");
        rlhf::cuda::check(cudaGraphLaunch(executable, stream.get()), "launch");
        comm.wait(stream);
        rlhf::cuda::check(cudaMemcpy(values.data(), to.data(), to.size(), cudaMemcpyDeviceToHost),
                          "down");
        std::int64_t wrong = 0;
        for (std::int64_t i = 0; i < n; ++i) {
          wrong += values[static_cast<std::size_t>(i)] ==
                           round * 1000 * (size * (size + 1) / 2) + size * i
                       ? 0
                       : 1;
        }
        CHECK(wrong == 0);
      }
      rlhf::cuda::check(cudaGraphExecDestroy(executable), "destroy");
      rlhf::cuda::check(cudaGraphDestroy(graph), "destroy");
      comm.barrier();  // host calls go on working
    });
    CHECK_MESSAGE(!end.world.failed, end.world.text);
  }
}
