// What making a link costs between thousands of ranks: the exchange of who holds what, as one rank
// sees it, and what it makes of it.
//
// For published models between layouts of hundreds to thousands of ranks, a first process writes
// what all ranks would send into a file. A second one is one rank: it runs the library's own
// exchange over a communicator that answers from the file, makes both placements and the plan.
// Prints a JSON line for each case: bytes received, seconds, resident memory of the second process;
// and the bytes that each rank would receive if all sent their whole lists, names and boxes of
// every parameter in words of 8 bytes, padded to the longest. Fails where a placement is not the
// one that the rules give, a plan has a fault, or more bytes move than the least. Best of several
// rounds.
//
// descriptions [--case N] [--rounds N]
#include <rlhf/adapters/model_json.hpp>
#include <rlhf/comm/concepts.hpp>
#include <rlhf/core/clock.hpp>
#include <rlhf/core/error.hpp>
#include <rlhf/plan/build.hpp>
#include <rlhf/plan/minimum.hpp>
#include <rlhf/plan/proof.hpp>
#include <rlhf/sync/describe.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

namespace plan = rlhf::plan;
namespace wire = rlhf::sync::detail;
using rlhf::DType;
using rlhf::Layout;
using rlhf::Mesh;
using Bytes = std::vector<std::byte>;

struct Case {
  char const* model;
  Layout source;
  Layout destination;

  [[nodiscard]] int world() const { return source.ranks() + destination.ranks(); }
  [[nodiscard]] Mesh source_mesh() const { return Mesh::range(0, source.ranks()); }
  [[nodiscard]] Mesh destination_mesh() const {
    return Mesh::range(source.ranks(), destination.ranks());
  }
};

constexpr Case cases[] = {
    {"kimi-k2", {.tensor = 8, .pipeline = 4, .expert = 8}, {.tensor = 8, .expert = 16}},
    {"kimi-k2", {.tensor = 8, .pipeline = 16, .expert = 8}, {.tensor = 8, .expert = 16, .data = 4}},
    {"kimi-k2",
     {.tensor = 8, .pipeline = 16, .expert = 32},
     {.tensor = 8, .expert = 16, .data = 8}},
    {"kimi-k2",
     {.tensor = 8, .pipeline = 16, .expert = 64},
     {.tensor = 8, .expert = 32, .data = 8}},
    {"kimi-k2", {.fsdp = 256}, {.tensor = 8, .expert = 16}},
};

double seconds_now() {
  return static_cast<double>(rlhf::steady_nanoseconds()) * 1e-9;
}
double resident_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

plan::Placement placed(Case const& one, bool source) {
  plan::ModelList const model =
      plan::read_model_file(std::string(RLHF_MODELS_DIR "/") + one.model + ".json");
  Mesh const mesh = source ? one.source_mesh() : one.destination_mesh();
  std::vector<int> const ranks(mesh.world_ranks().begin(), mesh.world_ranks().end());
  return plan::place(model, plan::Side{source ? one.source : one.destination, 0, {}, ranks});
}

/// What each rank of a side lists, taken from where the rules put the parameters.
class Sender {
 public:
  explicit Sender(plan::Placement placement)
      : placement_(std::move(placement)),
        members_(placement_.patterns.size()),
        held_(placement_.world_ranks.size()) {
    for (std::size_t p = 0; p < placement_.parameters.size(); ++p) {
      members_[static_cast<std::size_t>(placement_.parameters[p].pattern)].push_back(p);
    }
    for (std::size_t pattern = 0; pattern < placement_.patterns.size(); ++pattern) {
      for (plan::Part const& part : placement_.patterns[pattern]) {
        for (int const rank : placement_.rank_sets[static_cast<std::size_t>(part.ranks)]) {
          held_[static_cast<std::size_t>(rank)].push_back({pattern, part.box});
        }
      }
    }
  }
  [[nodiscard]] plan::RankDescription rank(std::size_t rank) const {
    plan::RankDescription out{placement_.world_ranks[rank], {}};
    std::vector<std::pair<std::size_t, std::size_t>> all;  // parameter, place in held_
    for (std::size_t h = 0; h < held_[rank].size(); ++h) {
      for (std::size_t const parameter : members_[held_[rank][h].pattern]) {
        all.emplace_back(parameter, h);
      }
    }
    std::sort(all.begin(), all.end());
    for (auto const& [parameter, h] : all) {
      plan::PlacedParameter const& placed = placement_.parameters[parameter];
      rlhf::Box const& box = held_[rank][h].box;
      rlhf::HeldBox const held{box, rlhf::Extents::filled(box.rank(), 0)};
      if (!out.parameters.empty() && out.parameters.back().name == placed.name) {
        out.parameters.back().holding.boxes.push_back(held);
      } else {
        out.parameters.push_back({placed.name, placed.dtype, {placed.global, {held}}});
      }
    }
    return out;
  }

