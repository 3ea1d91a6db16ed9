#pragma once

#include <array>
#include <string_view>

/// The problem types of ACME by their last part. As the code of a failure they are the CA's words; what they
/// mean stands with csrq's own in db/functions/errors/error_codes.sql.
namespace csrq::acme::problem_type {

inline constexpr std::string_view account_does_not_exist = "accountDoesNotExist";
inline constexpr std::string_view agreement_required = "agreementRequired";
inline constexpr std::string_view already_replaced = "alreadyReplaced";
inline constexpr std::string_view already_revoked = "alreadyRevoked";
inline constexpr std::string_view bad_nonce = "badNonce";
inline constexpr std::string_view bad_public_key = "badPublicKey";
inline constexpr std::string_view bad_signature_algorithm = "badSignatureAlgorithm";
inline constexpr std::string_view compound = "compound";
inline constexpr std::string_view external_account_required = "externalAccountRequired";
inline constexpr std::string_view invalid_contact = "invalidContact";
inline constexpr std::string_view malformed = "malformed";
inline constexpr std::string_view rate_limited = "rateLimited";
inline constexpr std::string_view unauthorized = "unauthorized";
inline constexpr std::string_view unsupported_contact = "unsupportedContact";
inline constexpr std::string_view user_action_required = "userActionRequired";

/// Those registered with IANA (RFC 8555 §6.7, RFC 8739, RFC 9115, RFC 9773 and others), of
/// draft-ietf-acme-profiles, and of CAs. None may be a code of csrq's own by which it acts on what a CA says.
inline constexpr auto known = std::to_array<std::string_view>({account_does_not_exist,
                                                               agreement_required,
                                                               already_replaced,
                                                               already_revoked,
                                                               "autoRenewalCanceled",
                                                               "autoRenewalCancellationInvalid",
                                                               "autoRenewalExpired",
                                                               "autoRenewalRevocationNotSupported",
                                                               "badCSR",
                                                               bad_nonce,
                                                               bad_public_key,
                                                               "badRevocationReason",
                                                               bad_signature_algorithm,
                                                               "caa",
                                                               compound,
                                                               "conflict",
                                                               "connection",
                                                               "dns",
                                                               external_account_required,
                                                               "incorrectResponse",
                                                               invalid_contact,
                                                               "invalidProfile",
                                                               malformed,
                                                               "onionCAARequired",
                                                               "orderNotReady",
                                                               rate_limited,
                                                               "rejectedIdentifier",
                                                               "serverInternal",
                                                               "tls",
                                                               unauthorized,
                                                               "unknownDelegation",
                                                               unsupported_contact,
                                                               "unsupportedIdentifier",
                                                               user_action_required});

}  // namespace csrq::acme::problem_type
