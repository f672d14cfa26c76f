#include <rlhf/runtime/offload.hpp>

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

namespace runtime = rlhf::runtime;
using rlhf::Errc;
using rlhf::Error;
using runtime::Part;
using runtime::PartMemory;
using runtime::Parts;
using runtime::Residence;

namespace {

/// Device memory that is counted, and that runs out.
struct Device {
  static inline std::size_t used = 0;
  static inline std::size_t capacity = 1 << 20;

  static void take(std::size_t bytes) {
    if (bytes > capacity - used) {
      throw std::bad_alloc();
    }
    used += bytes;
  }
};

/// Elements in that memory.
template <class T>
class Buffer {
 public:
  Buffer() noexcept = default;
  explicit Buffer(std::size_t size) {
    Device::take(size * sizeof(T));
    elements_ = std::vector<T>(size, T{77});  // not zero: memory is not initialised
  }
  Buffer(Buffer&& other) noexcept : elements_(std::exchange(other.elements_, {})) {}
  Buffer& operator=(Buffer&& other) noexcept {
    Device::used -= elements_.size() * sizeof(T);
    elements_ = std::exchange(other.elements_, {});
    return *this;
  }
  Buffer(Buffer const&) = delete;
  Buffer& operator=(Buffer const&) = delete;
  ~Buffer() { Device::used -= elements_.size() * sizeof(T); }

  [[nodiscard]] T* data() noexcept { return elements_.data(); }
  [[nodiscard]] std::size_t size() const noexcept { return elements_.size(); }

 private:
  std::vector<T> elements_;
};

static_assert(runtime::TensorStorage<Buffer<float>>);
static_assert(runtime::TensorStorage<std::vector<double>>);
static_assert(!runtime::TensorStorage<std::vector<std::string>>);
static_assert(!runtime::TensorStorage<std::vector<bool>>);
static_assert(!runtime::TensorStorage<float[4]>);
static_assert(runtime::OffloadSpace<runtime::HostSpace>);

struct Model : runtime::Offloadable<> {
  Buffer<std::uint16_t> up{100};
  Buffer<std::uint16_t> none{};
  Buffer<float> main{100};
  Buffer<float> first{100};
  Buffer<double> second{100};
  Buffer<float> gradients{100};
  bool misnamed = false;

  Model() {
    fill(up, 1);
    fill(main, 2);
    fill(first, 3);
    fill(second, 4);
    fill(gradients, 5);
  }
  template <class Visit>
  void memory(Visit&& visit) {
    visit(Part::weights, "up", up);
    visit(Part::weights, "none", none);
    visit(Part::main_weights, "up.main", main);
    visit(Part::optimizer_states, misnamed ? "adam.x" : "adam.m", first);
    visit(Part::optimizer_states, "adam.v", second);
    visit(Part::gradient_buffers, "gradients", gradients);
  }
  template <class T>
  static void fill(Buffer<T>& buffer, int first) {
    for (std::size_t i = 0; i < buffer.size(); ++i) {
      buffer.data()[i] = static_cast<T>(first * 1000 + static_cast<int>(i));
    }
  }
  template <class T>
  static bool holds(Buffer<T>& buffer, int first) {
    for (std::size_t i = 0; i < buffer.size(); ++i) {
      if (buffer.data()[i] != static_cast<T>(first * 1000 + static_cast<int>(i))) {
        return false;
      }
    }
    return buffer.size() == 100;
  }
  [[nodiscard]] bool whole() {
    return holds(up, 1) && holds(main, 2) && holds(first, 3) && holds(second, 4);
  }
};

template <class Call>
Error failure(Call&& call) {
  try {
    call();
  } catch (Error const& error) {
    return error;
  }
  return Error(Errc::corrupted, "nothing was thrown");
}

bool says(Error const& error, std::string const& part) {
  return std::string(error.what()).find(part) != std::string::npos;
}

/// A space that notes what passes it.
struct NotingSpace : runtime::HostSpace {
  static inline std::string log;

