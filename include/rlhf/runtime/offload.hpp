/// @file
/// Parts of a module leave the device while another module needs it, and come back. Layer: runtime.
///
///     struct Actor : rlhf::Module<Train, Sync>, rlhf::runtime::Offloadable<> {
///       template <class Visit>
///       void memory(Visit&& visit) {
///         visit(Part::weights, "up", up);  // std::vector, cuda::DeviceBuffer, ...
///         visit(Part::optimizer_states, "adam.m", first_moment);
///         visit(Part::gradient_buffers, "gradients", gradients);
///       }
///     };
///     rlhf::runtime::offload(actor);                               // all parts
///     rlhf::runtime::onload(actor, rlhf::runtime::Part::weights);  // enough to generate
///
/// On GPUs: `Offloadable<rlhf::cuda::Offload>`, with `cuda::DeviceBuffer`s.
///
/// What was offloaded comes back to the bit, at other addresses: take pointers into storages
/// again, and `rebind` links of the module. Gradient buffers are given back and made anew, zeroed.
#pragma once

#include <rlhf/core/late_vector.hpp>
#include <rlhf/runtime/offload_parts.hpp>
#include <rlhf/runtime/offload_report.hpp>
#include <rlhf/runtime/offload_space.hpp>
#include <rlhf/runtime/offloader.hpp>

#include <cstdint>
#include <string_view>

namespace rlhf::inline v0::runtime {
namespace detail {

/// Stands in for `MemoryList` in concepts.
struct AnyMemoryVisitor {
  template <class S>
  void operator()(Part, std::string_view, S&) const noexcept {}
};

}  // namespace detail

/// A model whose offloads are kept track of.
template <class M>
concept HasOffloader = requires(M& model) {
  model.offloader();
};
/// A model that names its memory: `model.memory(visit)` calls `visit(part, name, storage)` for each
/// storage once, in the same order each time, whether it is on the device or not.
template <class M>
concept NamesMemory = requires(M& model, detail::AnyMemoryVisitor visit) {
  model.memory(visit);
};

/// Base of modules whose memory can leave the device; they define `memory(visit)` beside it.
/// `Space` says where it goes: `HostSpace`, or `cuda::Offload` on GPUs.
template <class Space = HostSpace>
class Offloadable {
 public:
  [[nodiscard]] Offloader<Space>& offloader() noexcept { return offloader_; }
  [[nodiscard]] Offloader<Space> const& offloader() const noexcept { return offloader_; }
  /// What links look at, to find out that the weights are away or have moved.
  [[nodiscard]] std::uint64_t weights_generation() const noexcept {
    return offloader_.weights_generation();
  }

 private:
  Offloader<Space> offloader_;
};

namespace detail {

template <class M>
inline constexpr bool is_offloadable = [] {
  static_assert(!HasOffloader<M> || NamesMemory<M>,
                "[rlhf:runtime.memory] an Offloadable model defines template <class Visit> void "
                "memory(Visit&& visit), public, which calls visit(part, name, storage) for each "
                "storage; see runtime/offload.hpp");
  return HasOffloader<M> && NamesMemory<M>;
}();

}  // namespace detail

/// Brings parts of a model from the device to the host and gives their device memory back. Parts
/// that are there already, or that the model's offloader does not act on, are left alone; models
/// that are not `Offloadable` altogether. In the order of `offload_order`. Returns when the device
/// memory is free.
///
/// Errors: io, cuda where memory lacks, naming the part, the storage and where all parts are;
/// invalid_argument where a storage is named twice. Cost: the copies, and a sort of the storages.
template <class M, class... Stream>
OffloadReport offload(M& model, Parts parts = Parts::all(), Stream... stream) {
  if constexpr (detail::is_offloadable<M>) {
    return model.offloader().offload(model, parts, stream...);
  } else {
    return {};
  }
}

/// Brings parts of a model back, to new memory; the reverse of `offload`, in the order of
/// `onload_order`. On GPUs, work put on `stream` afterwards finds everything in place.
///
/// Errors: as `offload`; invalid_argument where the model names other storages than it did.
template <class M, class... Stream>
OffloadReport onload(M& model, Parts parts = Parts::all(), Stream... stream) {
  if constexpr (detail::is_offloadable<M>) {
    return model.offloader().onload(model, parts, stream...);
  } else {
    return {};
  }
}

/// Where the bytes of a model are, a row for each part; `to_string` makes a table of them. Empty
/// for models that are not `Offloadable`.
template <class M>
[[nodiscard]] rlhf::detail::late_vector<PartMemory, M> memory_rows(M& model) {
  if constexpr (detail::is_offloadable<M>) {
    return model.offloader().rows(model);
  } else {
    return {};
  }
}

}  // namespace rlhf::inline v0::runtime
