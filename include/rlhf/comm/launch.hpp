/// @file
/// Which rank of how many this process is, as its launcher says. Layer: comm.
#pragma once

#include <rlhf/core/error.hpp>
#include <rlhf/core/hash.hpp>
#include <rlhf/core/text.hpp>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <unistd.h>

namespace rlhf::inline v0::comm {

/// What started the processes.
enum class Launcher : std::uint8_t { none, rlhf, torchrun, open_mpi, mpich, slurm };

[[nodiscard]] constexpr std::string_view to_string(Launcher launcher) noexcept {
  constexpr std::string_view names[] = {
      "no launcher", "RLHF_* variables", "torchrun", "Open MPI", "MPICH", "srun"};
  return names[static_cast<int>(launcher)];
}

/// One process's place in its job.
template <class = void>
struct BasicLaunch {
  Launcher launcher = Launcher::none;
  int rank = 0;
  int size = 1;
  int local_rank = 0;   ///< Among the processes of this host: picks the device.
  int local_size = 0;   ///< 0 where the launcher does not say.
  std::string address;  ///< Host of rank 0, as name or IPv4 or [IPv6]; empty where size is 1.
  int port = 0;         ///< A port of that host that rank 0 may listen on.
};
using Launch = BasicLaunch<>;

namespace detail {

/// Reads variables through `Get`: `get(name)` is a `char const*`, null where the variable is not
/// set.
template <class Get>
class LaunchReader {
 public:
  explicit LaunchReader(Get const& get) : get_(get) {}

  /// An empty variable counts as one that is not set.
  [[nodiscard]] std::string_view text_of(char const* name) const {
    char const* const value = get_(name);
    return value == nullptr ? std::string_view() : std::string_view(value);
  }
  [[nodiscard]] bool has(char const* name) const { return !text_of(name).empty(); }

  [[nodiscard]] int number(char const* name, int least, int most) const {
    std::string_view const value = text_of(name);
    std::int64_t result = 0;
    bool good = !value.empty() && value.size() <= 9;
    for (char const digit : value) {
      good = good && digit >= '0' && digit <= '9';
      result = good ? result * 10 + (digit - '0') : 0;
    }
    if (!good || result < least || result > most) {
      fail(Errc::invalid_argument,
           value.empty() ? text("the environment variable ", name,
                                " is missing; it must be a whole number from ", least, " to ", most)
                         : text("the environment variable ", name, " is \"", value,
                                "\", must be a whole number from ", least, " to ", most));
    }
    return static_cast<int>(result);
  }
  [[nodiscard]] int number_or(char const* name, int least, int most, int otherwise) const {
    return has(name) ? number(name, least, most) : otherwise;
  }

  /// Rank and size from two variables, either of which calls for the other.
  void read_place(Launch& launch, char const* rank, char const* size) const {
    launch.size = number(size, 1, most_ranks);
    launch.rank = number(rank, 0, most_ranks);
    if (launch.rank >= launch.size) {
      fail(Errc::invalid_argument, text("the environment variable ", rank, " is ", launch.rank,
                                        ", must be below ", size, ", which is ", launch.size));
    }
  }
  /// The place on this host. Errors: invalid_argument where it cannot be that of this job.
  void read_local(Launch& launch, char const* rank, char const* size) const {
    launch.local_size = number_or(size, 1, most_ranks, 0);
    launch.local_rank = number_or(rank, 0, most_ranks, launch.size == 1 ? 0 : -1);
    if (launch.local_size > launch.size) {
      fail(Errc::invalid_argument,
           text("the environment variable ", size, " is ", launch.local_size, ", the job has ",
                launch.size, " ranks"));
    }
    int const end = launch.local_size == 0 ? launch.size : launch.local_size;
    if (launch.local_rank >= end) {
      fail(Errc::invalid_argument, text("the environment variable ", rank, " is ",
                                        launch.local_rank, ", must be below ", end));
    }
  }

