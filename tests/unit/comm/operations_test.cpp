#include <rlhf/comm/local_world.hpp>
#include <rlhf/comm/operations.hpp>
#include <rlhf/comm/recording.hpp>

#include <span>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

namespace comm = rlhf::comm;
using comm::Local;
using Recorded = comm::Recording<Local>;

namespace {

/// What the caller reads when spans do not fit.
template <class Call>
void refused(Call&& call, char const* part) {
  try {
    call();
    CHECK_MESSAGE(false, "nothing was thrown for ", std::string(part));
  } catch (rlhf::Error const& error) {
    CHECK(error.code() == rlhf::Errc::invalid_argument);
    CHECK_MESSAGE(std::string(error.what()).find(part) != std::string::npos, error.what());
  }
}

}  // namespace

TEST_CASE("spans that do not fit are refused with the numbers, before anything is called") {
  comm::run_local(3, [](Local local) {
    Recorded world(std::move(local));
    std::vector<float> two(2);
    std::vector<float> six(6);
    std::vector<float> seven(7);
    std::span<float const> const two_in(two);
    refused([&] { comm::all_gather(world, two_in, std::span(seven)); },
            "all_gather over 3 ranks needs 3 x 2 elements, the larger span has 7");
    refused([&] { comm::reduce_scatter(world, std::span(std::as_const(seven)), std::span(two)); },
            "reduce_scatter over 3 ranks needs 3 x 2 elements, the larger span has 7");
    refused([&] { comm::all_to_all(world, std::span(std::as_const(seven)), std::span(six)); },
            "as many elements in as out");
    std::vector<float> other(7);
    refused([&] { comm::all_to_all(world, std::span(std::as_const(seven)), std::span(other)); },
            "3 x 2 elements, the larger span has 7");
    CHECK(world.record() == comm::Record{});
    comm::all_gather(world, two_in, std::span(six));
  });
}

TEST_CASE("each operation is one call of the communicator with the span's size and type") {
  comm::run_local(2, [](Local local) {
    Recorded world(std::move(local));
    std::vector<rlhf::BFloat16> data(6);
    std::vector<rlhf::BFloat16> more(12);
    std::span<rlhf::BFloat16> const small(data);
    std::span<rlhf::BFloat16> const large(more);
    int const peer = 1 - world.rank();
    comm::broadcast(world, small, 1);
    CHECK(world.record().broadcast == comm::Traffic{1, 12});
    comm::all_reduce(world, small, comm::Reduce::max);
    CHECK(world.record().all_reduce == comm::Traffic{1, 12});
    comm::all_gather(world, std::span<rlhf::BFloat16 const>(small), large);
    CHECK(world.record().all_gather == comm::Traffic{1, 12});
    comm::reduce_scatter(world, std::span<rlhf::BFloat16 const>(large), small);
    CHECK(world.record().reduce_scatter == comm::Traffic{1, 12});
    std::vector<rlhf::BFloat16> to(12);
    comm::all_to_all(world, std::span<rlhf::BFloat16 const>(large), std::span(to));
    CHECK(world.record().all_to_all == comm::Traffic{1, 12});
    comm::grouped(world, [&] {
      comm::send(world, small, peer);
      comm::recv(world, large.first(6), peer);
    });
    CHECK(world.record().send == comm::Traffic{1, 12});
    CHECK(world.record().recv == comm::Traffic{1, 12});
    CHECK(world.record().groups == 1);
  });
}
