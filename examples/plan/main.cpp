/// @file
/// Plans a weight sync between two layouts of a model without running it, and reports what it will
/// cost: text, JSON, a picture, a page.
///
/// Read in this order: study.cpp (model, placements, plan, proof), report.cpp, drawing.cpp.
#include <rlhf/adapters/plan_json.hpp>
#include <rlhf/core/error.hpp>

#include <cstdio>
#include <exception>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "drawing.hpp"
#include "files.hpp"
#include "options.hpp"
#include "report.hpp"
#include "study.hpp"
#include "units.hpp"

namespace {

std::string report(planner::Study const& study, planner::Options const& options) {
  switch (options.format) {
    case planner::Format::json:
      return planner::json_report(study, options.rank);
    case planner::Format::svg:
      return planner::svg_picture(study);
    case planner::Format::html:
      return planner::html_page(study);
    case planner::Format::text:
      break;
  }
  return planner::text_report(study, options.rank);
}

/// One line, whatever file it quotes.
int refuse(std::string_view message) {
  fmt::print(stderr, "rlhf-plan: {}\n", planner::one_line(std::string(message)));
  return 2;
}

}  // namespace

int main(int argc, char** argv) try {
  planner::Options const options = planner::parse_options(argc, argv);
  planner::Study const study = planner::study(options);
  if (!options.plan_out.empty()) {
    planner::write_file("plan file", options.plan_out, rlhf::plan::to_json(study.plan));
  }
  std::string const text = report(study, options);
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (std::fflush(stdout) != 0) {
    return refuse("the report cannot be written to standard output");
  }
  return study.faulty ? 1 : 0;
} catch (rlhf::Error const& error) {
  return refuse(error.message());
} catch (std::exception const& error) {
  return refuse(error.what());
}
