// Hooks: called with the right arguments, counted, and left alone where a model does not define
// them.
#include <rlhf/rlhf.hpp>

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace {

using rlhf::Episode;
using rlhf::Grid;
using rlhf::Mesh;
using rlhf::Module;
using rlhf::Step;
namespace hook = rlhf::hook;

struct Metrics {
  double loss = 0;
  std::vector<int> tokens;
};

/// Defines every hook and writes down what it is called with.
struct Everything : Module<Grid<>> {
  using Module::Module;
  using Batch = std::vector<int>;
  std::string log;

  void setup() { log += "setup;"; }
  void validate() { log += "validate;"; }
  void before_episode(Episode e) { log += rlhf::text("before ", e.value, ";"); }
  void after_episode(Episode e) { log += rlhf::text("after ", e.value, ";"); }
  Batch const& forward_step(Batch const& batch, Step s) {
    log += rlhf::text("forward ", s.value, ";");
    return batch;
  }
  Metrics train_step(std::span<Batch const> batches, Step s) {
    log += rlhf::text("train ", batches.size(), " at ", s.value, ";");
    return {0.5, batches.empty() ? Batch{} : batches[0]};
  }
  bool eval_step(Batch const& batch) {
    log += "eval;";
    return !batch.empty();
  }
  void save_checkpoint(Step s) { log += rlhf::text("save ", s.value, ";"); }
  void load_checkpoint(Step s) { log += rlhf::text("load ", s.value, ";"); }
  std::vector<std::string> prompts;
  struct Prompts {
    std::vector<std::string> texts;
    std::int64_t size() const { return std::ssize(texts); }
    std::string const& operator[](std::int64_t i) const {
      return texts[static_cast<std::size_t>(i)];
    }
  };
  Prompts build_dataset(std::span<std::string const> texts, rlhf::Purpose purpose) {
    log += purpose == rlhf::Purpose::training ? "build training;" : "build evaluation;";
    return {{texts.begin(), texts.end()}};
  }
};

template <class M>
M make() {
  return M(Mesh::range(0, 1), 0);
}

TEST_CASE("every hook is called with what it is documented to get") {
  auto model = make<Everything>();
  std::vector<int> const batch{1, 2};
  std::array<std::vector<int>, 2> const batches{batch, batch};
  hook::setup(model);
  hook::validate(model);
  hook::before_episode(model);
  CHECK(&hook::forward_step(model, batch) == &batch);  // references are passed through
  Metrics const metrics = hook::train_step(model, batches);
  CHECK(metrics.loss == 0.5);
  CHECK(metrics.tokens == batch);
  CHECK(hook::train_step(model, std::span(batches).first(1)).tokens == batch);
  CHECK(hook::eval_step(model, batch));
  hook::save_checkpoint(model);
  hook::after_episode(model);
  hook::before_episode(model);
  hook::load_checkpoint(model, Step{40});
  std::vector<std::string> const texts{"a", "b"};
  CHECK(hook::build_dataset(model, texts, rlhf::Purpose::evaluation)[1] == "b");
  CHECK(model.log ==
        "setup;validate;before 0;forward 0;train 2 at 0;train 1 at 1;eval;save 2;after 0;before "
        "1;load 40;build evaluation;");
}

TEST_CASE("train_step counts steps, after_episode counts episodes, nothing else counts") {
  auto model = make<Everything>();
  std::vector<int> const batch;
  hook::forward_step(model, batch);
  hook::eval_step(model, batch);
  hook::save_checkpoint(model);
  hook::load_checkpoint(model, Step{9});
  hook::before_episode(model);
  CHECK(model.step() == Step{0});
  CHECK(model.episode() == Episode{0});
  hook::train_step(model, {});
  CHECK(model.step() == Step{1});
  CHECK(model.episode() == Episode{0});
  hook::after_episode(model);
  CHECK(model.step() == Step{1});
  CHECK(model.episode() == Episode{1});
  model.resume(Step{40}, Episode{10});
  hook::train_step(model, {});
  hook::after_episode(model);
  CHECK(model.step() == Step{41});
  CHECK(model.episode() == Episode{11});
}

TEST_CASE("a step or episode whose hook throws is not counted") {
  struct Throws : Module<Grid<>> {
    using Module::Module;
    using Batch = int;
    int train_step(std::span<int const>, Step) { throw rlhf::Error(rlhf::Errc::io, "no"); }
    void after_episode(Episode) { throw rlhf::Error(rlhf::Errc::io, "no"); }
  };
  auto model = make<Throws>();
  CHECK_THROWS_AS(hook::train_step(model, {}), rlhf::Error);
  CHECK_THROWS_AS(hook::after_episode(model), rlhf::Error);
  CHECK(model.step() == Step{0});
  CHECK(model.episode() == Episode{0});
}

TEST_CASE("absent hooks do nothing; episodes are counted all the same") {
  struct OnlyTrains : Module<Grid<>> {
    using Module::Module;
    using Batch = int;
    std::unique_ptr<int> train_step(std::span<int const>, Step) { return std::make_unique<int>(3); }
  };
  auto model = make<OnlyTrains>();
  hook::setup(model);
  hook::validate(model);
  hook::before_episode(model);
  hook::save_checkpoint(model);
  hook::load_checkpoint(model, Step{3});
  CHECK(model.step() == Step{0});
  CHECK(*hook::train_step(model, {}) == 3);  // metrics that can only be moved
  hook::after_episode(model);
  CHECK(model.step() == Step{1});
  CHECK(model.episode() == Episode{1});
}

/// Hooks in the forms that a program may give them.
struct Common {
  int setups = 0;
  void setup() { ++setups; }
};
struct Inherits : Module<Grid<>>, Common {
  using Module::Module;
};
template <class Derived>
struct Mixin : Module<Grid<>> {
  using Module<Grid<>>::Module;
  int setups = 0;
  void setup() { setups += static_cast<Derived&>(*this).amount(); }
};
struct ByMixin : Mixin<ByMixin> {
  using Mixin::Mixin;
  int amount() const { return 1; }
};
struct Overloaded : Module<Grid<>> {
  using Module::Module;
  int setups = 0;
  void setup() { ++setups; }
  void setup(int) { setups = -100; }
};
struct Template : Module<Grid<>> {
  using Module::Module;
  int setups = 0;
  template <class T = int>
  void setup(T by = 1) {
    setups += by;
  }
};
struct Final final : Module<Grid<>> {
  using Module::Module;
  int setups = 0;
  void setup() { ++setups; }
};
struct FinalOverloaded final : Module<Grid<>> {
  using Module::Module;
  int setups = 0;
  void setup() { ++setups; }
  void setup(int) { setups = -100; }
};
struct FinalTemplate final : Module<Grid<>> {
  using Module::Module;
  int setups = 0;
  template <class T = int>
  void setup(T by = 1) {
    setups += by;
  }
};
struct Virtual
    : Module<Grid<>> {  // a user may have virtual functions; the library calls through them
  using Module::Module;
  virtual ~Virtual() = default;
  int setups = 0;
  virtual void setup() { setups = -100; }
};
struct Overrides : Virtual {
  using Virtual::Virtual;
  void setup() override { ++setups; }
};

TEST_CASE_TEMPLATE("hooks are found whatever their form", M, Inherits, ByMixin, Overloaded,
                   Template, Final, FinalOverloaded, FinalTemplate, Overrides) {
  M model(Mesh::range(0, 1), 0);
  hook::setup(model);
  CHECK(model.setups == 1);
  hook::validate(model);
  CHECK(model.setups == 1);
}

struct Steps final : Module<Grid<>> {
  using Module::Module;
  using Batch = int;
  auto forward_step(auto const& batch, auto step) { return batch + static_cast<int>(step.value); }
  long forward_step(char const*) { return -1; }
};

TEST_CASE("overloads that fit are called, others are left alone") {
  auto model = make<Steps>();
  model.resume(Step{5}, Episode{});
  CHECK(hook::forward_step(model, 2) == 7);
}

struct OnPurpose : Module<Grid<>> {
  using Module::Module;
  static constexpr bool allow_near_names = true;
  int set_ups = 0;
  void set_up() { ++set_ups; }
  void validate() {}
};

TEST_CASE("a model may opt out of the check of names") {
  auto model = make<OnPurpose>();
  hook::setup(model);
  CHECK(model.set_ups == 0);
}

}  // namespace
