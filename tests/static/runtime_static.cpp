// What of the runtime layer costs nothing, and what may be published.
#include <rlhf/runtime/clock.hpp>
#include <rlhf/runtime/log.hpp>
#include <rlhf/runtime/metrics.hpp>
#include <rlhf/runtime/nvtx.hpp>
#include <rlhf/runtime/storage_exchange.hpp>
#include <rlhf/runtime/timers.hpp>
#include <rlhf/runtime/trace.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

namespace {

namespace runtime = rlhf::runtime;

static_assert(std::is_empty_v<runtime::SteadyClock>);
static_assert(std::is_empty_v<runtime::NvtxRange>);
static_assert(sizeof(runtime::TraceEvent) == 40);
static_assert(std::is_trivially_copyable_v<runtime::TraceEvent>);
static_assert(!std::is_polymorphic_v<runtime::Timers> && !std::is_polymorphic_v<runtime::Metrics>);
static_assert(!std::is_copy_constructible_v<runtime::Timers::Scope>);
static_assert(!std::is_move_constructible_v<runtime::Timers::Scope>);
static_assert(std::is_copy_constructible_v<runtime::Metrics>);

struct Plain {
  double rate;
  std::int32_t steps[4];
};
struct Columns {
  rlhf::data::Rows<float> rows;
  std::vector<std::int64_t> index;
  template <class Visit>
  void columns(Visit&& visit) {
    visit("rows", rows);
    visit("index", index);
  }
};
static_assert(runtime::Publishable<int>);
static_assert(runtime::Publishable<Plain>);
static_assert(runtime::Publishable<std::string>);
static_assert(runtime::Publishable<std::vector<Plain>>);
static_assert(runtime::Publishable<std::vector<std::string>>);
static_assert(runtime::Publishable<rlhf::data::Rows<float>>);
static_assert(runtime::Publishable<Columns>);
static_assert(!runtime::Publishable<float*>);
static_assert(!runtime::Publishable<std::vector<float*>>);
static_assert(!runtime::Publishable<std::unique_ptr<int>>);
static_assert(!runtime::Publishable<std::vector<std::vector<int>>>);

}  // namespace
