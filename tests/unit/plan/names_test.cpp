// Rules that rename parameters, and what is wrong with some.
#include <rlhf/plan/names.hpp>

#include <string>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

namespace plan = rlhf::plan;

namespace {

plan::Placement of(std::initializer_list<char const*> names) {
  plan::Placement out;
  for (char const* const name : names) {
    out.parameters.push_back({name, rlhf::DType::f32, {4}, 0});
  }
  return out;
}

}  // namespace

TEST_CASE("words take the longest piece that fits, the first word first") {
  plan::NameMap const names{{"a.{x}{y}.w", "{y}/{x}"}, {"{l}-{l2}-end", "{l2}.{l}"}};
  CHECK(names("a.bcd.w") == "d/bc");
  CHECK(names("1-2-3-end") == "3.1-2");
  CHECK(names("a.b.w") == "a.b.w");
  CHECK(names("a.b.c.w") == "a.b.c.w");
}

TEST_CASE("many words in a row do not try every way of cutting a name") {
  std::string pattern;
  for (int word = 0; word < 13; ++word) {
    pattern += rlhf::text("{w", word, "}");
  }
  plan::NameMap const names{{pattern + "!", "x"}};
  CHECK(names(std::string(400, 'a')) == std::string(400, 'a'));
  CHECK(names(std::string(400, 'a') + "!") == "x");
}

TEST_CASE("braces must come in pairs") {
  for (char const* const wrong : {"x}", "{a", "{a{b}", "{a}}", "}{a}"}) {
    CAPTURE(wrong);
    CHECK_THROWS_WITH_AS((plan::NameMap{{wrong, "y"}}), doctest::Contains(": a brace is"),
                         rlhf::Error);
    CHECK_THROWS_WITH_AS((plan::NameMap{{"{a}", wrong}}), doctest::Contains(": a brace is"),
                         rlhf::Error);
  }
}

TEST_CASE("a rule that applies to nothing is named") {
  plan::Placement placed = of({"a", "b"});
  CHECK_THROWS_WITH_AS(plan::rename(placed, plan::NameMap{{"zzz", "c"}}),
                       doctest::Contains("name rule zzz -> c: no source parameter"), rlhf::Error);
  placed = of({"a", "b"});
  CHECK_THROWS_WITH_AS(plan::rename(placed, plan::NameMap{{"{x}", "n.{x}"}, {"b", "c"}}),
                       doctest::Contains("name rule b -> c"), rlhf::Error);
  placed = of({"a", "b"});
  plan::rename(placed, plan::NameMap{{"b", "c"}});
  CHECK(placed.parameters[1].name == "c");
}
