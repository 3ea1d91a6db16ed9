#include "http/link.hpp"

#include <algorithm>
#include <optional>

#include "base/identifier.hpp"
#include "http/text.hpp"
#include "http/url.hpp"

namespace csrq::http {

namespace {

constexpr std::string_view white_space = " \t";

/// Reads one header value from left to right (RFC 8288 appendix B.2).
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  /// Stands at the next link, if there is one.
  bool at_link() {
    skip(" \t,");
    return !text_.empty();
  }

  /// Nothing if the link is malformed; the reader then stands somewhere inside it.
  std::optional<Link> link() {
    Link link;
    if (!take('<')) return std::nullopt;
    const std::size_t end = text_.find('>');
    if (end == std::string_view::npos) return std::nullopt;
    link.target = trimmed(text_.substr(0, end));
    text_.remove_prefix(end + 1);

    bool has_rel = false;
    for (skip(white_space); take(';'); skip(white_space)) {
      skip(white_space);
      const std::string name = to_lower_ascii(until(" \t;,="));
      std::optional<std::string> value = parameter_value();
      if (!value) return std::nullopt;
      if (name != "rel" || has_rel) continue;
      has_rel = true;
      link.relations = words(*value);
    }
    if (!text_.empty() && text_.front() != ',') return std::nullopt;
    return link;
  }

  /// Goes to the comma that ends the current link; a comma inside <> or quotes does not.
  void skip_link() {
    while (!text_.empty() && text_.front() != ',') {
      if (text_.front() == '"') {
        quoted();
      } else if (text_.front() == '<') {
        text_.remove_prefix(std::min(text_.find('>'), text_.size() - 1) + 1);
      } else {
        text_.remove_prefix(1);
      }
    }
  }

 private:
  void skip(std::string_view characters) {
    text_.remove_prefix(std::min(text_.find_first_not_of(characters), text_.size()));
  }

  bool take(char character) {
    if (text_.empty() || text_.front() != character) return false;
    text_.remove_prefix(1);
    return true;
  }

  std::string_view until(std::string_view delimiters) {
    const std::string_view found = text_.substr(0, text_.find_first_of(delimiters));
    text_.remove_prefix(found.size());
    return found;
  }

  /// Empty for a parameter without a value; nothing for a quotation that does not end.
  std::optional<std::string> parameter_value() {
    skip(white_space);
    if (!take('=')) return std::string();
    skip(white_space);
    if (!text_.empty() && text_.front() == '"') return quoted();
    return std::string(until(" \t;,"));
  }

  std::optional<std::string> quoted() {
    std::string value;
    for (text_.remove_prefix(1); !text_.empty(); text_.remove_prefix(1)) {
      if (take('"')) return value;
      if (text_.front() == '\\') text_.remove_prefix(1);
      if (text_.empty()) break;
      value += text_.front();
    }
    return std::nullopt;
  }

  static std::vector<std::string> words(std::string_view text) {
    std::vector<std::string> words;
    while (true) {
      text = trimmed(text);
      if (text.empty()) return words;
      const std::string_view word = text.substr(0, text.find_first_of(white_space));
      words.push_back(to_lower_ascii(word));
      text.remove_prefix(word.size());
    }
  }

  std::string_view text_;
};

}  // namespace

std::vector<Link> parse_link(std::string_view header) {
  std::vector<Link> links;
  Reader reader(header);
  while (reader.at_link()) {
    std::optional<Link> link = reader.link();
    if (link) {
      links.push_back(std::move(*link));
    } else {
      reader.skip_link();
    }
  }
  return links;
}

std::vector<std::string> links(const std::vector<std::string>& headers, std::string_view relation,
                               std::string_view base) {
  std::vector<std::string> targets;
  for (const std::string& header : headers) {
    for (const Link& link : parse_link(header)) {
      if (std::ranges::find(link.relations, relation) == link.relations.end()) continue;
      std::string target = resolve_url(base, link.target);
      if (target.empty() || std::ranges::find(targets, target) != targets.end()) continue;
      targets.push_back(std::move(target));
    }
  }
  return targets;
}

}  // namespace csrq::http
