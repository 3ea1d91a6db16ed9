#pragma once

namespace csrq {

/// What to do with a pending authorization that no open order needs.
enum class AbandonedPolicy { deactivate, expire };

}  // namespace csrq
