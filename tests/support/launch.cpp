// Starts one program several times, as the ranks of one job, on this machine and without MPI.
//
//   rlhf_launch --ranks 4 --timeout-s 60 -- program [argument...]
//
// Each process finds RLHF_RANK, RLHF_WORLD_SIZE and RLHF_RENDEZVOUS_DIR (an empty folder the ranks
// share, removed at the end) in its environment. Its output comes line by line behind "[rank 1/4]
// ". When one rank fails the others get five seconds to say why before they are killed; at the
// deadline all are killed. The exit status is 0 if every rank ended with 0, 77 if every rank ended
// with 77 (skipped), 124 at the deadline, else that of the first rank that failed.
//
// --killed RANK: this rank must end by SIGKILL (or with 77), which counts as success.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;

constexpr int exit_skipped = 77;
constexpr int exit_deadline = 124;
constexpr std::chrono::seconds grace_after_failure{5};

struct Options {
  int ranks = 0;
  int timeout_s = 60;
  int killed = -1;
  std::vector<char*> command;
};

struct Child {
  pid_t pid = -1;
  int output = -1;
  std::string line;
  bool running = true;
  int status = 0;
};

[[noreturn]] void fail(std::string const& text) {
  std::fprintf(stderr, "rlhf_launch: %s\n", text.c_str());
  std::exit(2);
}

Options parse(int argc, char** argv) {
  Options options;
  int i = 1;
  for (; i < argc && std::string_view{argv[i]} != "--"; i += 2) {
    std::string_view const name = argv[i];
    if (i + 1 >= argc) {
      fail("an option lacks its value");
    }
    if (name == "--ranks") {
      options.ranks = std::atoi(argv[i + 1]);
    } else if (name == "--timeout-s") {
      options.timeout_s = std::atoi(argv[i + 1]);
    } else if (name == "--killed") {
      options.killed = std::atoi(argv[i + 1]);
    } else {
      fail("unknown option " + std::string{name});
    }
  }
  for (++i; i < argc; ++i) {
    options.command.push_back(argv[i]);
  }
  if (options.ranks < 1 || options.timeout_s < 1 || options.command.empty()) {
    fail(
        "usage: rlhf_launch --ranks N [--timeout-s SECONDS] [--killed RANK] -- program "
        "[argument...]");
  }
  options.command.push_back(nullptr);
  return options;
}

Child start(Options const& options, int rank, std::string const& folder) {
  int ends[2];
  if (pipe(ends) != 0) {
    fail("pipe failed");
  }
  pid_t const pid = fork();
  if (pid < 0) {
    fail("fork failed");
  }
  if (pid == 0) {
    setpgid(0, 0);  // so that killing a rank also kills what it started
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    setenv("RLHF_RANK", std::to_string(rank).c_str(), 1);
    setenv("RLHF_WORLD_SIZE", std::to_string(options.ranks).c_str(), 1);
    setenv("RLHF_RENDEZVOUS_DIR", folder.c_str(), 1);
    execvp(options.command.front(), options.command.data());
    std::fprintf(stderr, "rlhf_launch: cannot start %s\n", options.command.front());
    _exit(127);
  }
  setpgid(pid, pid);
  close(ends[1]);
  Child child;
  child.pid = pid;
  child.output = ends[0];
  return child;
}

void print_line(Child& child, int rank, int ranks) {
  std::printf("[rank %d/%d] %s\n", rank, ranks, child.line.c_str());
  child.line.clear();
}

/// Takes what the rank has written; closes its pipe at the end.
void read_output(Child& child, int rank, int ranks) {
  char buffer[4096];
  ssize_t const count = read(child.output, buffer, sizeof buffer);
  for (ssize_t i = 0; i < count; ++i) {
    if (buffer[i] == '\n') {
      print_line(child, rank, ranks);
    } else {
      child.line += buffer[i];
    }
  }
  if (count <= 0) {
    if (!child.line.empty()) {
      print_line(child, rank, ranks);
    }
    close(child.output);
    child.output = -1;
  }
}

void wait_for_output(std::vector<Child>& children) {
  std::vector<pollfd> polled;
  std::vector<int> rank_of;
  for (std::size_t i = 0; i < children.size(); ++i) {
    if (children[i].output >= 0) {
      polled.push_back(pollfd{children[i].output, POLLIN, 0});
      rank_of.push_back(static_cast<int>(i));
    }
  }
  poll(polled.data(), static_cast<nfds_t>(polled.size()), 50);
  for (std::size_t i = 0; i < polled.size(); ++i) {
    if (polled[i].revents != 0) {
      int const rank = rank_of[i];
      read_output(children[static_cast<std::size_t>(rank)], rank,
                  static_cast<int>(children.size()));
    }
  }
}

/// 0 for success, 77 for skipped. A rank that is to be killed must not end in another way.
int exit_code(int status, bool to_be_killed) {
  int const code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (!to_be_killed || code == exit_skipped) {
    return code;
  }
  return code == 128 + SIGKILL ? 0 : 1;
}

void kill_all(std::vector<Child> const& children) {
  for (Child const& child : children) {
    if (child.running) {
      kill(-child.pid, SIGKILL);
    }
  }
}

int run(Options const& options, std::string const& folder) {
  std::vector<Child> children;
  for (int rank = 0; rank < options.ranks; ++rank) {
    children.push_back(start(options, rank, folder));
  }
  Clock::time_point deadline = Clock::now() + std::chrono::seconds{options.timeout_s};
  int first_failure = 0;
  int running = options.ranks;
  int skipped = 0;
  bool killed = false;
  bool open = true;
  while (running > 0 || (open && !killed)) {
    wait_for_output(children);
    open = false;
    for (std::size_t i = 0; i < children.size(); ++i) {
      Child& child = children[i];
      open = open || child.output >= 0;
      if (child.running && waitpid(child.pid, &child.status, WNOHANG) == child.pid) {
        child.running = false;
        --running;
        int const code = exit_code(child.status, static_cast<int>(i) == options.killed);
        skipped += code == exit_skipped ? 1 : 0;
        if (code != 0 && code != exit_skipped && first_failure == 0 && !killed) {
          first_failure = code;
          std::printf("rlhf_launch: rank %zu ended with status %d\n", i, code);
          deadline = std::min(deadline, Clock::now() + grace_after_failure);
        }
      }
    }
    if (!killed && Clock::now() >= deadline) {
      killed = true;
      if (first_failure == 0) {
        first_failure = exit_deadline;
        for (std::size_t i = 0; i < children.size(); ++i) {
          if (children[i].running) {
            std::printf("rlhf_launch: rank %zu did not end within %d s\n", i, options.timeout_s);
          }
        }
      }
      kill_all(children);
    }
  }
  if (first_failure != 0) {
    return first_failure;
  }
  return skipped == options.ranks ? exit_skipped : 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options const options = parse(argc, argv);
  std::string folder = (std::filesystem::temp_directory_path() / "rlhf_launch_XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) {
    fail("cannot make a folder like " + folder);
  }
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  int const status = run(options, folder);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return status;
}