 private:
  struct Held {
    std::size_t pattern;
    rlhf::Box box;
  };
  plan::Placement placement_;
  std::vector<std::vector<std::size_t>> members_;  // of every pattern
  std::vector<std::vector<Held>> held_;            // of every rank
};

/// The bytes of a whole list, every number in 8.
std::int64_t whole_list_bytes(plan::RankDescription const& rank) {
  std::int64_t words = 2;
  std::int64_t names = 0;
  for (plan::HeldParameter const& held : rank.parameters) {
    names += std::ssize(held.name);
    words += 4 + held.holding.global.rank();
    words += std::ssize(held.holding.boxes) * (5 + 3 * held.holding.global.rank());
  }
  return 8 * words + names;
}

void put(std::FILE* file, void const* data, std::size_t bytes) {
  if (bytes > 0 && std::fwrite(data, 1, bytes, file) != bytes) {
    std::perror("fwrite");
    std::exit(EXIT_FAILURE);
  }
}
void get(std::FILE* file, void* data, std::size_t bytes) {
  if (bytes > 0 && std::fread(data, 1, bytes, file) != bytes) {
    std::fprintf(stderr, "descriptions: the exchange asks for more than was sent\n");
    std::exit(EXIT_FAILURE);
  }
}
void put_bytes(std::FILE* file, Bytes const& bytes) {
  std::size_t const size = bytes.size();
  put(file, &size, sizeof size);
  put(file, bytes.data(), size);
}
Bytes get_bytes(std::FILE* file) {
  std::size_t size = 0;
  get(file, &size, sizeof size);
  Bytes bytes(size);
  get(file, bytes.data(), size);
  return bytes;
}

/// Writes what the second process is, how long whole lists would be, and what all ranks send, in
/// the order of the calls.
void produce(Case const& one, std::FILE* file) {
  std::int64_t whole_lists = 0;
  Bytes my_list;
  Bytes my_own;
  Bytes answers;
  auto const append = [&](void const* data, std::size_t bytes) {
    auto const* const from = static_cast<std::byte const*>(data);
    answers.insert(answers.end(), from, from + bytes);
  };
  for (bool const source : {true, false}) {
    Mesh const mesh = source ? one.source_mesh() : one.destination_mesh();
    Sender const sender(placed(one, source));
    std::vector<wire::Head> heads;
    std::vector<Bytes> own;
    std::set<Bytes> known;
    std::vector<Bytes> lists;
    std::size_t longest_own = 0;
    std::int64_t longest = 0;
    for (int world_rank = 0; world_rank < one.world(); ++world_rank) {
      int const rank = world_rank - mesh.world_rank(0);
      bool const inside = rank >= 0 && rank < mesh.size();
      plan::RankDescription const described = inside ? sender.rank(static_cast<std::size_t>(rank))
                                                     : plan::RankDescription{world_rank, {}};
      plan::RankListing const listing = plan::listing_of(described);
      Bytes list = wire::bytes_of(listing.list);
      own.push_back(wire::own_bytes_of(listing));
      heads.push_back({wire::print_of(list), std::ssize(list), std::ssize(own.back())});
      longest = std::max(longest, whole_list_bytes(described));
      longest_own = std::max(longest_own, own.back().size());
      if (!source && rank == 0) {
        my_list = list;
        my_own = own.back();
      }
      if (known.insert(list).second) {
        lists.push_back(std::move(list));
      }
    }
    whole_lists += (longest + 8) * one.world();
    append(heads.data(), heads.size() * sizeof(wire::Head));
    for (Bytes& bytes : own) {
      bytes.resize(longest_own);
      append(bytes.data(), bytes.size());
    }
    for (Bytes const& list : lists) {
      append(list.data(), list.size());
    }
  }
  put_bytes(file, my_list);
  put_bytes(file, my_own);
  put(file, &whole_lists, sizeof whole_lists);
  put(file, answers.data(), answers.size());
}

