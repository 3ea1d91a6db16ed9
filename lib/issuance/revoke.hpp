#pragma once

#include "issuance/progress.hpp"
#include "issuance/task.hpp"
#include "issuance/world.hpp"

namespace csrq::issuance {

/// RFC 8555 §7.6, signed by the account that ordered the certificate. Safe to repeat: a certificate that the
/// CA has revoked already is success. Throws Error.
Progress revoke(World& world, Task& task);

}  // namespace csrq::issuance
