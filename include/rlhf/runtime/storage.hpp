/// @file
/// Values under typed keys, shared by the ranks of one process. Layer: runtime.
#pragma once

#include <rlhf/core/clock.hpp>
#include <rlhf/core/config.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/monitor.hpp>
#include <rlhf/core/text.hpp>
#include <rlhf/core/type_name.hpp>
#include <rlhf/core/units.hpp>
#include <rlhf/runtime/detail/name_table.hpp>
#include <rlhf/runtime/error_signal.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace rlhf::inline v0::runtime {

/// Names a value of type `T` in a `Storage`: `inline constexpr Key<float> baseline{"baseline"};`
template <class T>
struct Key {
  static_assert(std::is_object_v<T> && !std::is_const_v<T>, "a key is of a plain value type");
  std::string_view name;
};

namespace detail {

/// A stored value whose type only its key knows. Counted by references; guarded by the storage.
struct StoredValue {
  void* value = nullptr;
  void const* type = nullptr;  // address of `tag` of the type
  std::string_view type_name;
  void (*destroy)(void*) noexcept = nullptr;
  int references = 1;

  template <class T>
  static constexpr char tag = 0;

  template <class T>
  [[nodiscard]] static StoredValue* make(T&& value) {
    using Value = std::remove_cvref_t<T>;
    auto* const own = new Value(std::forward<T>(value));  // NOLINT: destroyed by `release`
    StoredValue* made = nullptr;
    try {
      made = new StoredValue;  // NOLINT
    } catch (...) {
      delete own;  // NOLINT
      throw;
    }
    made->value = own;
    made->type = &tag<Value>;
    made->type_name = rlhf::type_name<Value>();
    made->destroy = [](void* pointer) noexcept { delete static_cast<Value*>(pointer); };  // NOLINT
    return made;
  }
};

}  // namespace detail

/// Values that ranks put and get by name.
///
///     inline constexpr rlhf::runtime::Key<Baseline> baseline{"baseline"};
///     storage.put(baseline, Baseline{...});                            // on one rank
///     Baseline const now = storage.get(baseline, Deadline::after(5_s));   // on another: waits
///
/// `put` replaces; whoever is copying the old value still gets it whole. Values are copied out
/// without a lock; keep a `std::shared_ptr<Big const>` where a copy is dear, or `take`. Values may
/// be of any type: host data, or handles of device memory, which say nothing about when the device
/// has written it: put an event along, or wait for the stream first.
/// A name has one type at a time: another one is an error until the value is erased or taken.
/// Ranks must be threads of one process; see storage_exchange.hpp for others. The object must
/// outlive its callers.
///
/// Cost: a lock and a hash of the name a call; a put of a value allocates it, or assigns it to the
/// one that is there where nobody is reading that.
/// Thread safety: all members may be called from any thread.
template <class Late = void>
class BasicStorage {
  using Stored = rlhf::detail::late<detail::StoredValue, Late>;

 public:
  BasicStorage() = default;
  /// With a signal, waits end with the first failure of a run. Whatever they wait for may be
  /// noticed up to 50 ms late.
  explicit BasicStorage(BasicErrorSignal<Late> const& signal) noexcept : signal_(&signal) {}
  BasicStorage(BasicStorage const&) = delete;
  BasicStorage& operator=(BasicStorage const&) = delete;
  BasicStorage(BasicStorage&&) = delete;
  BasicStorage& operator=(BasicStorage&&) = delete;
  ~BasicStorage() {
    for (Stored* const value : values_) {
      drop(value);
    }
  }

  /// Stores a value, and wakes who waits for it. Errors: invalid_argument where the name holds a
  /// value of another type.
  template <class T>
  void put(Key<T> key, std::type_identity_t<T> value) {
    if constexpr (std::is_nothrow_move_assignable_v<T>) {
      Hold const hold(monitor_);
      int const number = names_.find(key.name);
      Stored* const there = number < 0 ? nullptr : values_[static_cast<std::size_t>(number)];
      if (there != nullptr && there->references == 1 && there->type == &Stored::template tag<T>) {
        *static_cast<T*>(there->value) = std::move(value);
        monitor_.notify_all();
        return;
      }
    }
    Stored* const made = Stored::make(std::move(value));
    Stored* old = made;
    std::string wrong;
    {
      Hold const hold(monitor_);
      Stored*& place = place_of(key.name, made);
      if (place == nullptr || place->type == made->type) {
        old = std::exchange(place, made);
        old = old != nullptr && --old->references == 0 ? old : nullptr;
        monitor_.notify_all();
      } else {
        wrong = another_type(key.name, *place, made->type_name, "put");
      }
    }
    drop(old);
    if (!wrong.empty()) {
      fail(Errc::invalid_argument, wrong);
    }
  }

