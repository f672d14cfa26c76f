/// @file
/// Which parts of a module are where, and what brings them there. Layer: runtime.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/core/sort.hpp>
#include <rlhf/runtime/offload_parts.hpp>
#include <rlhf/runtime/offload_report.hpp>
#include <rlhf/runtime/offload_space.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace rlhf::inline v0::runtime {
namespace detail {

/// A storage whose type is forgotten.
struct StorageHandle {
  Part part = Part::weights;
  std::string name;
  void* storage = nullptr;
  std::byte* data = nullptr;
  std::size_t bytes = 0;
  std::size_t element_bytes = 1;
  std::byte* (*acquire)(void* storage, std::size_t bytes) = nullptr;
  void (*release)(void* storage) noexcept = nullptr;
};

/// Keeps what a model names.
template <class T>
struct MemoryList {
  rlhf::detail::late_vector<StorageHandle, T> handles;

  template <class S>
  void operator()(Part part, std::string_view name, S& storage) {
    static_assert(TensorStorage<S>,
                  "[rlhf:runtime.storage] memory(visit) names something that does not own memory "
                  "which can be given back and taken anew: pass a std::vector of a trivial type, a "
                  "cuda::DeviceBuffer, or a type like them; see runtime/offload_space.hpp");
    static_assert(
        !OutOfReach<T, S>,
        "[rlhf:runtime.space] memory(visit) names device memory, but HostSpace copies from "
        "the host's only: derive the model from runtime::Offloadable<cuda::Offload>");
    if constexpr (TensorStorage<S>) {
      using Value = std::remove_cvref_t<decltype(*storage.data())>;
      StorageHandle handle;
      handle.part = part;
      handle.name = name;
      handle.storage = &storage;
      handle.data = reinterpret_cast<std::byte*>(storage.data());
      handle.element_bytes = sizeof(Value);
      handle.bytes = storage.size() * sizeof(Value);
      handle.acquire = [](void* at, std::size_t bytes) {
        S& owner = *static_cast<S*>(at);
        owner = S(bytes / sizeof(Value));
        return reinterpret_cast<std::byte*>(owner.data());
      };
      handle.release = [](void* at) noexcept { *static_cast<S*>(at) = S(); };
      handles.push_back(std::move(handle));
    }
  }
};

}  // namespace detail

/// Which parts of a module are where, and the host's copies. A module has one by `Offloadable`.
///
/// Not collective: where ranks share a device, or others wait for it, meet before and after.
/// A call that fails leaves every part wholly on one side; the error says which parts are where,
/// and the call can be tried again.
/// Thread safety: one caller per object.
template <class Space = HostSpace>
class Offloader {
  template <class X>
  using Vector = rlhf::detail::late_vector<X, Space>;

 public:
  using Stream = typename Space::Stream;

  /// Parts that `offload` acts on; the others stay on the device whatever it is asked for. All, at
  /// the start. What is on the host already comes back all the same.
  void enable(Parts parts) noexcept { enabled_ = parts; }
  [[nodiscard]] Parts enabled() const noexcept { return enabled_; }
  /// Parts on the host.
  [[nodiscard]] Parts away() const noexcept { return away_; }
  [[nodiscard]] Residence residence(Part part) const noexcept {
    return away_.has(part) ? Residence::host : Residence::device;
  }
  /// Changes whenever the weights come back; 0 while they are away. Links compare it.
  [[nodiscard]] std::uint64_t weights_generation() const noexcept {
    return away_.has(Part::weights) ? 0 : generation_;
  }

  /// See `runtime::offload`.
  template <class Model>
  OffloadReport offload(Model& model, Parts parts, Stream stream = {}) {
    OffloadReport report;
    Parts const wanted = (parts & enabled_).without(away_);
    if (wanted.empty()) {
      return report;
    }
    auto const listed = list(model);
    for (Part const part : offload_order) {
      if (wanted.has(part)) {
        leave(part, of(part, listed), stream, report);
      }
    }
    return report;
  }

