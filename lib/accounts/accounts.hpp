#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "accounts/keyring.hpp"
#include "accounts/registration.hpp"
#include "acme/ca.hpp"
#include "base/mutex.hpp"
#include "cas/ca_pool.hpp"
#include "store/accounts.hpp"

namespace csrq {
struct AccountsConfig;
}  // namespace csrq

namespace csrq::accounts {

/// An account ready to sign with.
struct OpenAccount {
  store::AccountId id{};
  store::AccountOwner owner{};
  acme::Signer signer;
  std::string thumbprint{};  ///< RFC 7638, of its key
  std::string orders_url{};  ///< empty: the CA lists no orders
};

/// The accounts this process has used, keys opened. An account is found by its owner, never by contact, and
/// made once: its sealed key is committed before the CA hears of it, so a repeated newAccount finds the same
/// account. Thread-safe.
class Accounts {
 public:
  /// All three must outlive this.
  Accounts(store::Database& database, const Keyring& keyring, const AccountsConfig& config);

  /// Whose account an order for `names` uses.
  store::AccountOwner owner_of(const cas::PooledCa& ca, const std::string& customer,
                               const std::vector<std::string>& names) const;
  /// The account that an order for `names` uses. Null: another thread is registering it at this moment; come
  /// back soon. Throws AccountRefused, Error{administrative, "sealed_key"}, or what else the CA answered.
  std::shared_ptr<const OpenAccount> find_or_register(cas::PooledCa& ca, const std::string& customer,
                                                      const std::vector<std::string>& names);
  /// The account of an owner that certificates were ordered with. Throws Error{permanent, "unknown_account"}
  /// if there is none.
  std::shared_ptr<const OpenAccount> existing(cas::PooledCa& ca, const store::AccountOwner& owner);
  /// The CA no longer knows the account: registers its key anew.
  std::shared_ptr<const OpenAccount> register_again(cas::PooledCa& ca, const OpenAccount& account);
  /// The CA has refused a request because the account has ended ("account_deactivated"). An end is final,
  /// so this asks the CA once more, by the key. Writes the status and throws AccountRefused; throws the
  /// refusal if the CA says something else.
  [[noreturn]] void give_up(cas::PooledCa& ca, const OpenAccount& account, Failure refusal);
  /// The database may have lost accounts. From now on each is looked up again before it is used. Accounts
  /// that this process has made of late are saved again, so that the CA gives the same ones back, with their
  /// orders.
  void look_up_again();
  /// Makes rows due that wait because the CA refused their account under another configuration.
  void put_in_force(const cas::CaPool& cas);

 private:
  struct Entry {
    std::mutex registering{};  ///< held while the account is looked up or made; guards no member
    mutable Mutex mutex{};
    std::shared_ptr<const OpenAccount> account CSRQ_GUARDED_BY(mutex){};
    std::uint64_t look CSRQ_GUARDED_BY(mutex){};  ///< of which look_up_again() the account is
  };
  struct Made {
    store::AccountOwner owner{};
    crypto::PrivateKey key;
    std::chrono::steady_clock::time_point at{};
  };

  std::shared_ptr<Entry> entry(const store::AccountOwner& owner);
  std::shared_ptr<const OpenAccount> in_use(const Entry& entry) const;
  /// Returns the account.
  static std::shared_ptr<const OpenAccount> keep(Entry& entry, std::shared_ptr<const OpenAccount> account,
                                                 std::uint64_t look);
  std::shared_ptr<const OpenAccount> load(cas::PooledCa& ca, const store::AccountOwner& owner);
  store::StoredAccount create(const store::AccountOwner& owner);
  crypto::PrivateKey key_for(const store::AccountOwner& owner);
  std::shared_ptr<const OpenAccount> opened(cas::PooledCa& ca, const store::AccountOwner& owner,
                                            const store::StoredAccount& stored);
  void register_key(cas::PooledCa& ca, OpenAccount& account);
  void begin_registration(cas::PooledCa& ca, OpenAccount& account);
  void replace_refused_key(OpenAccount& account);
  [[noreturn]] void registration_failed(const cas::PooledCa& ca, const OpenAccount& account,
                                        const Error& error);

  store::Database& database_;
  const Keyring& keyring_;
  const AccountsConfig& config_;
  Mutex mutex_{};
  std::map<store::AccountOwner, std::shared_ptr<Entry>> entries_ CSRQ_GUARDED_BY(mutex_){};
  /// By this process, within the last hour; the oldest first.
  std::deque<Made> made_ CSRQ_GUARDED_BY(mutex_){};
  std::atomic<std::uint64_t> look_{0};
};

}  // namespace csrq::accounts
