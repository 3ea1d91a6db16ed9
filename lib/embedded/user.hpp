#pragma once

#include <filesystem>
#include <optional>

#include "embedded/process.hpp"

namespace csrq::embedded {

/// Nothing if there is no such user.
std::optional<User> user_named(const char* name);

/// Whom services run as where this process is root: postgres, or nobody. Nothing if it is not root. Throws
/// UsageError if neither user exists.
std::optional<User> service_user();

/// Whether the user may enter every folder on the way to this one.
bool may_reach(const User& user, const std::filesystem::path& folder);

/// This process becomes the user, with all its threads and for good. Only root can.
void become(const User& user);

}  // namespace csrq::embedded