  /// See `runtime::onload`.
  template <class Model>
  OffloadReport onload(Model& model, Parts parts, Stream stream = {}) {
    OffloadReport report;
    Parts const wanted = parts & away_;
    if (wanted.empty()) {
      return report;
    }
    auto const listed = list(model);
    for (Part const part : onload_order) {
      if (wanted.has(part)) {
        come_back(part, of(part, listed), stream, report);
      }
    }
    return report;
  }

  /// A row for each part, in the order of `Part`.
  template <class Model>
  [[nodiscard]] Vector<PartMemory> rows(Model& model) const {
    Vector<PartMemory> out;
    for (int i = 0; i < part_count; ++i) {
      auto const part = static_cast<Part>(i);
      out.push_back(PartMemory{part, residence(part), 0, 0, 0, 0});
      Record const& record = records_[i];
      out.back().host_bytes = record.space ? record.space->host_bytes() : 0;
      for (Kept const& kept : record.kept) {
        out.back().away_bytes += static_cast<std::int64_t>(kept.bytes);
      }
    }
    for (detail::StorageHandle const& handle : list(model)) {
      PartMemory& row = out[static_cast<std::size_t>(handle.part)];
      ++row.tensors;
      row.device_bytes += static_cast<std::int64_t>(handle.bytes);
    }
    return out;
  }

  /// Gives back host memory that is kept for the next offload. Parts that are away are not touched.
  void release_host() {
    for (int i = 0; i < part_count; ++i) {
      if (records_[i].space && !away_.has(static_cast<Part>(i))) {
        records_[i].space->release_host();
      }
    }
  }

 private:
  struct Kept {
    std::string name;
    std::size_t bytes = 0;
  };
  struct Record {
    Vector<Kept> kept;  // of a part that is away
    std::optional<Space> space;
  };

  [[nodiscard]] Record& record(Part part) noexcept { return records_[static_cast<int>(part)]; }

  /// All storages of a model. Errors: invalid_argument where one is named twice.
  template <class Model>
  [[nodiscard]] static Vector<detail::StorageHandle> list(Model& model) {
    detail::MemoryList<Space> all;
    model.memory(all);
    Vector<std::pair<std::uintptr_t, std::size_t>> places;
    for (std::size_t i = 0; i < all.handles.size(); ++i) {
      places.emplace_back(reinterpret_cast<std::uintptr_t>(all.handles[i].storage), i);
    }
    rlhf::detail::sort(places);
    for (std::size_t i = 1; i < places.size(); ++i) {
      if (places[i].first == places[i - 1].first) {
        detail::StorageHandle const& one = all.handles[places[i - 1].second];
        detail::StorageHandle const& other = all.handles[places[i].second];
        fail(Errc::invalid_argument,
             text("memory(visit) names one storage twice, as ", to_string(one.part), " ", one.name,
                  " and as ", to_string(other.part), " ", other.name, "; name each storage once"));
      }
    }
    return std::move(all.handles);
  }
  [[nodiscard]] static Vector<detail::StorageHandle> of(Part part,
                                                        Vector<detail::StorageHandle> const& all) {
    Vector<detail::StorageHandle> out;
    for (detail::StorageHandle const& handle : all) {
      if (handle.part == part) {
        out.push_back(handle);
      }
    }
    return out;
  }

  void leave(Part part, Vector<detail::StorageHandle> const& handles, Stream stream,
             OffloadReport& report) {
    Record& to = record(part);
    std::size_t bytes = 0;
    attempt("offload", part, [&] {
      Vector<Kept> kept;
      Vector<typename Space::Range> ranges;
      for (detail::StorageHandle const& handle : handles) {
        kept.push_back(Kept{handle.name, handle.bytes});
        ranges.push_back({handle.data, handle.bytes});
        bytes += handle.bytes;
      }
      if (part == Part::gradient_buffers) {
        for (detail::StorageHandle const& handle : handles) {
          handle.release(handle.storage);
        }
      } else {
        if (!to.space) {
          to.space.emplace();
        }
        to.space->offload(
            std::span<typename Space::Range const>(ranges.data(), ranges.size()),
            [&](std::size_t i, typename Space::Range const&) {
              handles[i].release(handles[i].storage);
            },
            stream);
        report.copied_bytes += static_cast<std::int64_t>(bytes);
      }
      to.kept.swap(kept);
    });
    away_ = away_ | part;
    count(report, part, handles.size(), bytes);
  }

