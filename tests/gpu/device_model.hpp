// The models of tests/property in device memory, and a communicator of threads that any number of
// ranks on one device can use.
#pragma once

#include <rlhf/comm/local.hpp>
#include <rlhf/core/clock.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/cuda/buffer.hpp>
#include <rlhf/cuda/stream.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <cuda_runtime_api.h>

#include "property/cases.hpp"
#include "property/sync_model.hpp"

namespace gpu {

/// Random cases of a test: fewer where RLHF_TEST_CASES says so, as under compute-sanitizer.
inline std::uint64_t cases_of(std::uint64_t usual) {
  char const* const fewer = std::getenv("RLHF_TEST_CASES");
  return fewer == nullptr ? usual : std::strtoull(fewer, nullptr, 10);
}

/// `cases::Model` with its elements on the device: `upload` and `download` move them.
template <class Sync>
class DeviceModel {
 public:
  using SyncPolicy = Sync;

  DeviceModel(cases::Case const& pair, cases::Side side, int world_rank, bool gaps = false)
      : host_(pair, side, world_rank, gaps) {
    for (auto& held : host_.held()) {
      memory_.emplace_back(held.memory.size() + 64);
      zero(memory_.back());
      views_.push_back(held.view);
      views_.back().data = memory_.back().data();
    }
  }
  [[nodiscard]] rlhf::Mesh const& mesh() const noexcept { return host_.mesh(); }
  [[nodiscard]] rlhf::Layout layout() const noexcept { return host_.layout(); }
  template <class Visit>
  void parameters(Visit&& visit) {
    for (std::size_t i = 0; i < views_.size(); ++i) {
      visit(host_.held()[i].name, views_[i], host_.held()[i].rule);
    }
  }

  void fill(int version, rlhf::cuda::StreamView stream) {
    host_.fill(version);
    upload(stream);
  }
  void clear(rlhf::cuda::StreamView stream) {
    host_.clear();
    upload(stream);
  }
  int wrong(int version, rlhf::cuda::StreamView stream) {
    for (std::size_t i = 0; i < memory_.size(); ++i) {
      auto& bytes = host_.held()[i].memory;
      rlhf::cuda::check(cudaMemcpyAsync(bytes.data(), memory_[i].data(), bytes.size(),
                                        cudaMemcpyDeviceToHost, stream.get()),
                        "download");
    }
    stream.synchronize();
    return host_.wrong(version);
  }
  /// Other memory, with the same elements.
  void move_memory() {
    for (std::size_t i = 0; i < memory_.size(); ++i) {
      rlhf::cuda::DeviceBuffer elsewhere(memory_[i].size());
      zero(elsewhere);
      rlhf::cuda::check(cudaMemcpy(elsewhere.data(), memory_[i].data(), memory_[i].size(),
                                   cudaMemcpyDeviceToDevice),
                        "move");
      memory_[i] = std::move(elsewhere);
      views_[i].data = memory_[i].data();
    }
  }
  /// Lets rows of a parameter overlap by one element.
  void lay_across_itself(std::size_t parameter) {
    rlhf::TensorView& view = views_[parameter];
    view.strides[0] = view.shape[1] - 1;
  }
  [[nodiscard]] std::vector<rlhf::cuda::DeviceBuffer>& memory() noexcept { return memory_; }
  [[nodiscard]] std::vector<rlhf::TensorView> const& views() const noexcept { return views_; }

 private:
  /// Nothing that is read was never written, gaps included.
  static void zero(rlhf::cuda::DeviceBuffer& memory) {
    rlhf::cuda::check(cudaMemset(memory.data(), 0, memory.size()), "zero");
  }
  void upload(rlhf::cuda::StreamView stream) {
    for (std::size_t i = 0; i < memory_.size(); ++i) {
      auto const& bytes = host_.held()[i].memory;
      rlhf::cuda::check(cudaMemcpyAsync(memory_[i].data(), bytes.data(), bytes.size(),
                                        cudaMemcpyHostToDevice, stream.get()),
                        "upload");
    }
    stream.synchronize();
  }

  cases::Model<Sync> host_;
  std::vector<rlhf::cuda::DeviceBuffer> memory_;
  std::vector<rlhf::TensorView> views_;
};

/// Ranks as threads, their streams real ones: transfers of device memory are copied through the
/// host when their stream has come to them. Many ranks can share one device.
class Threads {
 public:
  using Stream = rlhf::cuda::StreamView;

