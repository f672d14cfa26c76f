#include "everything.hpp"

Report second() {
  return report();
}