  void come_back(Part part, Vector<detail::StorageHandle> const& handles, Stream stream,
                 OffloadReport& report) {
    Record& from = record(part);
    std::size_t bytes = 0;
    attempt("onload", part, [&, this] {
      expect_same(part, handles);
      std::size_t taken = 0;
      auto const take = [&](std::size_t i, std::size_t size) {
        taken = i + 1;
        bytes += size;
        try {
          return handles[i].acquire(handles[i].storage, size);
        } catch (Error const& error) {
          throw Error(error.code(), text(handles[i].name, " (", size, " bytes): ", error.message()),
                      error.rank(), error.native_code());
        } catch (std::exception const& error) {
          throw Error(Errc::io, text(handles[i].name, " (", size, " bytes): ", error.what()));
        }
      };
      try {
        if (part == Part::gradient_buffers) {
          for (std::size_t i = 0; i < handles.size(); ++i) {
            std::size_t const size = from.kept[i].bytes;
            std::byte* const data = take(i, size);
            Space::zero(data, size, stream);
          }
        } else {
          from.space->onload(take, stream);
          report.copied_bytes += static_cast<std::int64_t>(bytes);
        }
      } catch (...) {
        for (std::size_t i = 0; i < taken; ++i) {
          handles[i].release(handles[i].storage);
        }
        throw;
      }
    });
    from.kept.clear();
    away_ = away_.without(part);
    if (part == Part::weights) {
      ++generation_;
    }
    count(report, part, handles.size(), bytes);
  }

  /// Errors: invalid_argument where the model names other storages than when the part left, or one
  /// that has memory again.
  void expect_same(Part part, Vector<detail::StorageHandle> const& handles) {
    Vector<Kept> const& kept = record(part).kept;
    if (handles.size() != kept.size()) {
      fail(Errc::invalid_argument, text("memory(visit) names ", handles.size(),
                                        " storages now, but named ", kept.size(), " at offload"));
    }
    for (std::size_t i = 0; i < kept.size(); ++i) {
      if (handles[i].name != kept[i].name || kept[i].bytes % handles[i].element_bytes != 0) {
        fail(Errc::invalid_argument,
             text("memory(visit) names ", handles[i].name, " where ", kept[i].name,
                  " was at offload; name the same storages in the same order each time"));
      }
      if (handles[i].bytes != 0) {
        fail(Errc::invalid_argument,
             text(handles[i].name, " has ", handles[i].bytes,
                  " bytes of memory while it is away; leave storages alone between offload and "
                  "onload"));
      }
    }
  }

  static void count(OffloadReport& report, Part part, std::size_t tensors, std::size_t bytes) {
    report.moved = report.moved | part;
    report.tensors += static_cast<std::int64_t>(tensors);
    report.changed_bytes += static_cast<std::int64_t>(bytes);
  }

  /// Adds to what `body` throws which part did not move, and where all of them are.
  template <class Body>
  void attempt(char const* what, Part part, Body&& body) const {
    auto const where = [&, this](std::string_view cause) {
      return text(what, " of ", to_string(part), ": ", cause,
                  " (on the device: ", to_string(Parts::all().without(away_)),
                  "; on the host: ", to_string(away_), ")");
    };
    try {
      body();
    } catch (Error const& error) {
      throw Error(error.code(), where(error.message()), error.rank(), error.native_code());
    } catch (std::exception const& error) {  // std::bad_alloc
      throw Error(Errc::io, where(error.what()));
    }
  }

  Record records_[part_count];
  Parts enabled_ = Parts::all();
  Parts away_;
  std::uint64_t generation_ = 1;
};

}  // namespace rlhf::inline v0::runtime