/// What a rank that sent this lists.
plan::RankDescription received(Bytes const& list_bytes, Bytes const& own_bytes, int world_rank) {
  wire::ListingReader<> reader(Layout{});
  std::int32_t const number = reader.add_list(list_bytes);
  reader.add_rank(world_rank, number, own_bytes);
  plan::Listing const listing = reader.take();
  plan::RankDescription out{world_rank, {}};
  plan::ParameterList const& list = listing.lists[0];
  for (std::size_t p = 0; p < list.entries.size(); ++p) {
    plan::ParameterType const& type = list.types[static_cast<std::size_t>(list.entries[p].type)];
    out.parameters.push_back({std::string(list.name(p)), type.dtype, {type.global, {}}});
  }
  listing.groupings[0].for_each(list, [&](std::size_t p, int kind) {
    auto const holding =
        static_cast<std::size_t>(listing.ranks[0].holdings[static_cast<std::size_t>(kind)]);
    for (rlhf::Box const& box : listing.holdings[holding]) {
      out.parameters[p].holding.boxes.push_back({box, rlhf::Extents::filled(box.rank(), 0)});
    }
  });
  return out;
}

/// One rank of a world that answers from a file. Only what an exchange calls does anything.
class Replay {
 public:
  struct Stream {};
  Replay(std::FILE* file, int rank, int size) : file_(file), rank_(rank), size_(size) {}

  [[nodiscard]] int rank() const noexcept { return rank_; }
  [[nodiscard]] int size() const noexcept { return size_; }
  [[nodiscard]] int world_rank(int rank) const { return rank; }
  void all_gather(void const* in, void* out, std::int64_t count, DType dtype, Stream) {
    auto const each = static_cast<std::size_t>(count * rlhf::size_of(dtype));
    get(file_, out, each * static_cast<std::size_t>(size_));
    bytes += static_cast<std::int64_t>(each) * size_;
    auto const* const own = static_cast<char const*>(out) + static_cast<std::size_t>(rank_) * each;
    same = same && std::memcmp(in, own, each) == 0;
  }
  void broadcast(void* data, std::int64_t count, DType dtype, int root, Stream) {
    auto const each = static_cast<std::size_t>(count * rlhf::size_of(dtype));
    Bytes mine;
    if (root == rank_) {
      mine.assign(static_cast<std::byte*>(data), static_cast<std::byte*>(data) + each);
    }
    get(file_, data, each);
    same = same && (root != rank_ || std::memcmp(mine.data(), data, each) == 0);
    bytes += static_cast<std::int64_t>(each);
    ++broadcasts;
  }
  void all_reduce(void const*, void*, std::int64_t, DType, rlhf::comm::Reduce, Stream) { refuse(); }
  void reduce_scatter(void const*, void*, std::int64_t, DType, rlhf::comm::Reduce, Stream) {
    refuse();
  }
  void all_to_all(void const*, void*, std::int64_t, DType, Stream) { refuse(); }
  void send(void const*, std::int64_t, DType, int, Stream) { refuse(); }
  void recv(void*, std::int64_t, DType, int, Stream) { refuse(); }
  void group_start() { refuse(); }
  void group_end(Stream) { refuse(); }
  void group_cancel() noexcept {}
  void barrier(Stream) { refuse(); }
  [[nodiscard]] Replay split(int, int) {
    refuse();
    return *this;
  }
  void abort(std::string_view) noexcept {}

