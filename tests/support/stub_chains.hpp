#pragma once

#include <string>
#include <vector>

namespace csrq::test {

/// How the stub hands out a certificate (RFC 8555 §7.4.2), in good ways and bad ones.
struct ChainDelivery {
  enum class Form {
    chain,       ///< application/pem-certificate-chain, end entity first
    single_pem,  ///< one block in the same media type, `up` links
    single_der,  ///< application/pkix-cert, `up` links
  };
  /// What an `up` link leads to.
  enum class Up {
    issuer,
    missing,   ///< 404
    broken,    ///< 500
    stranger,  ///< a CA certificate that has issued nothing here
    itself,    ///< the URL it is a link of
    garbage,
    oversize,
  };
  /// What is wrong with the end-entity certificate.
  enum class Flaw { none, other_key, missing_name, extra_name, expired, not_yet_valid, says_ca };
  /// What is odd about a chain in PEM.
  enum class Oddity {
    none,
    reversed,
    leaf_repeated,
    root_included,
    stranger_included,  ///< beside the right issuers
    stranger_instead,   ///< of the right issuers
    crlf_and_comments,
    no_line_ends,  ///< base64 in one long line
    leaf_only,     ///< and no `up` link
    empty,
    garbage,
    oversize,
  };
  enum class Alternate { good, missing, garbage, cut };

  Form form{Form::chain};
  Flaw flaw{Flaw::none};
  Oddity oddity{Oddity::none};     ///< form chain only
  std::vector<Up> up{Up::issuer};  ///< of every certificate, in this order; empty: no links
  bool der_issuers{false};         ///< behind `up`: application/pkix-cert
  bool relative_links{false};
  bool root_behind_up{false};           ///< the topmost intermediate links to the root, which links to itself
  bool plain_issuers{false};            ///< issuers take only GET, as files do
  std::vector<Alternate> alternates{};  ///< one link each; good ones lead to the alternate roots in turn
};

}  // namespace csrq::test
