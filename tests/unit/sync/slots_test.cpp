#include <rlhf/core/error.hpp>
#include <rlhf/sync/slots.hpp>
#include <rlhf/tensor/pack.hpp>

#include <string>

#include <doctest/doctest.h>

using rlhf::Errc;
using rlhf::Error;

namespace {

namespace sync = rlhf::sync;
using Packer = rlhf::HostPacker<int>;

template <class Function>
std::string error_of(Function&& function) {
  try {
    function();
  } catch (Error const& error) {
    return error.code() == Errc::corrupted ? error.what() : "another code";
  }
  return {};
}

}  // namespace

TEST_CASE("steps fill the halves in turn, each time with a generation of its own") {
  Packer packer;
  sync::Slots<Packer> slots;
  slots.prepare(packer, 3);
  for (int run = 0; run < 3; ++run) {
    slots.begin(packer, 0);
    for (sync::Generation step = 0; step < 3; ++step) {
      sync::Generation const mine = slots.open();
      CHECK(mine == static_cast<sync::Generation>(3 * run) + step + 1);
      slots.to_transfer(packer, true, step != 0, 0);
      CHECK(slots.to_unpack(packer, mine, true, 5) == 5);
      slots.close(packer, true);
    }
    slots.end(packer, 0);
  }
}

TEST_CASE("bytes of another step, or of a sync that failed, are refused") {
  Packer packer;
  sync::Slots<Packer> slots;
  slots.begin(packer, 0);
  sync::Generation const first = slots.open();
  sync::Generation const second = slots.open();
  CHECK(error_of([&] { slots.expect(0, first); }).empty());
  CHECK(error_of([&] { slots.expect(1, second); }).empty());
  CHECK(error_of([&] { slots.expect(0, second); }).find("half 0 of the slots holds generation 1") !=
        std::string::npos);
  slots.open();  // fills the first half again
  CHECK_FALSE(error_of([&] { slots.expect(0, first); }).empty());
  // A sync that failed in its first step; the next one passes nothing on that the first one left.
  slots.begin(packer, 0);
  slots.open();
  CHECK_FALSE(error_of([&] { slots.to_transfer(packer, false, true, 0); }).empty());
}