  std::int64_t bytes = 0;
  int broadcasts = 0;
  bool same = true;  ///< What this rank sent is what it sent in the file.

 private:
  static void refuse() { rlhf::fail(rlhf::Errc::invalid_argument, "not a call of an exchange"); }
  std::FILE* file_;
  int rank_;
  int size_;
};

/// Keeps the least of several measurements.
struct Least {
  double seconds = -1;
  template <class Work>
  auto operator()(Work&& work) {
    double const begin = seconds_now();
    auto result = work();
    double const took = seconds_now() - begin;
    seconds = seconds < 0 ? took : std::min(seconds, took);
    return result;
  }
};

/// Whether both place the same parameters in the same way, whatever the order.
bool alike(plan::Placement const& a, plan::Placement const& b) {
  std::map<std::string_view, plan::PlacedParameter const*> by_name;
  for (plan::PlacedParameter const& parameter : b.parameters) {
    by_name[parameter.name] = &parameter;
  }
  bool same = a.world_ranks == b.world_ranks && a.parameters.size() == b.parameters.size();
  for (std::size_t p = 0; same && p < a.parameters.size(); ++p) {
    plan::PlacedParameter const& one = a.parameters[p];
    auto const found = by_name.find(one.name);
    same = found != by_name.end() && found->second->dtype == one.dtype &&
           found->second->global == one.global;
    if (!same) {
      break;
    }
    auto const& parts = a.patterns[static_cast<std::size_t>(one.pattern)];
    auto const& others = b.patterns[static_cast<std::size_t>(found->second->pattern)];
    same = parts.size() == others.size();
    for (std::size_t i = 0; same && i < parts.size(); ++i) {
      same = parts[i].box == others[i].box &&
             a.rank_sets[static_cast<std::size_t>(parts[i].ranks)] ==
                 b.rank_sets[static_cast<std::size_t>(others[i].ranks)];
    }
  }
  return same;
}

