#pragma once

#include <optional>
#include <string>

#include "acme/problem.hpp"
#include "base/error.hpp"
#include "http/client.hpp"

namespace csrq::acme {

/// Which limit a `rateLimited` problem (RFC 8555 §6.6) speaks of, in the narrowest scope that the answer
/// names. The fragment of the page that it links to (`Link: rel="help"`, or in the sentence) says so, else
/// the sentence (Let's Encrypt's, and those of CAs with its software). If neither names a limit, it is taken
/// for the account's, since most mean this one.
UsedUpLimit used_up_limit(const Problem& problem, const http::Response& response);

/// How long to wait by the sentence of a `rateLimited` problem: "…, retry after 2026-11-30 05:07:12 UTC: …".
/// Boulder leaves Retry-After out where less than half a second is left; RFC 8555 §6.6 has it as a SHOULD.
/// Counted from the answer's Date, if it has one, so this machine's clock does not matter. Zero for a past
/// time, http::longest_retry_after at most, nothing if the sentence names no time.
std::optional<Duration> wait_in_sentence(const Problem& problem, const http::Response& response, Time now);

/// Let's Encrypt says `rateLimited` for a name that it has paused. It tries such a name again only after a
/// person has asked for it. The code of such a refusal is "name_paused".
bool is_paused(const Problem& problem);
/// Which name that is; empty if the sentence does not say.
std::string paused_name(const Problem& problem);

}  // namespace csrq::acme
