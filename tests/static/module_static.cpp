// A module is its state and nothing else, and hooks are found whatever their form.
#include <rlhf/rlhf.hpp>

#include <optional>
#include <type_traits>

#include <archetypes/policies.hpp>

namespace {

using namespace rlhf::literals;
using rlhf::data::Mixture;
using rlhf::data::Ratios;

// What one would write by hand.
struct State {
  rlhf::Mesh mesh;
  rlhf::Step step;
  rlhf::Episode episode;
  int rank;
};
struct StateWithLayout {
  rlhf::Layout layout;
  rlhf::Mesh mesh;
  rlhf::Step step;
  rlhf::Episode episode;
  int rank;
};
template <class Data>
struct StateWithData {
  std::optional<rlhf::data::SamplerOf<Data>> sampler;
  rlhf::Mesh mesh;
  rlhf::Step step;
  rlhf::Episode episode;
  int rank;
};
template <class Data>
struct StateWithBoth {
  rlhf::Layout layout;
  std::optional<rlhf::data::SamplerOf<Data>> sampler;
  rlhf::Mesh mesh;
  rlhf::Step step;
  rlhf::Episode episode;
  int rank;
};
using Serve = rlhf::Grid<rlhf::Layout{.tensor = 4, .data = rlhf::Layout::any}>;
using Carry = rlhf::sync::TwoStage<256_MiB>;
using Draw = Mixture<Ratios<3, 1>>;

template <class Module, class ByHand>
constexpr bool same_size = sizeof(Module) == sizeof(ByHand) && alignof(Module) == alignof(ByHand);
static_assert(same_size<rlhf::Module<rlhf::Grid<>>, State>);
static_assert(same_size<rlhf::Module<Serve, Carry>, State>);
static_assert(same_size<rlhf::Module<archetype::Spread, archetype::Carry>, State>);
static_assert(same_size<rlhf::Module<rlhf::RuntimeGrid, Carry>, StateWithLayout>);
static_assert(same_size<rlhf::Module<Serve, Carry, Draw>, StateWithData<Draw>>);
static_assert(same_size<rlhf::Module<rlhf::RuntimeGrid, Carry, Draw>, StateWithBoth<Draw>>);
static_assert(same_size<rlhf::Module<archetype::Spread, archetype::Carry, archetype::Draws>,
                        StateWithData<archetype::Draws>>);

// No virtual functions, nothing that a hand-written struct would not have, a base that adds
// nothing.
static_assert(!std::is_polymorphic_v<rlhf::Module<Serve, Carry, Draw>>);
static_assert(!std::has_virtual_destructor_v<rlhf::Module<Serve, Carry, Draw>>);
static_assert(std::is_nothrow_move_constructible_v<rlhf::Module<Serve, Carry>>);
static_assert(std::is_copy_constructible_v<rlhf::Module<Serve, Carry>>);
struct Model : rlhf::Module<Serve, Carry> {
  using Module::Module;
  void setup() {}
  float weight[6];
};
struct ModelByHand : State {
  float weight[6];
};
static_assert(sizeof(Model) == sizeof(ModelByHand));
static_assert(!std::is_polymorphic_v<Model>);

// The data interface exists where there is data, the layout argument where it is not a constant.
template <class M>
concept CanDraw = requires(M& model, std::vector<rlhf::data::Draw>& out) {
  model.draw(out);
};
template <class M>
concept CanOpen = requires(M& model) {
  model.open_data(rlhf::data::SamplerOptions{});
};
static_assert(CanDraw<rlhf::Module<Serve, Carry, Draw>> &&
              CanOpen<rlhf::Module<Serve, Carry, Draw>>);
static_assert(!CanDraw<rlhf::Module<Serve, Carry>> && !CanOpen<rlhf::Module<Serve, Carry>>);
using rlhf::Layout;
using rlhf::Mesh;
static_assert(std::is_constructible_v<rlhf::Module<Serve>, Mesh, int>);
static_assert(!std::is_constructible_v<rlhf::Module<Serve>, Mesh, int, Layout>);
static_assert(!std::is_constructible_v<rlhf::Module<rlhf::RuntimeGrid>, Mesh, int>);
static_assert(std::is_constructible_v<rlhf::Module<rlhf::RuntimeGrid>, Mesh, int, Layout>);

// A static grid is a constant expression from end to end.
constexpr Layout grid = rlhf::Grid<Layout{.tensor = 2, .pipeline = 2, .data = 3}, 12>::layout;
static_assert(grid.ranks() == 12 && grid.ranks_per_replica() == 4);
static_assert(grid.coordinate(7).tensor == 1 && grid.coordinate(7).data == 0 &&
              grid.coordinate(7).pipeline == 1);
static_assert([] {
  for (int rank = 0; rank < grid.ranks(); ++rank) {
    if (grid.rank(grid.coordinate(rank)) != rank) {
      return false;
    }
  }
  return true;
}());
static_assert(Layout{.tensor = 2, .data = Layout::any}.on_ranks(6).data == 3);
static_assert(rlhf::replicas(grid, 12, rlhf::Role::inference).count == 3);
static_assert(rlhf::sync::due(2, 4) && !rlhf::sync::due(2, 5) && !rlhf::sync::due(0, 4));

// Hooks: none, public, private, overloaded, template, inherited, static, of a final class.
using Base = rlhf::Module<rlhf::Grid<>>;
struct WithoutHooks : Base {};
struct Overloaded : Base {
  void setup();
  void setup(int);
};
struct Template : Base {
  template <class T = int>
  void setup();
};
struct DefaultArgument : Base {
  int setup(int threads = 1);
};
struct Common {
  void setup();
};
struct Inherited : Base, Common {};
struct Static : Base {
  static void setup();
};
struct FunctionObject : Base {
  struct {
    void operator()() const {}
  } setup;
};
struct Final final : Base {
  void setup();
};
struct FinalOverloaded final : Base {
  void setup();
  void setup(int);
};
struct FinalTemplate final : Base {
  template <class T = int>
  void setup();
};
template <class M>
constexpr bool sets_up = rlhf::is_valid_model<M>&& rlhf::model_detail::has_setup<M>;
static_assert(!rlhf::is_valid_model<WithoutHooks>);
static_assert(sets_up<Overloaded> && sets_up<Template> && sets_up<DefaultArgument>);
static_assert(sets_up<Inherited> && sets_up<Static> && sets_up<FunctionObject>);
static_assert(sets_up<Final> && sets_up<FinalOverloaded> && sets_up<FinalTemplate>);

struct Private : Base {
 private:
  void setup();
};
struct PrivateOverloaded : Base {
  void setup(int);