  template <class Free>
  void offload(std::span<Range const> ranges, Free&& free, Stream = {}) {
    log += "-" + std::to_string(ranges[0].bytes);
    runtime::HostSpace::offload(ranges, free);
  }
  template <class Allocate>
  void onload(Allocate&& allocate, Stream = {}) {
    runtime::HostSpace::onload([&](std::size_t i, std::size_t bytes) {
      log += "+" + std::to_string(bytes);
      return allocate(i, bytes);
    });
  }
  static void zero(std::byte* data, std::size_t bytes, Stream = {}) {
    log += "0" + std::to_string(bytes);
    runtime::HostSpace::zero(data, bytes);
  }
};

/// Notes when its memory goes.
struct Gradients : std::vector<std::byte> {
  using std::vector<std::byte>::vector;
  Gradients() = default;
  Gradients(Gradients&&) = default;
  Gradients& operator=(Gradients&& other) noexcept {
    NotingSpace::log += other.empty() ? "-g" : "+g";
    std::vector<std::byte>::operator=(std::move(other));
    return *this;
  }
};

struct Watched : runtime::Offloadable<NotingSpace> {
  std::vector<std::byte> weights = std::vector<std::byte>(1);
  std::vector<std::byte> main = std::vector<std::byte>(2);
  std::vector<std::byte> states = std::vector<std::byte>(3);
  Gradients gradients = Gradients(4);

  template <class Visit>
  void memory(Visit&& visit) {
    visit(Part::weights, "1", weights);
    visit(Part::main_weights, "2", main);
    visit(Part::optimizer_states, "3", states);
    visit(Part::gradient_buffers, "4", gradients);
  }
};

struct Twice : runtime::Offloadable<> {
  std::vector<float> weight = std::vector<float>(4, 1.5F);
  template <class Visit>
  void memory(Visit&& visit) {
    visit(Part::weights, "weight", weight);
    visit(Part::main_weights, "main", weight);
  }
};

struct Movable : runtime::Offloadable<> {
  std::vector<float> weight = std::vector<float>(4, 1.5F);
  template <class Visit>
  void memory(Visit&& visit) {
    visit(Part::weights, "weight", weight);
  }
};

}  // namespace

TEST_CASE("sets of parts") {
  constexpr Parts two = Part::weights | Part::optimizer_states;
  static_assert(two.has(Part::weights) && !two.has(Part::gradient_buffers));
  static_assert(Parts::all().without(two) == (Part::main_weights | Part::gradient_buffers));
  static_assert((two & Part::weights) == Parts(Part::weights));
  static_assert(Parts().empty() && !Parts::all().empty());
  CHECK(to_string(two) == "weights, optimizer_states");
  CHECK(to_string(Parts()) == "nothing");
}

TEST_CASE("everything leaves the device and comes back to the bit, gradients zeroed") {
  std::size_t const before = Device::used;
  {
    Model model;
    std::size_t const full = Device::used - before;
    runtime::OffloadReport const out = runtime::offload(model);
    CHECK(Device::used == before);
    CHECK(out.moved == Parts::all());
    CHECK(out.tensors == 6);
    CHECK(out.changed_bytes == static_cast<std::int64_t>(full));
    CHECK(out.copied_bytes == 200 + 400 + 400 + 800);
    CHECK(model.offloader().away() == Parts::all());
    CHECK(runtime::offload(model).moved.empty());  // twice: nothing happens
    CHECK(runtime::onload(model).changed_bytes == static_cast<std::int64_t>(full));
    CHECK(model.whole());
    CHECK(model.gradients.size() == 100);
    for (std::size_t i = 0; i < 100; ++i) {
      CHECK(model.gradients.data()[i] == 0.0F);
    }
    CHECK(runtime::onload(model).moved.empty());
    CHECK(model.whole());
    CHECK(Device::used - before == full);
  }
  CHECK(Device::used == before);
}

TEST_CASE("some parts, and parts that an offloader does not act on") {
  Model model;
  model.offloader().enable(Parts::all().without(Part::main_weights));
  CHECK(runtime::offload(model, Part::main_weights).moved.empty());
  CHECK(model.main.size() == 100);
  CHECK(runtime::offload(model, Part::main_weights | Part::weights).moved == Parts(Part::weights));
  model.offloader().enable(Parts());
  CHECK(runtime::offload(model).moved.empty());
  CHECK(runtime::onload(model).moved == Parts(Part::weights));  // comes back all the same
  CHECK(model.whole());
}

TEST_CASE("generations of the weights: 0 while away, another number each time") {
  Model model;
  std::uint64_t const first = model.weights_generation();
  CHECK(first != 0);
  runtime::offload(model, Part::main_weights);
  runtime::onload(model);
  CHECK(model.weights_generation() == first);
  runtime::offload(model, Part::weights);
  CHECK(model.weights_generation() == 0);
  runtime::onload(model);
  CHECK(model.weights_generation() != 0);
  CHECK(model.weights_generation() != first);
}

