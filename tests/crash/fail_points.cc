#include "tests/crash/fail_points.h"

#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <tally/error.hpp>

#include "tools/process/child_process.h"

namespace tally::test {

namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

std::vector<std::string> fail_points_in(const std::filesystem::path& folder) {
  static const std::regex pattern("TALLY_FAIL_POINT\\(\"([^\"]+)\"\\)");
  std::set<std::string> names;
  for (const auto& item : std::filesystem::recursive_directory_iterator(folder)) {
    if (item.path().extension() != ".cc") continue;
    const std::string text = read(item.path());
    for (std::sregex_iterator match(text.begin(), text.end(), pattern), end; match != end;
         ++match) {
      names.insert((*match)[1]);
    }
  }
  return {names.begin(), names.end()};
}

std::vector<std::string> broker_fail_points() {
  std::vector<std::string> names = fail_points_in("store");
  for (std::string& name : fail_points_in("broker")) names.push_back(std::move(name));
  const std::string program = read(program_folder() + "/tallyd-testing");
  std::erase_if(names,
                [&](const std::string& name) { return program.find(name) == std::string::npos; });
  if (names.empty()) throw Exception(Error(ErrorCode::kInternal, "no fail-point in the source"));
  return names;
}

}  // namespace tally::test
