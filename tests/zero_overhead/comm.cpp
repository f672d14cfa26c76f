// Collectives over spans: the one call of the communicator.
#include <rlhf/comm/operations.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

// A communicator whose functions are in another file, so that only the calls can be compared.
struct Wire {
  using Stream = void*;
  int rank() const noexcept;
  int size() const noexcept;
  int world_rank(int rank) const;
  void broadcast(void*, std::int64_t, rlhf::DType, int, Stream);
  void all_reduce(void const*, void*, std::int64_t, rlhf::DType, rlhf::comm::Reduce, Stream);
  void all_gather(void const*, void*, std::int64_t, rlhf::DType, Stream);
  void reduce_scatter(void const*, void*, std::int64_t, rlhf::DType, rlhf::comm::Reduce, Stream);
  void all_to_all(void const*, void*, std::int64_t, rlhf::DType, Stream);
  void send(void const*, std::int64_t, rlhf::DType, int, Stream);
  void recv(void*, std::int64_t, rlhf::DType, int, Stream);
  void group_start();
  void group_end(Stream);
  void group_cancel() noexcept;
  void barrier(Stream);
  Wire split(int color, int key);
  void abort(std::string_view) noexcept;
};
static_assert(rlhf::comm::Communicator<Wire>);

using rlhf::DType;
using rlhf::comm::Reduce;

extern "C" {

void library_all_reduce(Wire& wire, float* data, std::size_t count) {
  rlhf::comm::all_reduce(wire, std::span<float>(data, count));
}
void by_hand_all_reduce(Wire& wire, float* data, std::size_t count) {
  wire.all_reduce(data, data, static_cast<std::int64_t>(count), DType::f32, Reduce::sum, nullptr);
}
void library_all_reduce_max(Wire& wire, double* data, std::size_t count, void* stream) {
  rlhf::comm::all_reduce(wire, std::span<double>(data, count), Reduce::max, stream);
}
void by_hand_all_reduce_max(Wire& wire, double* data, std::size_t count, void* stream) {
  wire.all_reduce(data, data, static_cast<std::int64_t>(count), DType::f64, Reduce::max, stream);
}
void library_broadcast(Wire& wire, std::int32_t* data, std::size_t count, int root) {
  rlhf::comm::broadcast(wire, std::span<std::int32_t>(data, count), root);
}
void by_hand_broadcast(Wire& wire, std::int32_t* data, std::size_t count, int root) {
  wire.broadcast(data, static_cast<std::int64_t>(count), DType::i32, root, nullptr);
}
void library_exchange(Wire& wire, float* data, std::size_t count, int peer) {
  rlhf::comm::grouped(wire, [&] {
    rlhf::comm::send(wire, std::span<float const>(data, count), peer);
    rlhf::comm::recv(wire, std::span<float>(data + count, count), peer);
  });
}
void by_hand_exchange(Wire& wire, float* data, std::size_t count, int peer) {
  wire.group_start();
  try {
    wire.send(data, static_cast<std::int64_t>(count), DType::f32, peer, nullptr);
    wire.recv(data + count, static_cast<std::int64_t>(count), DType::f32, peer, nullptr);
  } catch (...) {
    wire.group_cancel();
    throw;
  }
  wire.group_end(nullptr);
}
}