  Threads() = default;
  explicit Threads(rlhf::comm::Local inner)
      : inner_(std::make_unique<rlhf::comm::Local>(std::move(inner))) {}

  [[nodiscard]] int rank() const noexcept { return inner_->rank(); }
  [[nodiscard]] int size() const noexcept { return inner_->size(); }
  [[nodiscard]] int world_rank(int rank) const { return inner_->world_rank(rank); }
  void wait(Stream stream) {
    std::int64_t const begin = rlhf::steady_nanoseconds();
    while (!stream.done()) {
      if (rlhf::steady_nanoseconds() - begin > 30'000'000'000) {
        rlhf::fail(rlhf::Errc::timeout, "a stream is not done after 30 s");
      }
    }
  }
  void broadcast(void* data, std::int64_t count, rlhf::DType dtype, int root, Stream stream = {}) {
    auto bytes = fetched(data, count * rlhf::size_of(dtype), stream);
    inner_->broadcast(bytes.data(), count, dtype, root);
    put(bytes, data, stream);
  }
  void send(void const* data, std::int64_t count, rlhf::DType dtype, int peer, Stream = {}) {
    sends_.push_back({data, nullptr, count * rlhf::size_of(dtype), peer, {}});
  }
  void recv(void* data, std::int64_t count, rlhf::DType dtype, int peer, Stream = {}) {
    recvs_.push_back({nullptr, data, count * rlhf::size_of(dtype), peer, {}});
  }
  void group_start() {
    sends_.clear();
    recvs_.clear();
  }
  void group_end(Stream stream = {}) {
    for (Call& call : sends_) {
      call.bytes = fetched(call.in, call.size, stream);
    }
    inner_->group_start();
    for (Call& call : sends_) {
      inner_->send(call.bytes.data(), call.size, rlhf::DType::u8, call.peer);
    }
    for (Call& call : recvs_) {
      call.bytes.resize(static_cast<std::size_t>(call.size));
      inner_->recv(call.bytes.data(), call.size, rlhf::DType::u8, call.peer);
    }
    inner_->group_end();
    for (Call& call : recvs_) {
      put(call.bytes, call.out, stream);
    }
  }
  void group_cancel() noexcept {}
  void all_reduce(void const* in, void* out, std::int64_t count, rlhf::DType dtype,
                  rlhf::comm::Reduce op, Stream = {}) {
    inner_->all_reduce(in, out, count, dtype, op);
  }
  void all_gather(void const* in, void* out, std::int64_t count, rlhf::DType dtype, Stream = {}) {
    inner_->all_gather(in, out, count, dtype);
  }
  void reduce_scatter(void const* in, void* out, std::int64_t count, rlhf::DType dtype,
                      rlhf::comm::Reduce op, Stream = {}) {
    inner_->reduce_scatter(in, out, count, dtype, op);
  }
  void all_to_all(void const* in, void* out, std::int64_t count, rlhf::DType dtype, Stream = {}) {
    inner_->all_to_all(in, out, count, dtype);
  }
  void barrier(Stream = {}) { inner_->barrier(); }
  [[nodiscard]] Threads split(int color, int key) { return Threads(inner_->split(color, key)); }
  void abort(std::string_view reason) noexcept { inner_->abort(reason); }

 private:
  struct Call {
    void const* in;
    void* out;
    std::int64_t size;
    int peer;
    std::vector<std::byte> bytes;
  };
  static std::vector<std::byte> fetched(void const* data, std::int64_t size, Stream stream) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(size));
    rlhf::cuda::check(
        cudaMemcpyAsync(bytes.data(), data, bytes.size(), cudaMemcpyDefault, stream.get()),
        "fetch");
    stream.synchronize();
    return bytes;
  }
  static void put(std::vector<std::byte> const& bytes, void* data, Stream stream) {
    rlhf::cuda::check(
        cudaMemcpyAsync(data, bytes.data(), bytes.size(), cudaMemcpyDefault, stream.get()), "put");
    stream.synchronize();
  }

  std::unique_ptr<rlhf::comm::Local> inner_;
  std::vector<Call> sends_;
  std::vector<Call> recvs_;
};

}  // namespace gpu
