#include <rlhf/checkpoint/archive.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/core/rng.hpp>
#include <rlhf/tensor/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace checkpoint = rlhf::checkpoint;

namespace {

std::vector<std::byte> archive() {
  std::vector<float> weight{1, 2, 3, 4, 5, 6};
  std::vector<std::int64_t> step{7};
  checkpoint::ArchiveWriter writer;
  writer.add("layer.weight", rlhf::view(weight, {2, 3}));
  writer.add("step", rlhf::view(step, {}));
  writer.add("rng", std::as_bytes(std::span(weight)).first(5));
  writer.add("nothing", std::span<std::byte const>());
  return writer.finish();
}
/// Puts the right checksum behind changed content.
void seal(std::vector<std::byte>& bytes) {
  std::uint64_t const sum =
      checkpoint::checksum(std::span<std::byte const>(bytes).first(bytes.size() - 8));
  std::memcpy(bytes.data() + bytes.size() - 8, &sum, 8);
}

}  // namespace

TEST_CASE("tensors and blobs come back by name") {
  std::vector<std::byte> const bytes = archive();
  checkpoint::ArchiveReader const reader(bytes, "a/path");
  REQUIRE(reader.entries().size() == 4);
  std::vector<float> weight(6);
  reader.read("layer.weight", rlhf::view(weight, {2, 3}));
  CHECK(weight == std::vector<float>{1, 2, 3, 4, 5, 6});
  std::vector<std::int64_t> step(1);
  reader.read("step", rlhf::view(step, {}));
  CHECK(step[0] == 7);
  CHECK(reader.at("rng").bytes.size() == 5);
  CHECK(reader.at("nothing").bytes.empty());
  CHECK(reader.find("none") == nullptr);
  for (checkpoint::ArchiveEntry const& entry : reader.entries()) {
    CHECK((entry.bytes.data() - bytes.data()) % 64 == 0);
  }
}

TEST_CASE("thousands of entries are found") {
  checkpoint::ArchiveWriter writer;
  for (std::int64_t i = 0; i < 5000; ++i) {
    writer.add("tensor." + std::to_string(i), std::as_bytes(std::span(&i, 1)));
  }
  std::vector<std::byte> const bytes = writer.finish();
  checkpoint::ArchiveReader const reader(bytes);
  for (std::int64_t i = 0; i < 5000; ++i) {
    std::int64_t value = -1;
    std::memcpy(&value, reader.at("tensor." + std::to_string(i)).bytes.data(), sizeof value);
    REQUIRE(value == i);
  }
  CHECK(reader.find("tensor.5000") == nullptr);
}

TEST_CASE("what does not fit is refused by name") {
  std::vector<std::byte> const bytes = archive();
  checkpoint::ArchiveReader const reader(bytes, "a/path");
  std::vector<float> weight(6);
  std::vector<double> wide(6);
  CHECK_THROWS_WITH_AS(reader.read("bias", rlhf::view(weight, {6})),
                       doctest::Contains("a/path has no entry bias among its 4 entries"),
                       rlhf::Error);
  CHECK_THROWS_WITH_AS(reader.read("layer.weight", rlhf::view(weight, {3, 2})),
                       doctest::Contains("is f32 (2, 3), the tensor to fill is f32 (3, 2)"),
                       rlhf::Error);
  CHECK_THROWS_WITH_AS(reader.read("layer.weight", rlhf::view(wide, {2, 3})),
                       doctest::Contains("the tensor to fill is f64 (2, 3)"), rlhf::Error);
  rlhf::TensorView strided = rlhf::view(weight, {2, 3});
  strided.strides = {1, 2};
  CHECK_THROWS_WITH_AS(reader.read("layer.weight", strided), doctest::Contains("contiguous"),
                       rlhf::Error);
  checkpoint::ArchiveWriter writer;
  CHECK_THROWS_WITH_AS(writer.add("a", strided), doctest::Contains("contiguous"), rlhf::Error);
  writer.add("a", rlhf::view(weight, {6}));
  CHECK_THROWS_WITH_AS(writer.add("a", rlhf::view(weight, {6})),
                       doctest::Contains("already has an entry a"), rlhf::Error);
  CHECK_THROWS_AS(writer.add("", rlhf::view(weight, {6})), rlhf::Error);
  std::vector<std::byte> const still = writer.finish();
  CHECK(checkpoint::ArchiveReader(still).entries().size() == 1);
}

TEST_CASE("an archive cut or changed anywhere is refused, as damaged") {
  auto const code_of = [](std::vector<std::byte> const& bytes) {
    try {
      checkpoint::ArchiveReader const reader(bytes);
    } catch (rlhf::Error const& error) {
      return error.code();
    }
    return rlhf::Errc::aborted;
  };
  std::vector<std::byte> const whole = archive();
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::vector<std::byte> const cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(i));
    CHECK(code_of(cut) == rlhf::Errc::corrupted);
    for (int bit = 0; bit < 8; ++bit) {
      std::vector<std::byte> changed = whole;
      changed[i] ^= static_cast<std::byte>(1 << bit);
      CHECK(code_of(changed) == rlhf::Errc::corrupted);
    }
  }
}

TEST_CASE("a newer archive is refused as such") {
  std::vector<std::byte> bytes = archive();
  bytes[8] = std::byte{2};
  CHECK_THROWS_WITH_AS(checkpoint::ArchiveReader(bytes, "a/path"),
                       doctest::Contains("its checksum does not fit"), rlhf::Error);  // damage
  std::uint64_t const sum = checkpoint::checksum(std::span(bytes).first(bytes.size() - 8));
  std::memcpy(bytes.data() + bytes.size() - 8, &sum, sizeof sum);
  CHECK_THROWS_WITH_AS(checkpoint::ArchiveReader(bytes, "a/path"),
                       doctest::Contains("a/path is an archive of version 2"), rlhf::Error);
}

TEST_CASE("any content under a right checksum is read or refused, within its bounds") {
  std::vector<std::byte> const whole = archive();
  int read = 0;
  int refused = 0;
  for (std::uint64_t round = 0; round < 20'000; ++round) {
    rlhf::CounterRandom const random(round, 1);
    std::vector<std::byte> bytes = whole;
    std::uint32_t const changes = 1 + random.below(0, 6);
    for (std::uint32_t i = 0; i < changes; ++i) {
      std::size_t const at =
          12 + random.below(3 * i + 1, static_cast<std::uint32_t>(bytes.size() - 12));
      std::uint32_t const what = random.below(3 * i + 2, 4);
      bytes[at] = what == 0   ? std::byte{0xff}
                  : what == 1 ? std::byte{0}
                              : static_cast<std::byte>(random.bits(3 * i + 3));
    }
    if (random.below(30, 4) == 0) {
      bytes.erase(bytes.end() - 1 - random.below(31, 200), bytes.end());
    }
    seal(bytes);
    try {
      checkpoint::ArchiveReader const reader(bytes);
      for (checkpoint::ArchiveEntry const& entry : reader.entries()) {
        CHECK(entry.bytes.data() + entry.bytes.size() <= bytes.data() + bytes.size());
        read += reader.find(entry.name) == &entry ? 1 : 0;
      }
    } catch (rlhf::Error const&) {
      ++refused;
    }
  }
  CHECK(read > 1000);
  CHECK(refused > 1000);
}
