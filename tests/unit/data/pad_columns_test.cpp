#include <rlhf/core/error.hpp>
#include <rlhf/data/pad_columns.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <unit/data/rollout.hpp>

namespace data = rlhf::data;
using data::PadSide;

namespace {

struct Seen {
  data::Padded<std::int32_t> tokens;
  data::Padded<float> hidden;
  std::vector<float> reward;
  std::vector<std::string> text;

  void operator()(std::string_view, data::Padded<std::int32_t> const& column) { tokens = column; }
  void operator()(std::string_view, data::Padded<float> const& column) { hidden = column; }
  void operator()(std::string_view, std::vector<float> const& column) { reward = column; }
  void operator()(std::string_view, std::vector<std::string> const& column) { text = column; }
};

}  // namespace

TEST_CASE("columns are padded as their names ask for; the last word counts") {
  test::Rollout const batch = test::rollout({{1, 2, 3}, {4}}, 0);
  Seen seen;
  std::vector<data::ColumnPadding> const paddings{{"tokens", 7, PadSide::right},
                                                  {"tokens", -1, PadSide::left, 2}};
  data::pad_columns(batch, paddings, seen);
  CHECK(seen.tokens.values == std::vector<std::int32_t>{-1, 1, 2, 3, -1, -1, -1, 4});
  CHECK(seen.hidden == data::pad(batch.hidden));
  CHECK(seen.reward == batch.reward);
  CHECK(seen.text == batch.text);
}

TEST_CASE("names that are no column of rows, and values that do not fit, are refused") {
  test::Rollout const batch = test::rollout({{1, 2, 3}, {4}}, 0);
  auto const refusal = [&](data::ColumnPadding const& padding) {
    Seen seen;
    std::vector<data::ColumnPadding> const paddings{padding};
    try {
      data::pad_columns(batch, paddings, seen);
    } catch (rlhf::Error const& error) {
      return std::string(error.message());
    }
    return std::string();
  };
  CHECK(refusal({"token"}) ==
        "there is a padding for token, which is no column of rows of the batch");
  CHECK(refusal({"reward"}).find("is no column of rows") != std::string::npos);
  CHECK(refusal({"tokens", 0.5}) ==
        "the column tokens cannot be padded with 0.5; its type lacks it");
  CHECK(refusal({"tokens", 3e9}) != "");
  CHECK(refusal({"tokens", 2147483648.0}) != "");
  CHECK(refusal({"tokens", 2147483647.0}) == "");
  CHECK(refusal({"tokens", -2147483648.0}) == "");
  CHECK(refusal({"tokens", -2147483649.0}) != "");
  CHECK(refusal({"tokens", 0.0 / 0.0}) != "");
  CHECK(refusal({"hidden", 0.5}) == "");
  CHECK(refusal({"hidden", 0.1}) == "");
  CHECK(refusal({"hidden", 1e300}).find("cannot be padded with 1e+300") != std::string::npos);
  CHECK(refusal({"hidden", -1e300}) != "");
  double const most = static_cast<double>(std::numeric_limits<float>::max());
  CHECK(refusal({"hidden", most}) == "");
  CHECK(refusal({"hidden", -most}) == "");
  CHECK(refusal({"hidden", std::nextafter(most, 1e300)}) != "");
  CHECK(refusal({"hidden", std::numeric_limits<double>::infinity()}) == "");
  CHECK(refusal({"hidden", -std::numeric_limits<double>::infinity()}) == "");
  CHECK(refusal({"hidden", std::numeric_limits<double>::quiet_NaN()}) == "");
}
