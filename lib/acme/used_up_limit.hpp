#pragma once

#include "acme/problem.hpp"
#include "base/error.hpp"
#include "http/client.hpp"

namespace csrq::acme {

/// Which limit a `rateLimited` problem (RFC 8555 §6.6) speaks of, in the narrowest scope that the answer
/// names: by the fragment of the page it links to (`Link: rel="help"`, or in the sentence), else by the
/// sentence (Let's Encrypt's, and those of CAs with its software). Account, if it names none: that is what
/// most mean.
UsedUpLimit used_up_limit(const Problem& problem, const http::Response& response);

}  // namespace csrq::acme
