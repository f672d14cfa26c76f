#include <rlhf/data/concepts.hpp>
#include <rlhf/data/in_memory.hpp>

#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace data = rlhf::data;

static_assert(data::Dataset<data::InMemory<std::string>>);

TEST_CASE("items in memory come as they are, without a copy") {
  data::InMemory<std::string> const dataset({"a", "b"});
  CHECK(dataset.size() == 2);
  CHECK(dataset[1] == "b");
  CHECK(&dataset[1] == &dataset[1]);
  CHECK(data::InMemory<int>().size() == 0);
}