TEST_CASE("where the bytes are") {
  Model model;
  runtime::offload(model, Part::optimizer_states | Part::gradient_buffers);
  auto const rows = runtime::memory_rows(model);
  REQUIRE(rows.size() == 4);
  CHECK(rows[0] == PartMemory{Part::weights, Residence::device, 2, 200, 0, 0});
  CHECK(rows[1] == PartMemory{Part::main_weights, Residence::device, 1, 400, 0, 0});
  CHECK(rows[2] == PartMemory{Part::optimizer_states, Residence::host, 2, 0, 1200, 1200});
  CHECK(rows[3] == PartMemory{Part::gradient_buffers, Residence::host, 1, 0, 400, 0});
  CHECK(to_string(rows) ==
        "part              where      tensors          device            away            host\n"
        "weights           device           2             200               0               0\n"
        "main_weights      device           1             400               0               0\n"
        "optimizer_states    host           2               0            1200            1200\n"
        "gradient_buffers    host           1               0             400               0\n"
        "together                           6             600            1600            1200\n");
}

TEST_CASE("memory that runs out leaves each part on one side, and says which; room lets it go on") {
  Model model;
  runtime::offload(model);
  std::size_t const capacity = Device::capacity;
  std::size_t const used = Device::used;
  Device::capacity = used + 200 + 400 + 400 + 500;  // adam.v does not fit
  Error const error = failure([&] { runtime::onload(model); });
  CHECK(error.code() == Errc::io);
  CHECK(says(error, "onload of optimizer_states: adam.v (800 bytes): "));
  CHECK(says(error,
             "(on the device: weights, main_weights, gradient_buffers; on the host: "
             "optimizer_states)"));
  CHECK(Device::used == used + 1000);  // what adam.m had got was given back
  CHECK(model.first.size() == 0);
  CHECK(model.offloader().residence(Part::optimizer_states) == Residence::host);
  Device::capacity = used + 1100;
  CHECK(says(failure([&] { runtime::onload(model); }), "adam.m (400 bytes)"));
  Device::capacity = capacity;
  CHECK(runtime::onload(model).moved == Parts(Part::optimizer_states));
  CHECK(model.whole());
}

TEST_CASE("gradient buffers that do not fit stay away") {
  Model model;
  runtime::offload(model);
  std::size_t const capacity = Device::capacity;
  Device::capacity = Device::used + 300;
  CHECK(says(failure([&] { runtime::onload(model); }),
             "gradients (400 bytes): std::bad_alloc (on the device: weights; on the host: "
             "main_weights, optimizer_states, gradient_buffers)"));
  CHECK(model.gradients.size() == 0);
  Device::capacity = capacity;
  runtime::onload(model);
  CHECK(model.whole());
}

TEST_CASE("models that name their memory wrongly are refused before anything moves") {
  Twice twice;
  CHECK(says(failure([&] { runtime::offload(twice); }),
             "names one storage twice, as weights weight and as main_weights main"));
  CHECK(twice.weight == std::vector<float>(4, 1.5F));

  Model model;
  runtime::offload(model);
  model.misnamed = true;
  Error const other = failure([&] { runtime::onload(model); });
  CHECK(says(other, "names adam.x where adam.m was at offload"));
  CHECK(says(other, "on the host: optimizer_states"));
  model.misnamed = false;
  model.second = Buffer<double>(3);
  CHECK(says(failure([&] { runtime::onload(model); }), "adam.v has 24 bytes of memory while"));
  model.second = {};
  runtime::onload(model);
  CHECK(model.whole());
}

TEST_CASE("a model may be moved while it is away") {
  Movable model;
  runtime::offload(model);
  Movable other(std::move(model));
  CHECK(other.weight.empty());
  runtime::onload(other);
  CHECK(other.weight == std::vector<float>(4, 1.5F));
}

TEST_CASE("gradients leave first and weights last; weights come back first, then gradients") {
  Watched model;
  runtime::offload(model);
  CHECK(NotingSpace::log == "-g-2-3-1");
  NotingSpace::log.clear();
  runtime::onload(model);
  CHECK(NotingSpace::log == "+1+g04+2+3");
}

TEST_CASE("models without offloads are left alone") {
  struct Plain {
  } plain;
  CHECK(runtime::offload(plain).moved.empty());
  CHECK(runtime::onload(plain).moved.empty());
  CHECK(runtime::memory_rows(plain).empty());
}
