#include <rlhf/data/fingerprint.hpp>
#include <rlhf/data/in_memory.hpp>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace data = rlhf::data;
using Strings = data::InMemory<std::string>;

TEST_CASE("sampled positions are distinct, in order, and hold both ends") {
  for (std::int64_t const size : {1, 2, 5, 255, 256, 257, 1000, 123'456'789}) {
    std::int64_t const samples = size < 256 ? size : 256;
    std::int64_t last = -1;
    for (std::int64_t k = 0; k < samples; ++k) {
      std::int64_t const at = data::sampled_position(size, samples, k);
      CHECK(at > last);
      CHECK(at < size);
      last = at;
    }
    CHECK(data::sampled_position(size, samples, 0) == 0);
    CHECK(last == size - 1);
  }
}

TEST_CASE("the fingerprint of a dataset is the same everywhere") {
  // Checkpoints hold it, so these values never change.
  CHECK(Strings(std::vector<std::string>{}).fingerprint() ==
        data::InMemory<int>(std::vector<int>{}).fingerprint());
  Strings const three(std::vector<std::string>{"a", "", "prompt"});
  CHECK(three.fingerprint() == 0x137b95733625ada4ULL);
  CHECK(data::sampled_fingerprint(1000, [](std::int64_t i) { return std::to_string(i); }) ==
        0x5eecdd75fe980b60ULL);
}

TEST_CASE("datasets of one item more, or of other items, have other fingerprints") {
  std::set<std::uint64_t> seen;
  std::vector<std::string> items{"a", "b", "c"};
  CHECK(seen.insert(Strings(items).fingerprint()).second);
  items.push_back("d");
  CHECK(seen.insert(Strings(items).fingerprint()).second);
  items[1] = "B";
  CHECK(seen.insert(Strings(items).fingerprint()).second);
  items = {"ab", "", "c", "d"};  // the same bytes, other borders
  CHECK(seen.insert(Strings(items).fingerprint()).second);
  items = {"a", "b", "c", "d"};
  std::swap(items[2], items[3]);
  CHECK(seen.insert(Strings(items).fingerprint()).second);
  CHECK(seen.insert(data::InMemory<std::vector<int>>({{1, 2}, {3}}).fingerprint()).second);
  CHECK(seen.insert(data::InMemory<std::vector<int>>({{1}, {2, 3}}).fingerprint()).second);
  CHECK(seen.insert(data::InMemory<double>({1.0, 2.0}).fingerprint()).second);
  CHECK(seen.insert(data::InMemory<double>({1.0, -2.0}).fingerprint()).second);
}

TEST_CASE("of long items the length, the beginning and the end count") {
  std::string const item(20'000, 'x');
  auto const print = [&](std::size_t at) {
    std::string changed = item;
    if (at < changed.size()) {
      changed[at] = 'y';
    }
    return Strings(std::vector<std::string>{changed}).fingerprint();
  };
  std::uint64_t const whole = print(item.size());
  CHECK(print(0) != whole);
  CHECK(print(4095) != whole);
  CHECK(print(4096) == whole);  // as documented
  CHECK(print(20'000 - 4097) == whole);
  CHECK(print(20'000 - 4096) != whole);
  CHECK(print(19'999) != whole);
  CHECK(Strings(std::vector<std::string>{item + 'x'}).fingerprint() != whole);
}

TEST_CASE("items of other types say what their bytes are; lists of datasets give lists") {
  struct Prompt {
    std::string text;
    double weight;
  };
  static_assert(!data::HasFingerprint<data::InMemory<Prompt>>);
  static_assert(data::HasFingerprint<Strings>);
  auto const text = [](Prompt const& prompt) -> std::string const& { return prompt.text; };
  data::InMemory<Prompt> const prompts({{"a", 1}, {"b", 2}});
  CHECK(prompts.fingerprint(text) == Strings(std::vector<std::string>{"a", "b"}).fingerprint());
  std::vector<Strings> const sets{Strings(std::vector<std::string>{"a"}),
                                  Strings(std::vector<std::string>{"b", "c"})};
  CHECK(data::sizes_of(sets) == std::vector<std::int64_t>{1, 2});
  CHECK(data::fingerprints_of(sets) ==
        std::vector<std::uint64_t>{sets[0].fingerprint(), sets[1].fingerprint()});
}
