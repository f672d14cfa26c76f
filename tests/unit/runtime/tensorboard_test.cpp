#include <rlhf/runtime/nvtx.hpp>
#include <rlhf/runtime/tensorboard.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "unit/checkpoint/temporary_directory.hpp"

namespace {

namespace runtime = rlhf::runtime;
using namespace std::string_view_literals;

std::string content_of(std::string const& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}
std::string hex(std::string_view bytes) {
  std::string out;
  for (char const byte : bytes) {
    char room[3];
    std::snprintf(room, sizeof room, "%02x",
                  static_cast<unsigned>(static_cast<unsigned char>(byte)));
    out += room;
  }
  return out;
}

TEST_CASE("CRC-32C of the examples in RFC 3720") {
  CHECK(runtime::detail::crc32c(std::string(32, '\0')) == 0x8a9136aaU);
  CHECK(runtime::detail::crc32c(std::string(32, '\xff')) == 0x62a8ab43U);
  CHECK(runtime::detail::crc32c("123456789") == 0xe3069283U);
  std::string rising;
  for (int i = 0; i < 32; ++i) {
    rising += static_cast<char>(i);
  }
  CHECK(runtime::detail::crc32c(rising) == 0x46dd794eU);
}

TEST_CASE("an event file, byte by byte") {
  test::TemporaryDirectory const directory;
  runtime::Tensorboard board(directory.path() + "/runs/a", 1'700'000'000.5);
  board.scalar("loss", 0.25, 3, 1'700'000'001.0);
  board.scalar("n", std::numeric_limits<double>::quiet_NaN(), -1, 5.0);
  CHECK(board.path().find("/runs/a/events.out.tfevents.1700000000.rlhf.") != std::string::npos);
  std::string const bytes = content_of(board.path());
  // Made with the tensorboard package (tensorboard.summary.writer.record_writer).
  CHECK(hex(bytes) ==
        "1800000000000000a37f4b220900002040fc54d9411a0d627261696e2e4576656e743a322b3531101a000000"
        "00000000129bd82d0900004040fc54d94110032a0d0a0b0a046c6f7373150000803edf25a1ea200000000000"
        "000029eda95009000000000000144010ffffffffffffffffff012a0a0a080a016e150000c07f508468f9");
  runtime::Tensorboard const second(directory.path() + "/runs/a", 1'700'000'000.5);
  CHECK(second.path() != board.path());
}

TEST_CASE("the metrics of a step are one event") {
  test::TemporaryDirectory const directory;
  runtime::Tensorboard board(directory.path());
  std::size_t const before = content_of(board.path()).size();
  runtime::Metrics metrics("policy");
  metrics.sum("a", 1);
  metrics.sum("b", 2);
  board.write(7, metrics.take());
  std::string const record = content_of(board.path()).substr(before);
  auto const size = static_cast<unsigned char>(record[0]);
  CHECK(record.size() == 12U + size + 4U);
  CHECK(record.find("\x0a\x08policy/a\x15\x00\x00\x80\x3f"sv) != std::string::npos);
  CHECK(record.find("\x0a\x08policy/b\x15\x00\x00\x00\x40"sv) != std::string::npos);
}

TEST_CASE("a directory that cannot be made is an error that names it") {
  test::TemporaryDirectory const directory;
  std::ofstream(directory.path() + "/file") << "x";
  CHECK_THROWS_WITH_AS(runtime::Tensorboard(directory.path() + "/file/runs"),
                       doctest::Contains("/file/runs"), rlhf::Error);
}

TEST_CASE("without being asked for, ranges of NVTX are nothing") {
  runtime::NvtxRange const range("step");
  CHECK(!runtime::nvtx_enabled);
  CHECK(sizeof range == 1);
}

}  // namespace
