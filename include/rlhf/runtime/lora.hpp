/// @file
/// Adapters in the weights and out again, without drift. Layer: runtime.
///
///     struct Actor : rlhf::Module<Train, Sync>, rlhf::runtime::Adapted<> {
///       template <class Visit>
///       void adapters(Visit&& visit) {
///         visit("up.weight", weight, rlhf::Adapter{.a = a, .b = b});   // views
///       }
///       // forward: y = W x, and unless lora().fused(): y += lora().scale() * B (A x)
///     };
///     rlhf::runtime::with_fused_lora(actor, [&] { link.sync(version); });
///
/// A fused weight is W + scale * B A. Subtracting the product again does not give W back in 16
/// bits, and drifts; here the bits of W are kept while it is fused. They take as much host memory
/// as the adapted weights. A layer whose adapter is in its weight must not add it again: forward
/// passes look at `fused()`.
///
/// A weight sync sends what is in the weights: fused ones while they are fused, else the base.
/// Adapters alone: list them as parameters (parallel/lora.hpp) and sync with
/// `LinkOptions{.wanted = rlhf::lora::is_factor}`.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/late_vector.hpp>
#include <rlhf/runtime/lora_options.hpp>
#include <rlhf/tensor/low_rank.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace rlhf::inline v0::runtime {

/// Adapters in host memory. `cuda::LoraKernels` is the same for devices.
///
/// | expression | meaning |
/// |---|---|
/// | `typename K::Kept` | owns the bits of a weight |
/// | `K::keep(view)`, `K::restore(view, kept)` | to and from there |
/// | `K::add(view, adapter, scale)` | weight += scale * B A |
/// | `K::digest(view)` | 64 bits of the weight's bits |
template <class T = void>
struct BasicHostLora {
  using Kept = rlhf::detail::late_vector<std::byte, T>;

  [[nodiscard]] static Kept keep(TensorView const& weight) {
    Kept kept(static_cast<std::size_t>(weight.bytes()));
    std::byte* to = kept.data();
    std::size_t const row_bytes = bytes_of_row(weight);
    rlhf::detail::for_each_row(weight, [&](std::byte const* row) {
      std::memcpy(to, row, row_bytes);
      to += row_bytes;
    });
    return kept;
  }
  static void restore(TensorView const& weight, Kept const& kept) {
    std::byte const* from = kept.data();
    std::size_t const row_bytes = bytes_of_row(weight);
    rlhf::detail::for_each_row(weight, [&](std::byte* row) {
      std::memcpy(row, from, row_bytes);
      from += row_bytes;
    });
  }
  static void add(TensorView const& weight, Adapter const& adapter, float scale) {
    add_low_rank(weight, adapter, scale);
  }
  [[nodiscard]] static std::uint64_t digest(TensorView const& weight) {
    Fingerprint print;
    std::size_t const row_bytes = bytes_of_row(weight);
    rlhf::detail::for_each_row(weight, [&](std::byte const* row) {
      print.add(std::string_view(reinterpret_cast<char const*>(row), row_bytes));
    });
    return print.value();
  }

 private:
  [[nodiscard]] static std::size_t bytes_of_row(TensorView const& view) {
    return static_cast<std::size_t>(view.shape[view.shape.rank() - 1] * size_of(view.dtype));
  }
};
using HostLora = BasicHostLora<>;

namespace detail {

/// Swallows adapters; stands in for any visitor in concepts.
struct AnyAdapterVisitor {
  void operator()(std::string_view, TensorView const&, Adapter const&) const noexcept {}
};

}  // namespace detail

/// A model that names its adapters: `model.adapters(visit)` calls `visit(name, weight,
/// Adapter{...})` for each adapted tensor (a fused one at once), in the same order each time.
template <class M>
concept NamesAdapters = requires(M& model, detail::AnyAdapterVisitor visit) {
  model.adapters(visit);
};
/// A model that keeps the state of its adapters.
template <class M>
concept HasLora = requires(M& model) {
  model.lora();
};

/// Whether a module's adapters are in its weights, and the bits of the weights without them. A
/// module has one by `Adapted`. Not collective. Thread safety: one caller per object.
template <class Kernels = HostLora>
class Lora {
 public:
  /// Errors: invalid_argument where an option is out of its range.
  void configure(LoraOptions options) {
    expects(!fused_, "the options of adapters cannot change while they are in the weights");
    options.check();
    options_ = std::move(options);
  }
  [[nodiscard]] LoraOptions const& options() const noexcept { return options_; }
  /// Whether the adapters are in the weights: forward passes then do not add them.
  [[nodiscard]] bool fused() const noexcept { return fused_; }
  [[nodiscard]] float scale() const noexcept { return options_.scale(); }
  /// Host memory of the kept bits.
  [[nodiscard]] std::int64_t kept_bytes() const noexcept {
    std::int64_t sum = 0;
    for (Entry const& entry : entries_) {
      sum += entry.weight.bytes();
    }
    return sum;
  }

