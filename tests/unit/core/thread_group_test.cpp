#include <rlhf/core/monitor.hpp>
#include <rlhf/core/thread_group.hpp>

#include <set>

#include <doctest/doctest.h>

TEST_CASE("threads have an index each, work at the same time, and are joined") {
  struct Meeting {
    rlhf::Monitor monitor;
    std::set<int> arrived;
    void operator()(int index) {
      rlhf::Hold const hold(monitor);
      arrived.insert(index);
      monitor.notify_all();
      while (arrived.size() < 4) {  // nobody leaves before all are here
        monitor.wait();
      }
    }
  };
  Meeting meeting;
  {
    rlhf::ThreadGroup<Meeting> threads(meeting);
    threads.start(4);
  }
  CHECK(meeting.arrived == std::set<int>{0, 1, 2, 3});
  rlhf::ThreadGroup<Meeting> none(meeting);
  none.start(0);
  none.join();
}
