#include "everything.hpp"

Report first() {
  return report();
}
