#pragma once

#include <array>
#include <string>
#include <string_view>

// csrq's own codes of failures. Whoever adds one adds a row to db/functions/errors/error_codes.sql, which
// says what it means, and a line to docs/operating.md; a test holds the three together. A failure of which
// the CA says more has a problem type of ACME as its code instead (acme/problem_type.hpp), an answer without
// a problem its status: "http_502".
// clang-format off
#define CSRQ_ERROR_CODES(code)                                                                             \
  /* The CSR */                                                                                            \
  code(unreadable) code(bad_string) code(bad_signature) code(unsupported_key) code(weak_hash)              \
  code(unsupported_signature) code(no_names) code(too_many_names) code(common_name_not_in_san)             \
  code(ip_in_common_name) code(microsoft_extension_request) code(email_name) code(uri_name)                \
  code(other_name) code(bad_ip_address) code(must_staple) code(single_label) code(not_ascii)               \
  code(trailing_dot) code(empty_label) code(long_label) code(long_name) code(underscore)                   \
  code(bad_character) code(bad_wildcard) code(ip_as_dns_name) code(overlapping_wildcard)                   \
  code(cannot_prove) code(account_key) code(key_compromised) code(fresh_csr_wanted)                        \
  /* The configuration */                                                                                  \
  code(not_granted) code(unknown_ca) code(unsupported_challenge) code(no_challenge)                        \
  code(terms_not_agreed) code(sealed_key) code(sealing_key) code(unknown_account)                          \
  code(account_deactivated)                                                                                \
  /* Waits before the CA is asked */                                                                       \
  code(name_paused) code(on_hold) code(rate_limit) code(ca_out_of_reach) code(paced) code(account_busy)    \
  code(ca_full) code(recent_failure) code(same_request_under_way) code(split_waits) code(suspended)        \
  /* Orders */                                                                                             \
  code(self_check) code(self_check_waits) code(ca_busy) code(order_taken) code(order_used)                 \
  code(order_stuck) code(order_lost) code(order_expired) code(order_invalid) code(authorization_lost)      \
  code(answer_lost) code(replaces_refused) code(finalize_ignored) code(challenge_error)                    \
  /* Answers of the CA */                                                                                  \
  code(connection) code(tls) code(timeout) code(oversize) code(bad_answer) code(bad_directory)             \
  code(bad_chain) code(bad_certificate) code(no_nonce) code(foreign_url)                                   \
  /* Revocation, renewal information, authorizations that are given back */                                \
  code(no_certificate) code(not_offered) code(bad_renewal_info) code(bad_renewal_info_id)                  \
  code(absurd_window) code(not_deactivated)                                                                \
  /* csrq itself */                                                                                        \
  code(rescued_too_often) code(internal) code(webhook) code(mail)
// clang-format on

namespace csrq {

enum class ErrorCode {
#define CSRQ_ENUMERATOR(code) code,
  CSRQ_ERROR_CODES(CSRQ_ENUMERATOR)
#undef CSRQ_ENUMERATOR
};

inline constexpr std::array error_code_names{
#define CSRQ_NAME(code) std::string_view(#code),
    CSRQ_ERROR_CODES(CSRQ_NAME)
#undef CSRQ_NAME
};

/// As it stands in csrq.request.error and in the history.
inline std::string to_string(ErrorCode code) {
  return std::string(error_code_names[static_cast<std::size_t>(code)]);
}

/// Whether a code as it is written is this one.
constexpr bool operator==(std::string_view written, ErrorCode code) {
  return written == error_code_names[static_cast<std::size_t>(code)];
}

}  // namespace csrq

#undef CSRQ_ERROR_CODES
