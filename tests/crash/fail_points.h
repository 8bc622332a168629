#pragma once
// The fail-points that stand in the source, so that none can be forgotten by the tests.

#include <filesystem>
#include <string>
#include <vector>

namespace tally::test {

/// Names in alphabetical order, from every .cc file under `folder`. Throws std::filesystem_error.
std::vector<std::string> fail_points_in(const std::filesystem::path& folder);
/// Those under store/ and broker/ of the working directory whose code is part of tallyd-testing.
/// Throws Exception when there is none: this is not the root of the tree.
std::vector<std::string> broker_fail_points();

}  // namespace tally::test
