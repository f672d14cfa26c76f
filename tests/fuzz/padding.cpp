// Any rows and options are padded so that the rows can be had back, or refused with an Error; the
// same for packing and token budgets.
#include <rlhf/core/error.hpp>
#include <rlhf/data/micro_batch.hpp>
#include <rlhf/data/packing.hpp>
#include <rlhf/data/padding.hpp>
#include <rlhf/data/rows.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace data = rlhf::data;

namespace {

void expect(bool holds) {
  if (!holds) {
    std::abort();
  }
}

/// Takes values from the input until it is used up, then zeros.
class Input {
 public:
  Input(std::uint8_t const* bytes, std::size_t size) : bytes_(bytes), size_(size) {}
  template <class Value>
  Value take() {
    Value value{};
    std::size_t const count = sizeof value < size_ ? sizeof value : size_;
    if (count != 0) {
      std::memcpy(&value, bytes_, count);
    }
    bytes_ += count;
    size_ -= count;
    return value;
  }
  [[nodiscard]] bool empty() const { return size_ == 0; }

 private:
  std::uint8_t const* bytes_;
  std::size_t size_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
  Input input(bytes, size);
  data::Padding<std::int16_t> padding;
  padding.side = input.take<std::uint8_t>() % 2 == 0 ? data::PadSide::left : data::PadSide::right;
  padding.value = input.take<std::int16_t>();
  // Small numbers, mostly; any, sometimes. Results of more than a few megabytes are not made.
  std::uint8_t const wild = input.take<std::uint8_t>();
  padding.multiple_of =
      wild % 4 == 1 ? input.take<std::int64_t>() : std::int64_t{input.take<std::uint8_t>()} + 1;
  padding.width = wild % 4 == 2 ? input.take<std::int64_t>() : input.take<std::uint8_t>();
  std::int64_t const inner = input.take<std::uint8_t>() % 4 + 1;
  std::int64_t const budget =
      wild % 4 == 3 ? input.take<std::int64_t>() : input.take<std::uint8_t>();
  std::uint8_t const choice = input.take<std::uint8_t>();
  data::Rows<std::int16_t> rows(inner);
  while (!input.empty()) {
    std::vector<std::int16_t> row;
    for (int left = input.take<std::uint8_t>() % 64; left > 0; --left) {
      row.push_back(input.take<std::int16_t>());
    }
    try {
      rows.push_back(row);
    } catch (rlhf::Error const&) {
      expect(static_cast<std::int64_t>(row.size()) % inner != 0);
    }
  }
  bool const small = (padding.multiple_of < 4096 || padding.multiple_of > (INT64_C(1) << 40)) &&
                     (padding.width < 4096 || padding.width > (INT64_C(1) << 50));
  if (small) {
    try {
      data::Padded<std::int16_t> const padded = data::pad(rows, padding);
      expect(data::unpad(padded, padding.side) == rows);
      expect(static_cast<std::int64_t>(padded.values.size()) ==
             padded.rows * padded.width * padded.inner);
      expect(padded.width % padding.multiple_of == 0);
      static_cast<void>(data::mask_of(padded, padding.side));
    } catch (rlhf::Error const&) {
    }
  }
  std::vector<std::int64_t> const lengths = rows.lengths();
  data::Grouping const grouping =
      choice % 2 == 0 ? data::Grouping::in_order : data::Grouping::by_length;
  data::TokenCost const cost = choice / 2 % 2 == 0 ? data::TokenCost::sum : data::TokenCost::padded;
  try {
    data::Rows<std::int64_t> const groups = data::micro_batches_by_tokens(
        lengths,
        {.tokens = budget, .cost = cost, .grouping = grouping, .at_least = choice / 4 % 8});
    expect(groups.positions() == rows.size());
    for (std::int64_t g = 0; g < groups.size(); ++g) {
      expect(data::cost_of(lengths, groups[g], cost) <= budget);
    }
  } catch (rlhf::Error const&) {
  }
  if (budget < 4096 || budget > INT32_MAX) {
    try {
      data::PackPlan const plan = data::plan_packing(lengths, budget, grouping);
      expect(data::unpack(data::pack(rows, plan), plan, inner) == rows);
      expect(plan.unused() >= 0);
    } catch (rlhf::Error const&) {
    }
  }
  return 0;
}
