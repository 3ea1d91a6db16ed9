#include "issuance/revoke.hpp"

#include "acme/revocation.hpp"
#include "issuance/reach.hpp"

namespace csrq::issuance {

Progress revoke(World& world, Task& task) {
  const std::optional<store::CertificateToRevoke> wanted =
      store::certificate_to_revoke(world.database, task.claim.fence.request);
  if (!wanted)
    fail(FailureClass::permanent, ErrorCode::no_certificate, "the row has no certificate to revoke");
  Place& place = task.place;
  place.ca = world.cas.find_by_directory(wanted->owner.directory);
  if (!place.ca)
    fail(FailureClass::permanent, ErrorCode::unknown_ca,
         "the certificate is from " + wanted->owner.directory +
             ", which is not among `cas` in the worker's configuration");
  if (std::optional<Progress> out = wait_for_ca(world, task)) return *out;
  place.account = world.accounts.existing(*place.ca, wanted->owner);
  acme::Session session{.ca = place.ca->ca, .signer = place.account->signer};
  acme::revoke(session, wanted->der, task.claim.revoke_reason);
  return store::complete_revocation(world.database, task.claim.fence) ? Progress::revoked()
                                                                      : Progress::dropped();
}

}  // namespace csrq::issuance
