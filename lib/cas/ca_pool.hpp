#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "acme/account.hpp"
#include "acme/ca.hpp"
#include "base/mutex.hpp"
#include "cas/known_roots.hpp"
#include "cas/outage.hpp"
#include "cas/poll_pace.hpp"
#include "http/client.hpp"

namespace csrq {
struct CaConfig;
struct Config;
}  // namespace csrq

namespace csrq::cas {

/// Permission to have one more order under way at a CA (`orders_in_flight`), given back when destroyed.
class OrderSlot {
 public:
  OrderSlot() = default;
  explicit OrderSlot(std::atomic<int>* free) : free_(free) {}
  OrderSlot(OrderSlot&& other) noexcept : free_(std::exchange(other.free_, nullptr)) {}
  OrderSlot& operator=(OrderSlot&& other) noexcept {
    std::swap(free_, other.free_);
    return *this;
  }
  ~OrderSlot() {
    if (free_) free_->fetch_add(1);
  }
  explicit operator bool() const { return free_ != nullptr; }

 private:
  std::atomic<int>* free_{nullptr};
};

/// A configured CA as this process uses it. Thread-safe.
class PooledCa {
 public:
  /// `ca_config` must outlive this. Throws UsageError if its `ca_file` or its MAC key cannot be used.
  explicit PooledCa(const CaConfig& ca_config);

  const std::string& name() const { return ca.name(); }
  const std::string& directory() const { return ca.directory_url(); }

  const CaConfig& config;
  const std::optional<acme::ExternalAccountBinding> binding;  ///< what the CA wants of a new account
  std::atomic<bool> is_limited;  ///< rate limits of it are known, configured or learnt
  http::Client client;
  acme::Ca ca;
  PollPace validation_pace{};  ///< from answering challenges to the order leaving `pending`
  PollPace issuance_pace{};    ///< from finalize to the order leaving `processing`
  Outage outage{};
  KnownRoots roots;

  /// Whether nobody of this process has been told yet that the CA offers no such chain.
  bool is_news_of_chain(const std::string& preferred_chain);

  /// An empty slot if as many orders as configured are under way.
  OrderSlot try_take_slot();

 private:
  std::atomic<int> free_slots_;
  Mutex told_of_chains_mutex_{};
  std::set<std::string> told_of_chains_ CSRQ_GUARDED_BY(told_of_chains_mutex_){};
};

/// How requests to one CA were paced.
struct CaPace {
  std::string ca{};
  acme::ByEndpoint<acme::PaceStatistics> statistics{};
};

/// Every configured CA, ready to use. Nothing is requested before a CA is first used.
class CaPool {
 public:
  /// `config` must outlive this. Throws UsageError if a CA's files cannot be used.
  explicit CaPool(const Config& config);

  /// The CA of that name, the default one for an empty name. Throws Error{permanent, "unknown_ca"}.
  PooledCa& find(const std::string& name) const;
  /// The CA with that directory, wherever it is configured; null if none is.
  PooledCa* find_by_directory(const std::string& directory) const;
  /// Directories of the CAs that are in reach as far as this process knows.
  std::vector<std::string> directories_in_reach() const;
  /// How long no CA at all is to be asked; nothing if one may be.
  std::optional<Duration> pause() const;
  /// Names of the CAs whose last request got no answer.
  std::vector<std::string> out_of_reach() const;
  /// In the order of their names; they live as long as this.
  std::vector<const PooledCa*> all() const;
  /// How many orders may be under way at all CAs together.
  int orders_in_flight() const;
  /// The CAs' limits are divided among so many worker processes.
  void share_among(int workers) const;
  std::vector<CaPace> pace() const;
  /// Ends requests under way, and sends no more.
  void stop() const;
  /// Of all CAs together.
  http::ClientStatistics statistics() const;

 private:
  std::string default_;
  std::map<std::string, std::unique_ptr<PooledCa>> cas_;
};

}  // namespace csrq::cas
