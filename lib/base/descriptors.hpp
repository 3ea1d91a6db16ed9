#pragma once

#include <cstddef>

namespace csrq {

/// The soft limit of open files becomes the hard one. systemd and most shells start with a soft limit of
/// 1024, for programs that use select(2); csrq uses poll(2) and epoll(7).
void raise_descriptor_limit();

/// How many files and sockets this process may have open now.
std::size_t descriptor_limit();

}  // namespace csrq
