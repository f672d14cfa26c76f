#include <rlhf/core/error.hpp>
#include <rlhf/data/line_index.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

namespace data = rlhf::data;
using Lines = std::vector<std::string_view>;
using Numbers = std::vector<std::int64_t>;

namespace {

Lines lines_of(data::LineIndex const& index, std::string_view content) {
  Lines out;
  for (std::int64_t i = 0; i < index.size(); ++i) {
    out.push_back(index.line(content, i));
  }
  return out;
}
Numbers numbers_of(data::LineIndex const& index) {
  Numbers out;
  for (std::int64_t i = 0; i < index.size(); ++i) {
    out.push_back(index.line_number(i));
  }
  return out;
}

}  // namespace

TEST_CASE("lines end in LF or CRLF, the last one needs no end, blank ones are left out") {
  std::string_view const content = "\n \t\r\na\r\n\n\nbc \n  d\n\r\nlast";
  data::LineIndex const index(content);
  CHECK(lines_of(index, content) == Lines{"a", "bc ", "  d", "last"});
  CHECK(numbers_of(index) == Numbers{3, 6, 7, 9});
  CHECK(index.line_count() == 9);
}

TEST_CASE("texts without lines have none") {
  CHECK(data::LineIndex("").size() == 0);
  CHECK(data::LineIndex("", 4).line_count() == 0);
  CHECK(data::LineIndex("\n\n").size() == 0);
  CHECK(data::LineIndex("\n\n").line_count() == 2);
  CHECK(data::LineIndex("x").size() == 1);
  CHECK(data::LineIndex().size() == 0);
  CHECK_THROWS_AS(data::LineIndex("x", 0), rlhf::Error);
}

TEST_CASE("several threads find the same lines, wherever parts of the text meet") {
  // Several parts of at least a megabyte; one line is longer than a part.
  std::string content;
  for (int i = 0; i < 200'000; ++i) {
    content += std::string(static_cast<std::size_t>(i % 37), static_cast<char>('a' + i % 26));
    content += i % 11 == 0 ? "\r\n" : "\n";
    if (i == 90'000) {
      content += std::string(2'000'000, 'x') + '\n' + std::string(1'200'000, '\n');
    }
  }
  data::LineIndex const one(content);
  for (int const threads : {2, 3, 5, 8}) {
    data::LineIndex const several(content, threads);
    REQUIRE(several.size() == one.size());
    CHECK(lines_of(several, content) == lines_of(one, content));
    CHECK(several.line_count() == one.line_count());
    CHECK(numbers_of(several) == numbers_of(one));
  }
}

TEST_CASE("lines can be left out; the others keep their numbers") {
  std::string_view const content = "a\n\nb\nc\n\n\nd\ne\n";
  for (unsigned subset = 0; subset < 32; ++subset) {
    data::LineIndex index(content);
    Numbers const numbers = numbers_of(index);
    Lines const lines = lines_of(index, content);
    Numbers out;
    Numbers kept_numbers;
    Lines kept;
    for (std::size_t i = 0; i < 5; ++i) {
      if ((subset >> i & 1U) != 0) {
        out.push_back(static_cast<std::int64_t>(i));
      } else {
        kept_numbers.push_back(numbers[i]);
        kept.push_back(lines[i]);
      }
    }
    index.leave_out(out);
    CHECK(numbers_of(index) == kept_numbers);
    CHECK(index.line_count() == 8);
    // The text behind a line that is followed by one left out is not its own.
    CHECK(lines_of(index, content) == kept);
  }
}