 private:
  void setup();
};
struct PrivateTemplate : Base {
 private:
  template <class T>
  void setup(T);
};
struct InheritedPrivately : Base, private Common {};
struct FinalWrong final : Base {
  void setup(int);
};
struct Deleted : Base {
  void setup() = delete;
};
static_assert(!rlhf::is_valid_model<Private> && !rlhf::is_valid_model<PrivateOverloaded>);
static_assert(!rlhf::is_valid_model<PrivateTemplate> && !rlhf::is_valid_model<InheritedPrivately>);
static_assert(!rlhf::is_valid_model<FinalWrong> && !rlhf::is_valid_model<Deleted>);

// Near names.
struct Misspelt : Base {
  void validate();
  void setpu();
};
struct MisspeltOnPurpose : Base {
  static constexpr bool allow_near_names = true;
  void validate();
  void setpu();
};
struct MisspeltBesideTheHook : Base {
  void setup();
  void set_up();  // a helper: the hook is there
};
struct TypesAndData : Base {
  struct Setup {};  // a type is no function, and neither is a number
  int Validate = 0;
  void before_episode(rlhf::Episode);
};
struct FinalMisspelt final : Base {
  void validate();
  void setpu();
};
static_assert(!rlhf::is_valid_model<Misspelt> && !rlhf::is_valid_model<FinalMisspelt>);
static_assert(rlhf::is_valid_model<MisspeltOnPurpose>);
static_assert(rlhf::is_valid_model<MisspeltBesideTheHook>);
static_assert(rlhf::is_valid_model<TypesAndData>);

// Plain names are the user's: nothing of a module is shadowed by them (-Wshadow).
struct PlainNames
    : rlhf::Module<rlhf::RuntimeGrid, rlhf::sync::None, rlhf::data::RuntimeMixture<>> {
  using Module::Module;
  static int sum(int value, int sampler, int state, int mesh_size) {
    return value + sampler + state + mesh_size;
  }
  void setup() {}
};
static_assert(rlhf::is_valid_model<PlainNames>);

// Hooks that take batches, in any form that can be called so.
struct AutoBatches : Base {
  using Batch = int;
  auto train_step(auto batches, auto step) {
    return static_cast<double>(batches.size()) + 0.0 * static_cast<double>(step.value);
  }
  int forward_step(int batch, rlhf::Step) { return batch; }
  bool eval_step(int const&) const { return true; }
};
struct VoidMetrics : Base {
  using Batch = int;
  void train_step(std::span<int const>, rlhf::Step);
};
struct TakesMutableBatches : Base {
  using Batch = int;
  int train_step(std::span<int>, rlhf::Step);
};
struct NoBatchType : Base {
  int eval_step(int);
};
static_assert(rlhf::is_valid_model<AutoBatches>);
static_assert(!rlhf::is_valid_model<VoidMetrics> && !rlhf::is_valid_model<TakesMutableBatches>);
static_assert(!rlhf::is_valid_model<NoBatchType>);
static_assert(!rlhf::is_valid_model<int> && !rlhf::is_valid_model<Common>);

}  // namespace