  /// `host:port`, `[IPv6]:port`.
  void read_address(Launch& launch, char const* name) const {
    std::string_view const value = text_of(name);
    std::size_t const colon = value.rfind(':');
    std::string_view const host = value.substr(0, colon == value.npos ? 0 : colon);
    bool const bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (host.empty() || (!bracketed && host.find_first_of(":[]") != host.npos)) {
      fail(Errc::invalid_argument, text("the environment variable ", name, " is \"", value,
                                        "\", must be host:port of rank 0, like 10.0.0.1:29511"));
    }
    std::string const port(value.substr(colon + 1));
    auto const only_port = [&](char const*) { return port.c_str(); };
    try {
      launch.port = LaunchReader<decltype(only_port)>(only_port).number(name, 1, 65'535);
    } catch (Error const&) {
      fail(Errc::invalid_argument, text("the environment variable ", name, " is \"", value,
                                        "\", its port must be a number from 1 to 65535"));
    }
    launch.address = host;
  }

  static constexpr int most_ranks = 1 << 24;
  static constexpr char const* address_name = "RLHF_ADDRESS";

 private:
  Get const& get_;
};

/// A port from 20000 to 29999, equal for equal names of a job.
[[nodiscard]] inline int port_of_job(std::string_view job) noexcept {
  return 20'000 + static_cast<int>(Fingerprint{}.add(job).value() % 10'000);
}

/// The first host of Slurm's list: `node[03-07,12]-ib,login1` gives `node03-ib`.
template <class = void>
[[nodiscard]] std::string first_host(std::string_view list) {
  std::string host;
  bool inside = false;  // brackets
  bool skip = false;    // what follows the first number in them
  for (char const letter : list) {
    if (letter == '[') {
      inside = true;
    } else if (letter == ']') {
      inside = false;
      skip = false;
    } else if (!inside && letter == ',') {
      break;
    } else {
      skip = skip || (inside && (letter == ',' || letter == '-'));
      host += skip ? std::string() : std::string(1, letter);
    }
  }
  return host;
}

}  // namespace detail

/// The job as variables describe it. The first launcher whose variables are there counts:
///
/// 1. ours: `RLHF_RANK`, `RLHF_WORLD_SIZE`, optionally `RLHF_LOCAL_RANK` (else the rank: one host)
///    and `RLHF_LOCAL_SIZE`;
/// 2. torchrun: `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `LOCAL_WORLD_SIZE`. Rank 0 is at `MASTER_ADDR`,
///    port `MASTER_PORT` + 1, because torchrun itself listens on `MASTER_PORT`;
/// 3. mpirun of Open MPI: `OMPI_COMM_WORLD_RANK`, `_SIZE`, `_LOCAL_RANK`, `_LOCAL_SIZE`;
/// 4. mpirun of MPICH or Intel MPI: `PMI_RANK`, `PMI_SIZE`, `MPI_LOCALRANKID`, `MPI_LOCALNRANKS`;
/// 5. srun: `SLURM_PROCID`, `SLURM_NTASKS`, `SLURM_LOCALID`. Rank 0 is on the first host of
///    `SLURM_STEP_NODELIST`, its port follows from the numbers of job and step. Recognised by
///    `SLURM_STEP_ID`: a program of a batch script that srun did not start runs alone.
///
/// `RLHF_ADDRESS=host:port` names the place of rank 0 for every launcher. Without it, launchers
/// that do not say where rank 0 is (1, 3, 4) serve ranks of one host, which meet at 127.0.0.1 and a
/// port made from the job's name or else from the number of the parent process.
///
/// `get(name)` returns a `char const*`, null where the variable is not set; empty counts as not
/// set. Errors: invalid_argument naming the variable that is missing, no number, or contradicts
/// another.
template <class Get>
[[nodiscard]] Launch launch_from(Get const& get) {
  detail::LaunchReader<Get> const read(get);
  Launch launch;
  bool one_host = false;
  std::string_view job;
  if (read.has("RLHF_RANK") || read.has("RLHF_WORLD_SIZE")) {
    launch.launcher = Launcher::rlhf;
    read.read_place(launch, "RLHF_RANK", "RLHF_WORLD_SIZE");
    read.read_local(launch, "RLHF_LOCAL_RANK", "RLHF_LOCAL_SIZE");
    if (launch.local_rank < 0) {
      launch.local_rank = launch.rank;
      launch.local_size = launch.local_size == 0 ? launch.size : launch.local_size;
    }
    one_host = launch.local_size == launch.size;
    job = read.text_of("RLHF_RENDEZVOUS_DIR");
  } else if (read.has("RANK") && read.has("WORLD_SIZE")) {
    launch.launcher = Launcher::torchrun;
    read.read_place(launch, "RANK", "WORLD_SIZE");
    read.read_local(launch, "LOCAL_RANK", "LOCAL_WORLD_SIZE");
    if (launch.size > 1 && !read.has(read.address_name)) {
      if (!read.has("MASTER_ADDR")) {
        fail(Errc::invalid_argument,
             "the environment variable MASTER_ADDR is missing beside RANK and WORLD_SIZE; set it "
             "and MASTER_PORT, or RLHF_ADDRESS=host:port");
      }
      launch.address = read.text_of("MASTER_ADDR");
      launch.port = read.number("MASTER_PORT", 1, 65'534) + 1;
    }
  } else if (read.has("OMPI_COMM_WORLD_RANK")) {
    launch.launcher = Launcher::open_mpi;
    read.read_place(launch, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE");
    read.read_local(launch, "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE");
    one_host = launch.local_size == launch.size;
    job = read.has("PMIX_NAMESPACE") ? read.text_of("PMIX_NAMESPACE")
                                     : read.text_of("OMPI_MCA_ess_base_jobid");
  } else if (read.has("PMI_RANK") && read.has("PMI_SIZE")) {
    launch.launcher = Launcher::mpich;
    read.read_place(launch, "PMI_RANK", "PMI_SIZE");
    read.read_local(launch, "MPI_LOCALRANKID", "MPI_LOCALNRANKS");
    one_host = launch.local_size == launch.size;
    job = read.text_of("PMI_JOBID");
  } else if (read.has("SLURM_STEP_ID") && read.has("SLURM_PROCID")) {
    launch.launcher = Launcher::slurm;
    read.read_place(launch, "SLURM_PROCID",
                    read.has("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS");
    read.read_local(launch, "SLURM_LOCALID", "");
    if (launch.size > 1 && !read.has(read.address_name)) {
      char const* const nodes =
          read.has("SLURM_STEP_NODELIST") ? "SLURM_STEP_NODELIST" : "SLURM_NODELIST";
      launch.address = detail::first_host(read.text_of(nodes));
      if (launch.address.empty()) {
        fail(Errc::invalid_argument,
             text("the environment variable ", nodes,
                  " is missing or names no host; set RLHF_ADDRESS=host:port of rank 0"));
      }
      launch.port = detail::port_of_job(
          text(read.text_of("SLURM_JOB_ID"), ".", read.text_of("SLURM_STEP_ID")));
    }
  }
  if (launch.local_rank < 0) {
    fail(Errc::invalid_argument,
         text(to_string(launch.launcher), " does not say which rank of its host this is (rank ",
              launch.rank, "/", launch.size,
              "); set RLHF_RANK, RLHF_WORLD_SIZE, RLHF_LOCAL_RANK and "
              "RLHF_ADDRESS"));
  }
  if (read.has(read.address_name)) {
    read.read_address(launch, read.address_name);
  } else if (launch.size > 1 && launch.address.empty()) {
    if (!one_host) {
      fail(Errc::invalid_argument,
           text(to_string(launch.launcher), " started ", launch.size,
                " ranks on several hosts and does not say where rank 0 is; set "
                "RLHF_ADDRESS=host:port, with any free port of its host, on all ranks"));
    }
    launch.address = "127.0.0.1";
    launch.port = detail::port_of_job(job.empty() ? text("parent ", getppid()) : std::string(job));
  }
  return launch;
}

/// `launch_from` the environment of this process.
template <class = void>
[[nodiscard]] Launch launch_from_environment() {
  return launch_from([](char const* name) -> char const* { return std::getenv(name); });
}

}  // namespace rlhf::inline v0::comm
