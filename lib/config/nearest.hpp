#pragma once

#include <span>
#include <string_view>

namespace csrq {

/// The name that `text` was probably meant to be; empty if it is not like any.
std::string_view nearest(std::string_view text, std::span<const std::string_view> names);

}  // namespace csrq
