// The variables of launchers, read through a getter: no test touches the environment.
#include <rlhf/comm/launch.hpp>
#include <rlhf/core/error.hpp>

#include <map>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

namespace {

using rlhf::comm::Launch;
using rlhf::comm::Launcher;
using Variables = std::map<std::string, std::string>;

Launch read(Variables const& variables) {
  return rlhf::comm::launch_from([&](char const* name) -> char const* {
    auto const found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}
Launch read(Variables variables, Variables const& more) {
  for (auto const& [name, value] : more) {
    variables[name] = value;
  }
  return read(variables);
}

/// The message of the error; empty where there is none.
std::string error_of(Variables const& variables, Variables const& more = {}) {
  try {
    static_cast<void>(read(variables, more));
  } catch (rlhf::Error const& error) {
    CHECK(error.code() == rlhf::Errc::invalid_argument);
    return std::string(error.message());
  }
  return {};
}
bool has(std::string const& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

Variables const ours{{"RLHF_RANK", "2"}, {"RLHF_WORLD_SIZE", "4"}};
Variables const torchrun{{"RANK", "5"},
                         {"WORLD_SIZE", "8"},
                         {"LOCAL_RANK", "1"},
                         {"LOCAL_WORLD_SIZE", "4"},
                         {"MASTER_ADDR", "node7"},
                         {"MASTER_PORT", "29500"}};
Variables const open_mpi{{"OMPI_COMM_WORLD_RANK", "1"},
                         {"OMPI_COMM_WORLD_SIZE", "2"},
                         {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                         {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}};
Variables const mpich{
    {"PMI_RANK", "3"}, {"PMI_SIZE", "4"}, {"MPI_LOCALRANKID", "3"}, {"MPI_LOCALNRANKS", "4"}};
Variables const slurm{{"SLURM_PROCID", "3"},  {"SLURM_NTASKS", "4"},
                      {"SLURM_LOCALID", "1"}, {"SLURM_STEP_ID", "0"},
                      {"SLURM_JOB_ID", "77"}, {"SLURM_STEP_NODELIST", "gpu[03-07,12],login"}};

}  // namespace

TEST_CASE("without variables a process is alone") {
  Launch const launch = read({});
  CHECK(launch.launcher == Launcher::none);
  CHECK(launch.rank == 0);
  CHECK(launch.size == 1);
  CHECK(launch.local_rank == 0);
  CHECK(launch.address.empty());
  CHECK(read({{"RLHF_RANK", ""}}).launcher == Launcher::none);
}

TEST_CASE("our own variables: one host unless they say otherwise") {
  Launch const launch = read(ours);
  CHECK(launch.launcher == Launcher::rlhf);
  CHECK(launch.rank == 2);
  CHECK(launch.size == 4);
  CHECK(launch.local_rank == 2);
  CHECK(launch.local_size == 4);
  CHECK(launch.address == "127.0.0.1");
  CHECK(launch.port >= 20'000);
  CHECK(launch.port < 30'000);
  CHECK(read(ours).port == launch.port);
  CHECK(read(ours, {{"RLHF_RANK", "0"}}).port == launch.port);

  Launch const placed = read(ours, {{"RLHF_LOCAL_RANK", "0"}, {"RLHF_ADDRESS", "10.0.0.9:4242"}});
  CHECK(placed.local_rank == 0);
  CHECK(placed.address == "10.0.0.9");
  CHECK(placed.port == 4242);
  CHECK(read(ours, {{"RLHF_ADDRESS", "[fe80::1]:65535"}}).address == "[fe80::1]");
  CHECK(has(error_of(ours, {{"RLHF_LOCAL_RANK", "0"}}), "RLHF_ADDRESS"));
}

TEST_CASE("the job's folder makes the port, equal on all ranks") {
  Launch const a = read(ours, {{"RLHF_RENDEZVOUS_DIR", "/tmp/a"}});
  Launch const b = read(ours, {{"RLHF_RENDEZVOUS_DIR", "/tmp/b"}});
  CHECK(a.port == read(ours, {{"RLHF_RENDEZVOUS_DIR", "/tmp/a"}, {"RLHF_RANK", "1"}}).port);
  CHECK(a.port != b.port);
}

TEST_CASE("torchrun") {
  Launch const launch = read(torchrun);
  CHECK(launch.launcher == Launcher::torchrun);
  CHECK(launch.rank == 5);
  CHECK(launch.size == 8);
  CHECK(launch.local_rank == 1);
  CHECK(launch.local_size == 4);
  CHECK(launch.address == "node7");
  CHECK(launch.port == 29'501);
  Launch const elsewhere = read(torchrun, {{"RLHF_ADDRESS", "node7:1234"}, {"MASTER_PORT", ""}});
  CHECK(elsewhere.port == 1234);
  CHECK(has(error_of(torchrun, {{"MASTER_ADDR", ""}}), "MASTER_ADDR"));
  CHECK(has(error_of(torchrun, {{"MASTER_PORT", ""}}), "MASTER_PORT"));
  CHECK(has(error_of(torchrun, {{"LOCAL_RANK", ""}}), "RLHF_LOCAL_RANK"));
  // RANK alone is something else's.
  CHECK(read({{"RANK", "3"}}).launcher == Launcher::none);
}

TEST_CASE("Open MPI and MPICH on one host") {
  Launch const open = read(open_mpi);
  CHECK(open.launcher == Launcher::open_mpi);
  CHECK(open.rank == 1);
  CHECK(open.local_rank == 1);
  CHECK(open.address == "127.0.0.1");
  Launch const pmi = read(mpich);
  CHECK(pmi.launcher == Launcher::mpich);
  CHECK(pmi.rank == 3);
  CHECK(pmi.local_size == 4);
  CHECK(pmi.address == "127.0.0.1");
}

TEST_CASE("Open MPI on several hosts needs an address") {
  Variables const several{{"OMPI_COMM_WORLD_LOCAL_SIZE", "1"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "0"}};
  std::string const error = error_of(open_mpi, several);
  CHECK(has(error, "Open MPI started 2 ranks on several hosts"));
  CHECK(has(error, "RLHF_ADDRESS"));
  Variables with_address = several;
  with_address["RLHF_ADDRESS"] = "head:29511";
  CHECK(read(open_mpi, with_address).address == "head");
}

TEST_CASE("srun") {
  Launch const launch = read(slurm);
  CHECK(launch.launcher == Launcher::slurm);
  CHECK(launch.rank == 3);
  CHECK(launch.size == 4);
  CHECK(launch.local_rank == 1);
  CHECK(launch.address == "gpu03");
  CHECK(launch.port == read(slurm, {{"SLURM_PROCID", "0"}}).port);
  CHECK(launch.port != read(slurm, {{"SLURM_JOB_ID", "78"}}).port);
  auto const host = [](char const* list) {
    return read(slurm, {{"SLURM_STEP_NODELIST", list}}).address;
  };
  CHECK(host("one") == "one");
  CHECK(host("a,b") == "a");
  CHECK(host("rack[1,3]-n[04,06-2],b") == "rack1-n04");
  CHECK(host("n[007-009]-ib") == "n007-ib");
  CHECK(read(slurm, {{"SLURM_STEP_NODELIST", ""}, {"SLURM_NODELIST", "x[2-3]"}}).address == "x2");
  CHECK(has(error_of(slurm, {{"SLURM_STEP_NODELIST", ""}}), "NODELIST"));
  // A batch script has SLURM_PROCID, too, but no step: its programs are alone.
  CHECK(read(slurm, {{"SLURM_STEP_ID", ""}}).launcher == Launcher::none);
}

TEST_CASE("the first launcher of the list counts") {
  Variables all = slurm;
  auto const add = [&](Variables const& more) {
    for (auto const& [name, value] : more) {
      all[name] = value;
    }
    return read(all).launcher;
  };
  CHECK(add({}) == Launcher::slurm);
  CHECK(add(mpich) == Launcher::mpich);
  CHECK(add(open_mpi) == Launcher::open_mpi);
  CHECK(add(torchrun) == Launcher::torchrun);
  CHECK(add(ours) == Launcher::rlhf);
}

TEST_CASE("bad and contradictory values name their variable") {
  CHECK(has(error_of(ours, {{"RLHF_RANK", "4"}}), "RLHF_RANK is 4, must be below RLHF_WORLD_SIZE"));
  CHECK(has(error_of(ours, {{"RLHF_RANK", "two"}}), "RLHF_RANK is \"two\""));
  CHECK(has(error_of(ours, {{"RLHF_RANK", "-1"}}), "RLHF_RANK is \"-1\""));
  CHECK(has(error_of(ours, {{"RLHF_RANK", "1 "}}), "RLHF_RANK"));
  CHECK(has(error_of(ours, {{"RLHF_WORLD_SIZE", "0"}}), "RLHF_WORLD_SIZE"));
  CHECK(has(error_of(ours, {{"RLHF_WORLD_SIZE", "99999999999999999999"}}), "RLHF_WORLD_SIZE"));
  CHECK(has(error_of({{"RLHF_RANK", "0"}}), "RLHF_WORLD_SIZE is missing"));
  CHECK(has(error_of({{"RLHF_WORLD_SIZE", "2"}}), "RLHF_RANK is missing"));
  CHECK(has(error_of(torchrun, {{"LOCAL_RANK", "4"}}), "LOCAL_RANK is 4, must be below 4"));
  CHECK(has(error_of(torchrun, {{"LOCAL_WORLD_SIZE", "9"}}), "LOCAL_WORLD_SIZE is 9"));
  CHECK(has(error_of(torchrun, {{"MASTER_PORT", "65535"}}), "MASTER_PORT"));
  for (char const* const address : {"host", "host:", ":12", "host:0", "host:65536", "host:12x",
                                    "fe80::1", "fe80::1:80", "[]:80"}) {
    CAPTURE(std::string(address));
    CHECK(has(error_of(ours, {{"RLHF_ADDRESS", address}}), "RLHF_ADDRESS"));
  }
}
