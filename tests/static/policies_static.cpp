// Policies are constants: empty, trivial, without virtual functions; and what is no policy is not
// taken for one.
#include <rlhf/rlhf.hpp>

#include <type_traits>

#include <archetypes/policies.hpp>

namespace policies_static {

using namespace rlhf::literals;

template <class P>
constexpr bool costs_nothing = std::is_empty_v<P>&& std::is_final_v<P>&& std::is_trivial_v<P> &&
                               !std::is_polymorphic_v<P> && std::is_standard_layout_v<P>;

static_assert(costs_nothing<rlhf::Grid<>>);
static_assert(costs_nothing<rlhf::Grid<rlhf::Layout{.tensor = 4, .pipeline = 2}, 8>>);
static_assert(costs_nothing<rlhf::RuntimeGrid>);
static_assert(costs_nothing<rlhf::sync::Broadcast<>>);
static_assert(costs_nothing<rlhf::sync::PointToPoint<1_MiB, 4>>);
static_assert(costs_nothing<rlhf::sync::TwoStage<256_MiB>>);
static_assert(costs_nothing<rlhf::sync::None>);
static_assert(costs_nothing<rlhf::data::Mixture<rlhf::data::Ratios<3, 1>>>);
static_assert(costs_nothing<rlhf::data::RuntimeMixture<>>);
static_assert(costs_nothing<rlhf::data::None>);
static_assert(costs_nothing<rlhf::data::TorchOrder>);
static_assert(costs_nothing<rlhf::data::SequentialOrder>);
static_assert(costs_nothing<rlhf::data::KeyedOrder>);
static_assert(costs_nothing<rlhf::data::Mixture<rlhf::data::Weights<7, 3>>>);

// ParallelPolicy
struct Nothing final {};
struct WithState final {
  static constexpr rlhf::Layout layout{};
  int state = 0;
};
struct NotConstant final {
  inline static rlhf::Layout layout{};
};
struct NotALayout final {
  static constexpr int layout = 2;
};
struct TurnedOff final {
  static constexpr bool layout_at_run_time = false;
};
static_assert(rlhf::parallel::ParallelPolicy<rlhf::Grid<>>);
static_assert(rlhf::parallel::ParallelPolicy<rlhf::RuntimeGrid>);
static_assert(rlhf::parallel::ParallelPolicy<archetype::Spread>);
static_assert(rlhf::parallel::ParallelPolicy<archetype::LateSpread>);
static_assert(!rlhf::parallel::ParallelPolicy<Nothing>);
static_assert(!rlhf::parallel::ParallelPolicy<WithState>);
static_assert(!rlhf::parallel::ParallelPolicy<NotConstant>);
static_assert(!rlhf::parallel::ParallelPolicy<NotALayout>);
static_assert(!rlhf::parallel::ParallelPolicy<TurnedOff>);
static_assert(!rlhf::parallel::ParallelPolicy<int>);
static_assert(!rlhf::parallel::ParallelPolicy<rlhf::Layout>);

using rlhf::Grid;
using rlhf::Layout;
using rlhf::parallel::is_valid_policy;
static_assert(is_valid_policy<Grid<Layout{.tensor = 2, .data = 2}, 4>>);
static_assert(is_valid_policy<Grid<Layout{.tensor = 2, .data = Layout::any}, 6>>);
static_assert(is_valid_policy<Grid<Layout{.tensor = 2, .expert = 2, .fsdp = 2}>>);
static_assert(!is_valid_policy<Grid<Layout{.tensor = 0}>>);
static_assert(!is_valid_policy<Grid<Layout{.data = -1}>>);
static_assert(!is_valid_policy<Grid<Layout{.tensor = 2, .zero = 2}>>);
static_assert(!is_valid_policy<Grid<Layout{.fsdp = 2, .zero = 2}>>);
static_assert(!is_valid_policy<Grid<Layout{.tensor = 3, .data = Layout::any}, 4>>);
static_assert(!is_valid_policy<Grid<Layout{.tensor = 2, .data = 2}, 8>>);
static_assert(!is_valid_policy<Grid<Layout{.tensor = 8}, 4>>);

// SyncPolicy
struct RouteOnly final {
  static constexpr auto route = rlhf::plan::Route::broadcast;
  static constexpr auto source_choice = rlhf::plan::SourceChoice::paired;
};
struct CarryWithState final {
  static constexpr auto route = rlhf::plan::Route::broadcast;
  static constexpr auto source_choice = rlhf::plan::SourceChoice::paired;
  static constexpr rlhf::Bytes bucket_bytes{256};
  static constexpr int frequency = 1;
  int syncs = 0;
};
struct CarryNotConstant final {
  static constexpr auto route = rlhf::plan::Route::broadcast;
  static constexpr auto source_choice = rlhf::plan::SourceChoice::paired;
  static constexpr rlhf::Bytes bucket_bytes{256};
  inline static int frequency = 1;
};
static_assert(rlhf::sync::SyncPolicy<rlhf::sync::Broadcast<>>);
static_assert(rlhf::sync::SyncPolicy<rlhf::sync::PointToPoint<>>);
static_assert(rlhf::sync::SyncPolicy<rlhf::sync::TwoStage<>>);
static_assert(rlhf::sync::SyncPolicy<rlhf::sync::None>);
static_assert(rlhf::sync::SyncPolicy<archetype::Carry>);
static_assert(!rlhf::sync::SyncPolicy<Nothing>);
static_assert(!rlhf::sync::SyncPolicy<RouteOnly>);
static_assert(!rlhf::sync::SyncPolicy<CarryWithState>);
static_assert(!rlhf::sync::SyncPolicy<CarryNotConstant>);
static_assert(!rlhf::sync::SyncPolicy<rlhf::Grid<>>);
static_assert(!rlhf::sync::is_valid_policy<rlhf::sync::Broadcast<100_B>>);
static_assert(!rlhf::sync::is_valid_policy<rlhf::sync::Broadcast<0_B>>);
static_assert(!rlhf::sync::is_valid_policy<rlhf::sync::TwoStage<1_MiB, -1>>);
static_assert(rlhf::sync::is_valid_policy<rlhf::sync::TwoStage<1_MiB, 0>>);

// DataPolicy
struct DrawsWithState final {
  using Order = rlhf::data::TorchOrder;
  static constexpr int dataset_count = 0;
  static constexpr auto exhausted = rlhf::data::Exhausted::cycle;
  int drawn = 0;
};
static_assert(rlhf::data::DataPolicy<rlhf::data::Mixture<rlhf::data::Ratios<3, 1>>>);
static_assert(rlhf::data::DataPolicy<rlhf::data::RuntimeMixture<>>);
static_assert(rlhf::data::DataPolicy<rlhf::data::None>);
static_assert(rlhf::data::DataPolicy<archetype::Draws>);
static_assert(!rlhf::data::DataPolicy<Nothing>);
static_assert(!rlhf::data::DataPolicy<DrawsWithState>);
static_assert(!rlhf::data::DataPolicy<rlhf::data::Mixture<rlhf::data::Ratios<-1, 1>>>);
static_assert(!rlhf::data::DataPolicy<rlhf::data::Mixture<rlhf::data::Ratios<0, 0>>>);
static_assert(rlhf::data::DataPolicy<rlhf::data::Mixture<rlhf::data::Weights<7, 3>>>);
static_assert(rlhf::data::DataPolicy<archetype::DrawsByWeight>);
static_assert(!rlhf::data::DataPolicy<rlhf::data::Mixture<rlhf::data::Weights<-1, 1>>>);
static_assert(!rlhf::data::DataPolicy<rlhf::data::Mixture<rlhf::data::Weights<0, 0>>>);
static_assert(!rlhf::data::DataPolicy<rlhf::sync::None>);
static_assert(rlhf::data::OrderPolicy<rlhf::data::KeyedOrder>);
static_assert(rlhf::data::OrderPolicy<archetype::Backwards>);
static_assert(!rlhf::data::OrderPolicy<Nothing>);
static_assert(rlhf::data::Dataset<archetype::Prompts>);
static_assert(!rlhf::data::Dataset<Nothing>);

// A triple is valid if all three are.
template <class P, class S, class D>
constexpr bool fits = rlhf::is_valid_module<P, S, D>;
static_assert(fits<rlhf::Grid<>, rlhf::sync::None, rlhf::data::None>);
static_assert(fits<archetype::Spread, archetype::Carry, archetype::Draws>);
static_assert(!fits<Nothing, rlhf::sync::None, rlhf::data::None>);
static_assert(!fits<rlhf::Grid<>, Nothing, rlhf::data::None>);
static_assert(!fits<rlhf::Grid<>, rlhf::sync::None, Nothing>);
static_assert(!fits<rlhf::sync::None, rlhf::Grid<>, rlhf::data::None>, "in the wrong order");

}  // namespace policies_static