  /// A copy of the value; waits for it until the deadline.
  ///
  /// Errors: timeout, naming the key and what is there; invalid_argument where the value is of
  /// another type; the failure of the run, where there is a signal.
  template <class T>
  [[nodiscard]] T get(Key<T> key, Deadline const& deadline) {
    Reading const reading(*this, wait_for<T>(key.name, deadline, false));
    return *static_cast<T const*>(reading.value->value);
  }
  /// As `get`, without a copy: calls `use(value)`, a `T const&`, and returns its result. A `put`
  /// meanwhile does not change the value that is used.
  template <class T, class Use>
  decltype(auto) with(Key<T> key, Deadline const& deadline, Use&& use) {
    Reading const reading(*this, wait_for<T>(key.name, deadline, false));
    return std::forward<Use>(use)(*static_cast<T const*>(reading.value->value));
  }
  /// As `get`, but the value is gone from the storage: of several that wait, one gets it. Moves it
  /// unless somebody is reading it; types that cannot be copied are not for `with`.
  template <class T>
  [[nodiscard]] T take(Key<T> key, Deadline const& deadline) {
    Reading const reading(*this, wait_for<T>(key.name, deadline, true));
    T& value = *static_cast<T*>(reading.value->value);
    if constexpr (std::is_copy_constructible_v<T>) {
      bool alone = false;
      {
        Hold const hold(monitor_);
        alone = reading.value->references == 1;
      }
      if (!alone) {
        return T(std::as_const(value));
      }
    }
    return T(std::move(value));
  }
  /// A copy of the value if it is there. Errors: invalid_argument where it is of another type.
  template <class T>
  [[nodiscard]] std::optional<T> try_get(Key<T> key) {
    Stored* found = nullptr;
    {
      Hold const hold(monitor_);
      found = look<T>(key.name, false);
    }
    if (found == nullptr) {
      return std::nullopt;
    }
    Reading const reading(*this, found);
    return *static_cast<T const*>(reading.value->value);
  }

  /// Forgets a value of any type; whether there was one.
  bool erase(std::string_view name) {
    Stored* old = nullptr;
    {
      Hold const hold(monitor_);
      int const number = names_.find(name);
      if (number < 0 || values_[static_cast<std::size_t>(number)] == nullptr) {
        return false;
      }
      old = std::exchange(values_[static_cast<std::size_t>(number)], nullptr);
      old = --old->references == 0 ? old : nullptr;
    }
    drop(old);
    return true;
  }
  template <class T>
  bool erase(Key<T> key) {
    return erase(key.name);
  }
  [[nodiscard]] bool has(std::string_view name) {
    Hold const hold(monitor_);
    int const number = names_.find(name);
    return number >= 0 && values_[static_cast<std::size_t>(number)] != nullptr;
  }
  /// What is there, like `a (float), b (int)`.
  [[nodiscard]] std::string contents() {
    Hold const hold(monitor_);
    return list();
  }

 private:
  /// Gives a reference back.
  struct Reading {
    Reading(BasicStorage& owner, Stored* read) noexcept : storage(owner), value(read) {}
    Reading(Reading const&) = delete;
    Reading& operator=(Reading const&) = delete;
    ~Reading() {
      bool last = false;
      {
        Hold const hold(storage.monitor_);
        last = --value->references == 0;
      }
      drop(last ? value : nullptr);
    }
    BasicStorage& storage;
    Stored* value;
  };

  static void drop(Stored* value) noexcept {
    if (value != nullptr) {
      value->destroy(value->value);
      delete value;  // NOLINT
    }
  }

  /// Where the value of a name stands. Caller holds the lock. `made` goes where that fails.
  [[nodiscard]] Stored*& place_of(std::string_view name, Stored* made) {
    try {
      auto const number = static_cast<std::size_t>(names_.of(name));
      if (number == values_.size()) {
        values_.push_back(nullptr);
      }
      return values_[number];
    } catch (...) {
      drop(made);
      throw;
    }
  }
  /// The value with one more reference, or null; with the storage's own where it is taken. Caller
  /// holds the lock.
  template <class T>
  [[nodiscard]] Stored* look(std::string_view name, bool taken) {
    int const number = names_.find(name);
    Stored* const found = number < 0 ? nullptr : values_[static_cast<std::size_t>(number)];
    if (found == nullptr) {
      return nullptr;
    }
    if (found->type != &Stored::template tag<T>) {
      fail(Errc::invalid_argument, another_type(name, *found, type_name<T>(), "read"));
    }
    if (taken) {
      values_[static_cast<std::size_t>(number)] = nullptr;
    } else {
      ++found->references;
    }
    return found;
  }
  template <class T>
  [[nodiscard]] Stored* wait_for(std::string_view name, Deadline const& deadline, bool taken) {
    std::int64_t const begin = steady_nanoseconds();
    Hold const hold(monitor_);
    while (true) {
      if (Stored* const found = look<T>(name, taken); found != nullptr) {
        return found;
      }
      if (signal_ != nullptr) {
        signal_->check();
      }
      if (deadline.passed()) {
        fail(Errc::timeout,
             text("no value of \"", name, "\" (", type_name<T>(), ") came within ",
                  (steady_nanoseconds() - begin) / 1'000'000, " ms; ", list(), " are there"));
      }
      if (signal_ != nullptr) {
        monitor_.wait(Deadline::after(Milliseconds{50}));
      } else {
        monitor_.wait(deadline);
      }
    }
  }

  [[nodiscard]] static std::string another_type(std::string_view name, Stored const& there,
                                                std::string_view wanted, std::string_view what) {
    return text("\"", name, "\" holds a value of type ", there.type_name, ", it was to be ", what,
                " as ", wanted, "; use one Key for a name, or erase the value first");
  }
  /// Caller holds the lock.
  [[nodiscard]] std::string list() const {
    constexpr int most = 16;
    std::string all;
    int listed = 0;
    for (std::size_t i = 0; i < values_.size(); ++i) {
      if (values_[i] != nullptr && listed++ < most) {
        all += text(all.empty() ? "" : ", ", names_[static_cast<int>(i)], " (",
                    values_[i]->type_name, ")");
      }
    }
    return listed > most ? text(all, ", ... (", listed, " in all)")
           : listed == 0 ? text("no values")
                         : all;
  }

  BasicErrorSignal<Late> const* signal_ = nullptr;
  Monitor monitor_;
  detail::NameTable<Late> names_;
  std::vector<Stored*> values_;
};

using Storage = BasicStorage<>;

}  // namespace rlhf::inline v0::runtime
