#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "acme/authorization.hpp"
#include "base/identifier.hpp"
#include "base/time.hpp"

namespace csrq::proofs {

/// Who answers: the account that the order is of.
struct Prover {
  std::string account_url{};
  std::string thumbprint{};  ///< RFC 7638, of its key
};

/// What a CA is to find before it is told to look.
struct Answer {
  Identifier identifier{};          ///< a wildcard without its "*."
  acme::Challenge challenge{};      ///< which it answers
  std::string key_authorization{};  ///< what is written into the ledger (RFC 8555 §8.1); empty: nothing is
  bool is_placed{};                 ///< the CA would find it, as far as csrq knows
  bool is_told{};                   ///< the CA was told to look
};

/// The CA would not find an answer yet.
struct NotYet {
  Duration wait{};       ///< until it is worth another look
  std::string code{};    ///< what the row says meanwhile
  std::string detail{};  ///< a sentence
};

/// One way to prove control of an identifier: a type of challenge (RFC 8555 §8). Thread-safe.
///
/// What an answer has to say is a pure function of challenge and account, and is in the ledger
/// (csrq.acme_challenge) before it is placed anywhere. So any worker can give the same answer again, and
/// nothing is lost in a crash.
class Proof {
 public:
  virtual ~Proof() = default;

  /// As in the CA's challenge objects: "http-01".
  virtual std::string_view type() const = 0;
  /// Empty if this type can prove control of `identifier` (wildcards with their "*."); else the reason, a
  /// sentence for people.
  virtual std::string why_not(const Identifier& identifier) const = 0;
  /// The answer to a challenge of this type. Nothing: the challenge lacks what an answer needs, a token for
  /// example.
  virtual std::optional<Answer> answer(const acme::Challenge& challenge, const Identifier& identifier,
                                       const Prover& prover) const = 0;
  /// Sees to it that the CA would find these answers of one order, which are in the ledger, and notes which
  /// are placed; passes over those that were before. Nothing: all are, and the CA may be told. Else this is
  /// called again after the wait, be it by another worker. Waits for the network, for some seconds at most.
  /// Throws Error{validation} with one sentence where an answer does not get to where the CA looks: that
  /// costs no validation. `customer`: whose names they are; places that are few are shared by customer.
  virtual std::optional<NotYet> placed(std::span<Answer> answers, const std::string& customer) const = 0;
  /// The order is over, and needs them no more; another open order may, which shares the authorization. Safe
  /// to repeat. A hint: it does not come for every answer, since a row may be cancelled, or go on with another
  /// worker. What must not stay for ever is to be found in the database, too.
  virtual void take_away(std::span<const Answer> answers) const noexcept = 0;
};

/// RFC 8555 §8.1: token "." thumbprint of the account's key.
std::string key_authorization(std::string_view token, std::string_view thumbprint);

/// True for a token as RFC 8555 §8 describes it: base64url characters only. csrq takes at most 256 of them.
/// What is not a token is never stored or served: it would end up in paths.
bool is_token(std::string_view text);

}  // namespace csrq::proofs
