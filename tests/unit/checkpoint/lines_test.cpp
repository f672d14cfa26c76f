#include <rlhf/checkpoint/file.hpp>
#include <rlhf/checkpoint/lines.hpp>
#include <rlhf/core/error.hpp>

#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <unit/checkpoint/temporary_directory.hpp>

namespace checkpoint = rlhf::checkpoint;
using Lines = std::vector<std::string>;

namespace {
Lines lines_of(std::string const& content) {
  test::TemporaryDirectory const directory;
  checkpoint::write_atomically(directory / "file", checkpoint::as_bytes(content));
  Lines out;
  checkpoint::for_each_line(directory / "file",
                            [&](std::string_view line) { out.emplace_back(line); });
  return out;
}
}  // namespace

TEST_CASE("lines end in LF, CRLF or the end of the file") {
  CHECK(lines_of("").empty());
  CHECK(lines_of("a") == Lines{"a"});
  CHECK(lines_of("a\n") == Lines{"a"});
  CHECK(lines_of("a\r\nb\n\nc\r") == Lines{"a", "b", "", "c"});
  CHECK(lines_of("\n\n") == Lines{"", ""});
}

TEST_CASE("lines may be longer than what is read at a time, and begin anywhere in it") {
  Lines expected;
  std::string content;
  for (std::size_t i = 0; i < 60; ++i) {
    expected.emplace_back(i * 997 * (i % 7), static_cast<char>('a' + i % 26));
    content += expected.back() + "\n";
  }
  expected.emplace_back(700'000, 'z');
  content += expected.back();
  CHECK(lines_of(content) == expected);
}

TEST_CASE("a file that cannot be read is an error that names it") {
  auto const ignore = [](std::string_view) {};
  CHECK_THROWS_WITH_AS(checkpoint::for_each_line("/nowhere/at/all", ignore),
                       doctest::Contains("cannot open /nowhere/at/all: No such file"), rlhf::Error);
  CHECK_THROWS_WITH_AS(checkpoint::for_each_line("/", ignore), doctest::Contains("Is a directory"),
                       rlhf::Error);
}