  /// See `fuse_lora`.
  template <class Model>
  bool fuse(Model& model) {
    if (fused_) {
      return false;
    }
    Entries entries = list(model);
    for (Entry& entry : entries) {
      expect_adapter(entry.name, entry.weight, entry.adapter);
      entry.kept = Kernels::keep(entry.weight);
    }
    std::size_t changed = 0;
    try {
      for (Entry& entry : entries) {
        ++changed;
        Kernels::add(entry.weight, entry.adapter, scale());
        entry.digest = Kernels::digest(entry.weight);
      }
    } catch (...) {
      while (changed != 0) {
        --changed;
        Kernels::restore(entries[changed].weight, entries[changed].kept);
      }
      throw;
    }
    entries_.swap(entries);
    fused_ = true;
    return true;
  }

  /// See `unfuse_lora`.
  template <class Model>
  bool unfuse(Model& model) {
    if (!fused_) {
      return false;
    }
    Entries const now = list(model);  // the same tensors, perhaps in other memory
    if (now.size() != entries_.size()) {
      fail(Errc::invalid_argument,
           text("adapters(visit) names ", now.size(), " tensors now, but named ", entries_.size(),
                " when they were fused"));
    }
    for (std::size_t i = 0; i < now.size(); ++i) {
      Entry const& then = entries_[i];
      if (now[i].name != then.name || now[i].weight.shape != then.weight.shape ||
          now[i].weight.dtype != then.weight.dtype) {
        fail(Errc::invalid_argument,
             text("adapters(visit) names ", now[i].name, " ", to_string(now[i].weight.shape),
                  " where ", then.name, " ", to_string(then.weight.shape),
                  " was when it was fused; name the same tensors in the same order each time"));
      }
      expect_adapter(now[i].name, now[i].weight, now[i].adapter);
      if (Kernels::digest(now[i].weight) != then.digest) {
        fail(Errc::corrupted, text("weight ", then.name,
                                   " was changed while its adapter was in it; that change would be "
                                   "lost, so nothing was "
                                   "restored (train and load weights unfused; `discard` takes the "
                                   "weights as they are)"));
      }
    }
    for (std::size_t i = 0; i < now.size(); ++i) {
      Kernels::restore(now[i].weight, entries_[i].kept);
    }
    discard();
    return true;
  }

  /// Takes the weights as they are for the base, and forgets the bits kept: after weights were
  /// loaded into a model whose adapters were fused.
  void discard() noexcept {
    Entries().swap(entries_);
    fused_ = false;
  }

 private:
  struct Entry {
    std::string name;
    TensorView weight;
    Adapter adapter;
    typename Kernels::Kept kept;
    std::uint64_t digest = 0;
  };
  using Entries = rlhf::detail::late_vector<Entry, Kernels>;

  template <class Model>
  [[nodiscard]] static Entries list(Model& model) {
    Entries entries;
    model.adapters([&](std::string_view name, TensorView const& weight, Adapter const& adapter) {
      Entry entry;
      entry.name = name;
      entry.weight = weight;
      entry.adapter = adapter;
      entries.push_back(std::move(entry));
    });
    return entries;
  }

  LoraOptions options_;
  Entries entries_;  // of the adapters that are in the weights
  bool fused_ = false;
};

/// Base of modules with adapters; they define `adapters(visit)` beside it.
template <class Kernels = HostLora>
class Adapted {
 public:
  [[nodiscard]] Lora<Kernels>& lora() noexcept { return lora_; }
  [[nodiscard]] Lora<Kernels> const& lora() const noexcept { return lora_; }

 private:
  Lora<Kernels> lora_;
};

namespace detail {

template <class M>
inline constexpr bool is_adapted = [] {
  static_assert(!HasLora<M> || NamesAdapters<M>,
                "[rlhf:runtime.adapters] an Adapted model defines template <class Visit> void "
                "adapters(Visit&& visit), public, which calls visit(name, weight view, "
                "rlhf::Adapter{...}) for each adapted tensor; see runtime/lora.hpp");
  return HasLora<M> && NamesAdapters<M>;
}();

}  // namespace detail

/// Puts the adapters of a model into its weights: W + scale * B A, sums of f32. Whether it did: not
/// where they are in them already, nor for models that are not `Adapted`.
///
/// Errors: invalid_argument naming the weight where a factor does not fit; then, and where memory
/// lacks, no weight has changed. Cost: 2 * dim operations an element, a copy of the weights.
template <class M>
bool fuse_lora(M& model) {
  if constexpr (detail::is_adapted<M>) {
    return model.lora().fuse(model);
  } else {
    return false;
  }
}

/// Takes the adapters out: the weights are to the bit what they were before `fuse_lora`, whatever
/// happened to the factors in between. Weights may have moved in memory.
///
/// Errors: corrupted where a weight was changed while it was fused; then nothing is restored.
template <class M>
bool unfuse_lora(M& model) {
  if constexpr (detail::is_adapted<M>) {
    return model.lora().unfuse(model);
  } else {
    return false;
  }
}

/// `call()` with the adapters in the weights: a sync, a save. Takes them out again where it put
/// them in, also when `call` throws.
template <class M, class Call>
void with_fused_lora(M& model, Call&& call) {
  bool const fused_here = fuse_lora(model);
  try {
    call();
  } catch (...) {
    if (fused_here) {
      unfuse_lora(model);
    }
    throw;
  }
  if (fused_here) {
    unfuse_lora(model);
  }
}

}  // namespace rlhf::inline v0::runtime
