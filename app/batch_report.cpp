#include "app/batch_report.hpp"

#include <algorithm>
#include <iostream>

#include "app/output.hpp"
#include "base/printable.hpp"

namespace csrq::app {
namespace {

using Kind = issuance::Progress::Kind;

std::string word_for(const issuance::Progress& progress) {
  switch (progress.kind) {
    case Kind::issued:
      return "issued";
    case Kind::revoked:
      return "revoked";
    case Kind::put_off:
      return "put off";
    case Kind::failed:
      return "failed";
    case Kind::dropped:
    case Kind::waiting:
      break;
  }
  return "dropped";
}

std::int64_t done(const workers::Tally& tally) {
  return tally.issued + tally.revoked + tally.failed + tally.put_off + tally.dropped;
}

std::string described(const workers::Outcome& outcome) {
  std::string text = word_for(outcome.progress) + ": request " +
                     std::to_string(store::number(outcome.request)) + " of " + outcome.customer;
  if (!outcome.names.empty())
    text += " (" + outcome.names.front() +
            (outcome.names.size() > 1 ? " +" + std::to_string(outcome.names.size() - 1) : "") + ")";
  if (outcome.progress.failure)
    text += ": " + outcome.progress.failure->code + ": " + outcome.progress.failure->detail;
  return printable(text);
}

constexpr const char* start_of_line = "\r\x1b[K";

}  // namespace

workers::IssuerObserver BatchReport::observer() {
  workers::IssuerObserver observer;
  observer.finished = [this](const workers::Outcome& outcome) { finished(outcome); };
  if (style_ == Style::bar) observer.tick = [this](const workers::Tally& tally) { bar(tally); };
  return observer;
}

void BatchReport::finished(const workers::Outcome& outcome) const {
  if (style_ == Style::json) {
    reports::JsonObject document{{"id", store::number(outcome.request)},
                                 {"customer", outcome.customer},
                                 {"names", outcome.names},
                                 {"outcome", word_for(outcome.progress)}};
    if (const auto& failure = outcome.progress.failure)
      document.add("error", reports::JsonObject{{"code", failure->code}, {"detail", failure->detail}}.json());
    print(document.json());
    std::cout << std::flush;
  } else if (style_ == Style::lines) {
    std::cout << described(outcome) + "\n" << std::flush;
  } else if (outcome.progress.failure) {
    std::cout << start_of_line + described(outcome) + "\n" << std::flush;
  }
}

void BatchReport::bar(const workers::Tally& tally) const {
  constexpr std::int64_t width = 30;
  const std::int64_t total = std::max<std::int64_t>({total_, tally.claimed, 1});
  const auto full = static_cast<std::size_t>(done(tally) * width / total);
  std::string text = "[" + std::string(full, '#') + std::string(width - full, '.') + "] " +
                     std::to_string(done(tally)) + "/" + std::to_string(total);
  text += "  issued " + std::to_string(tally.issued) + "  failed " + std::to_string(tally.failed) +
          "  put off " + std::to_string(tally.put_off) + "  under way " + std::to_string(tally.in_flight);
  std::cout << start_of_line + text << std::flush;
}

void BatchReport::summary(const workers::Tally& tally) const {
  if (style_ == Style::json) {
    print(reports::JsonObject{{"claimed", tally.claimed},
                              {"issued", tally.issued},
                              {"revoked", tally.revoked},
                              {"failed", tally.failed},
                              {"put_off", tally.put_off},
                              {"dropped", tally.dropped}}
              .json());
    return;
  }
  if (style_ == Style::bar) std::cout << start_of_line;
  if (tally.claimed == 0) {
    std::cout << "nothing was due\n";
    return;
  }
  std::cout << tally.claimed << (tally.claimed == 1 ? " row: " : " rows: ") << tally.issued << " issued, "
            << tally.failed << " failed, " << tally.put_off << " put off";
  if (tally.revoked > 0) std::cout << ", " << tally.revoked << " revoked";
  if (tally.dropped > 0) std::cout << ", " << tally.dropped << " dropped (cancelled, or taken over)";
  if (const std::int64_t rest = tally.claimed - done(tally); rest > 0)
    std::cout << ", " << rest << " given back";
  std::cout << "\n";
}

}  // namespace csrq::app