/// Is the first rank of the destination.
bool measure(Case const& one, std::FILE* file, int rounds) {
  std::int64_t whole_lists = 0;
  plan::RankDescription const nothing{one.source.ranks(), {}};
  plan::RankDescription mine;
  {
    Bytes const list = get_bytes(file);
    mine = received(list, get_bytes(file), nothing.world_rank);
  }
  get(file, &whole_lists, sizeof whole_lists);
  long const begin = std::ftell(file);
  Least gather_time;
  Least place_time;
  Least build_time;
  double resident = 0;
  std::size_t lists = 0;
  std::size_t groupings = 0;
  std::size_t holdings = 0;
  Replay world(file, nothing.world_rank, one.world());
  std::pair<plan::Placement, plan::Placement> sides;
  plan::Plan made;
  for (int round = 0; round < rounds; ++round) {
    std::fseek(file, begin, SEEK_SET);
    world.bytes = 0;
    world.broadcasts = 0;
    sides = {};
    made = {};
    {
      auto const listed = gather_time([&] {
        auto from = rlhf::sync::gather_description(world, one.source_mesh(), one.source, nothing);
        auto to =
            rlhf::sync::gather_description(world, one.destination_mesh(), one.destination, mine);
        return std::pair(std::move(from), std::move(to));
      });
      lists = listed.first.lists.size() + listed.second.lists.size();
      groupings = listed.first.groupings.size() + listed.second.groupings.size();
      holdings = listed.first.holdings.size() + listed.second.holdings.size();
      sides = place_time([&] {
        return std::pair(plan::placement_of(listed.first, "source"),
                         plan::placement_of(listed.second, "destination"));
      });
    }
    made = build_time([&] {
      return plan::build(sides.first, sides.second,
                         plan::Options{.bucket_bytes = std::int64_t{256} << 20},
                         plan::Topology::of_hosts(one.world(), 8));
    });
    resident = round == 0 ? resident_megabytes() : resident;
  }
  std::string const fault = plan::find_fault(made, sides.first, sides.second);
  plan::MinimumBytes const minimum = plan::minimum_bytes(sides.first, sides.second);
  bool const right = alike(sides.first, placed(one, true)) &&
                     alike(sides.second, placed(one, false)) && world.same;
  bool const verified = right && fault.empty() && minimum.lacking == made.bytes_moved &&
                        minimum.needed == made.bytes_needed;
  std::printf(
      "{\"benchmark\":\"sync/descriptions\",\"model\":\"%s\",\"source\":\"%s\","
      "\"destination\":\"%s\",\"source_ranks\":%d,\"destination_ranks\":%d,\"parameters\":%zu,"
      "\"lists\":%zu,\"groupings\":%zu,\"holdings\":%zu,\"broadcasts\":%d,\"bytes_received\":%lld,"
      "\"whole_list_bytes\":%lld,\"whole_list_bytes_over_received\":%.1f,\"gather_seconds\":%.4f,"
      "\"place_seconds\":%.4f,\"build_seconds\":%.4f,\"seconds\":%.4f,\"resident_mb\":%.0f,"
      "\"verified\":%s}\n",
      one.model, rlhf::to_string(one.source).c_str(), rlhf::to_string(one.destination).c_str(),
      one.source.ranks(), one.destination.ranks(), made.parameters.size(), lists, groupings,
      holdings, world.broadcasts, static_cast<long long>(world.bytes),
      static_cast<long long>(whole_lists),
      static_cast<double>(whole_lists) / static_cast<double>(world.bytes), gather_time.seconds,
      place_time.seconds, build_time.seconds,
      gather_time.seconds + place_time.seconds + build_time.seconds, resident,
      verified ? "true" : "false");
  if (!fault.empty()) {
    std::printf("%s\n", fault.c_str());
  }
  return verified;
}

/// Runs one half of a case in a fresh process, so that its memory is its own. Both have the file.
bool run_apart(char* program, char const* half, int number, int file, int rounds) {
  std::fflush(stdout);
  pid_t const child = fork();
  if (child == 0) {
    std::string words[] = {half, std::to_string(number), std::to_string(file),
                           std::to_string(rounds)};
    char* const arguments[] = {program,         words[0].data(), words[1].data(),
                               words[2].data(), words[3].data(), nullptr};
    execv("/proc/self/exe", arguments);
    std::perror("execv");
    _exit(1);
  }
  int status = 1;
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

bool run(char* program, int number, int rounds) {
  std::FILE* const file = std::tmpfile();
  if (file == nullptr) {
    std::perror("tmpfile");
    return false;
  }
  bool const right = run_apart(program, "produce", number, fileno(file), rounds) &&
                     run_apart(program, "measure", number, fileno(file), rounds);
  std::fclose(file);
  return right;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 5 && argv[1][0] != '-') {  // one half of a case
    Case const& one = cases[std::atoi(argv[2])];
    bool const first = std::strcmp(argv[1], "produce") == 0;
    std::FILE* const file = fdopen(std::atoi(argv[3]), "r+");
    bool right = file != nullptr;
    if (right) {
      std::rewind(file);
      if (first) {
        produce(one, file);
      } else {
        right = measure(one, file, std::atoi(argv[4]));
      }
      right = std::fclose(file) == 0 && right;
    }
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
  }
  int only = -1;
  int rounds = 3;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--case") == 0) {
      only = std::atoi(argv[i + 1]);
    } else if (std::strcmp(argv[i], "--rounds") == 0) {
      rounds = std::max(1, std::atoi(argv[i + 1]));
    }
  }
  bool right = only < static_cast<int>(std::size(cases));
  for (int number = 0; right && number < static_cast<int>(std::size(cases)); ++number) {
    right = (only >= 0 && number != only) || run(argv[0], number, rounds);
  }
  return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
