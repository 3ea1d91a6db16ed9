#pragma once

#include "base/time.hpp"

namespace csrq::embedded {

/// A port of 127.0.0.1 that is free for TCP and UDP at this moment. Another process may take it before it is
/// used: be ready to pick again.
int free_port();

/// Whether a server could listen at this TCP port of 127.0.0.1 at this moment.
bool can_listen(int port);

/// Whether something accepts TCP connections at 127.0.0.1.
bool accepts_connections(int port);

}  // namespace csrq::embedded
