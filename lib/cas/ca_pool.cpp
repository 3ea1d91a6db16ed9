#include "cas/ca_pool.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "cas/external_account.hpp"
#include "cas/rate_limits.hpp"
#include "config/config.hpp"

namespace csrq::cas {
namespace {

/// What is published of the CA, unless the configuration knows better.
acme::RequestRates request_rates_of(const CaConfig& config) {
  using acme::EndpointClass;
  acme::RequestRates rates = acme::known_rates(config.directory);
  const RequestRatesConfig& wanted = config.requests_per_second;
  const auto set = [&](EndpointClass endpoint, std::optional<int> rate) {
    if (rate) rates[endpoint] = *rate;
  };
  set(EndpointClass::directory, wanted.directory);
  set(EndpointClass::new_nonce, wanted.new_nonce);
  set(EndpointClass::new_account, wanted.new_account);
  set(EndpointClass::new_order, wanted.new_order);
  set(EndpointClass::revoke, wanted.revoke);
  set(EndpointClass::renewal_info, wanted.renewal_info);
  set(EndpointClass::other, wanted.other);
  return rates;
}

std::optional<acme::ExternalAccountBinding> binding_of(const CaConfig& config) {
  if (!config.eab) return std::nullopt;
  return read_external_account_binding(config);
}

}  // namespace

PooledCa::PooledCa(const CaConfig& ca_config)
    : config(ca_config),
      binding(binding_of(ca_config)),
      is_limited(!limits_of(ca_config.directory, ca_config.limits).empty()),
      client(http::ClientOptions{.ca_file = ca_config.ca_file, .connections = ca_config.connections}),
      ca(ca_config.name, ca_config.directory, client, request_rates_of(ca_config)),
      roots(ca_config.roots_file, ca_config.ca_file),
      free_slots_(ca_config.orders_in_flight) {}

bool PooledCa::is_news_of_chain(const std::string& preferred_chain) {
  constexpr std::size_t most_told = 1'000;  // rows may ask for anything
  const Lock lock(told_of_chains_mutex_);
  return told_of_chains_.size() < most_told && told_of_chains_.insert(preferred_chain).second;
}

OrderSlot PooledCa::try_take_slot() {
  int free = free_slots_.load();
  while (free > 0)
    if (free_slots_.compare_exchange_weak(free, free - 1)) return OrderSlot(&free_slots_);
  return {};
}

CaPool::CaPool(const Config& config) : default_(config.default_ca) {
  for (const auto& [name, ca] : config.cas) cas_.emplace(name, std::make_unique<PooledCa>(ca));
}

PooledCa& CaPool::find(const std::string& name) const {
  const std::string& wanted = name.empty() ? default_ : name;
  const auto found = cas_.find(wanted);
  if (found == cas_.end())
    fail(FailureClass::permanent, ErrorCode::unknown_ca,
         "the CA \"" + wanted +
             "\" is not among `cas` in the worker's configuration: name a configured one, or add it and "
             "retry");
  return *found->second;
}

PooledCa* CaPool::find_by_directory(const std::string& directory) const {
  const auto found =
      std::ranges::find_if(cas_, [&](const auto& entry) { return entry.second->directory() == directory; });
  return found == cas_.end() ? nullptr : found->second.get();
}

std::vector<std::string> CaPool::directories_in_reach() const {
  std::vector<std::string> directories;
  directories.reserve(cas_.size());
  for (const auto& [name, ca] : cas_)
    if (!ca->outage.remaining(Outage::Clock::now())) directories.push_back(ca->directory());
  return directories;
}

std::optional<Duration> CaPool::pause() const {
  std::optional<Duration> shortest;
  for (const auto& [name, ca] : cas_) {
    const std::optional<Duration> remaining = ca->outage.remaining(Outage::Clock::now());
    if (!remaining) return std::nullopt;
    shortest = std::min(*remaining, shortest.value_or(*remaining));
  }
  return shortest;
}

std::vector<std::string> CaPool::out_of_reach() const {
  std::vector<std::string> names;
  names.reserve(cas_.size());
  for (const auto& [name, ca] : cas_)
    if (ca->outage.is_out()) names.push_back(name);
  return names;
}

std::vector<const PooledCa*> CaPool::all() const {
  std::vector<const PooledCa*> pooled;
  pooled.reserve(cas_.size());
  for (const auto& [name, ca] : cas_) pooled.push_back(ca.get());
  return pooled;
}

int CaPool::orders_in_flight() const {
  int sum = 0;
  for (const auto& [name, ca] : cas_) sum += ca->config.orders_in_flight;
  return sum;
}

void CaPool::share_among(int workers) const {
  for (const auto& [name, ca] : cas_) ca->ca.pacer().share_among(workers);
}

std::vector<CaPace> CaPool::pace() const {
  std::vector<CaPace> list;
  for (const auto& [name, ca] : cas_) {
    CaPace& pace = list.emplace_back(CaPace{.ca = name});
    for (const acme::EndpointClass endpoint : acme::endpoint_classes)
      pace.statistics[endpoint] = ca->ca.pacer().statistics(endpoint);
  }
  return list;
}

void CaPool::stop() const {
  for (const auto& [name, ca] : cas_) ca->client.stop();
}

http::ClientStatistics CaPool::statistics() const {
  http::ClientStatistics sum;
  for (const auto& [name, ca] : cas_) {
    const http::ClientStatistics one = ca->client.statistics();
    sum.requests += one.requests;
    sum.connections += one.connections;
    sum.failures += one.failures;
  }
  return sum;
}

}  // namespace csrq::cas
