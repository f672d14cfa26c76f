#include <rlhf/core/error.hpp>
#include <rlhf/data/mapped_file.hpp>

#include <fstream>
#include <string>
#include <utility>

#define DOCTEST_CONFIG_VOID_CAST_EXPRESSIONS  // what is expected to throw returns values
#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unit/checkpoint/temporary_directory.hpp>

namespace data = rlhf::data;

TEST_CASE("a mapped file has the bytes of the file, also after a move and when it is replaced") {
  test::TemporaryDirectory const directory;
  std::string const path = directory / "file";
  std::ofstream(path) << "first\nsecond";
  data::MappedFile file(path);
  CHECK(file.content() == "first\nsecond");
  CHECK(file.path() == path);
  std::string_view const seen = file.content();
  data::MappedFile moved(std::move(file));
  CHECK(moved.content().data() == seen.data());
  std::ofstream(path + ".new") << "other";
  REQUIRE(std::rename((path + ".new").c_str(), path.c_str()) == 0);
  CHECK(moved.content() == "first\nsecond");
  moved = data::MappedFile(path);
  CHECK(moved.content() == "other");
}

TEST_CASE("an empty file is empty; what cannot be mapped is an error that names it") {
  test::TemporaryDirectory const directory;
  std::ofstream(directory / "empty").flush();
  CHECK(data::MappedFile(directory / "empty").content().empty());
  CHECK_THROWS_WITH_AS(data::MappedFile("/nowhere/file"),
                       doctest::Contains("cannot open /nowhere/file: No such file"), rlhf::Error);
  CHECK_THROWS_WITH_AS(data::MappedFile(directory.path()),
                       doctest::Contains("is not a regular file"), rlhf::Error);
  REQUIRE(::mkfifo((directory / "pipe").c_str(), 0600) == 0);
  CHECK_THROWS_WITH_AS(data::MappedFile(directory / "pipe"),  // and does not wait for a writer
                       doctest::Contains("pipe is not a regular file"), rlhf::Error);
}
