#include <rlhf/core/nearest.hpp>

#include <string>
#include <string_view>

#include <doctest/doctest.h>

TEST_CASE("changes of one letter are counted") {
  CHECK(rlhf::letters_apart("", "") == 0);
  CHECK(rlhf::letters_apart("shard", "") == 5);
  CHECK(rlhf::letters_apart("", "shard") == 5);
  CHECK(rlhf::letters_apart("shard", "shards") == 1);
  CHECK(rlhf::letters_apart("sahrd", "shard") == 2);
  CHECK(rlhf::letters_apart("kitten", "sitting") == 3);
}

TEST_CASE("the nearest word is the first of the nearest") {
  std::string_view const known[] = {"tensor", "pipeline", "expert", "export"};
  CHECK(rlhf::nearest("tenser", known) == "tensor");
  CHECK(rlhf::nearest("pipelines", known) == "pipeline");
  CHECK(rlhf::nearest("expart", known) == "expert");
  CHECK(rlhf::nearest("", known) == "tensor");
  CHECK(rlhf::nearest("tensor", {}).empty());
  CHECK(rlhf::nearest("tenser" + std::string(100000, 'x'), known) == "tensor");
}
