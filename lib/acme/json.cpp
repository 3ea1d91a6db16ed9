#include "acme/json.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "http/url.hpp"

namespace csrq::acme {

namespace {

/// Leaves the parser early; never leaves parse_json.
struct Unacceptable {};

std::string_view described(Json::value_t type) {
  switch (type) {
    case Json::value_t::string:
      return "text";
    case Json::value_t::boolean:
      return "true or false";
    case Json::value_t::array:
      return "a list";
    case Json::value_t::object:
      return "an object";
    default:
      return "a number";
  }
}

std::string quoted(const std::string& name) {
  return "`" + name + "`";
}

}  // namespace

std::optional<Json> parse_json(std::string_view text) {
  const auto check = [](int depth, Json::parse_event_t event, Json& value) {
    if (depth > static_cast<int>(max_json_depth)) throw Unacceptable{};
    const bool is_text =
        event == Json::parse_event_t::key || (event == Json::parse_event_t::value && value.is_string());
    if (is_text && value.get_ref<const std::string&>().find('\0') != std::string::npos) throw Unacceptable{};
    return true;
  };
  try {
    Json json = Json::parse(text, check);
    return json;
  } catch (const Unacceptable&) {
    return std::nullopt;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

std::string dump_json(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Object::Object(Json json, Source source) : json_(std::move(json)), source_(std::move(source)) {}

Object Object::parse(std::string_view text, Source source) {
  std::optional<Json> json = parse_json(text);
  Object object(json ? std::move(*json) : Json(), std::move(source));
  if (object.json_.is_object()) return object;
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) object.refuse("the answer is empty, expected a JSON object");
  if (text[first] == '<')
    object.refuse("the answer is HTML, expected a JSON object: the URL is wrong, or a proxy answers");
  object.refuse("the answer is not a JSON object");
}

void Object::refuse(const std::string& what) const {
  fail(FailureClass::transient, source_.code, source_.url + ": " + what);
}

const Json* Object::find(const char* name) const {
  const auto found = json_.find(name);
  return found == json_.end() || found->is_null() ? nullptr : &*found;
}

const Json* Object::find(const char* name, Json::value_t type) const {
  const Json* found = find(name);
  if (found && found->type() != type)
    refuse("the member " + quoted(path_ + name) + " is " + std::string(described(found->type())) +
           ", expected " + std::string(described(type)));
  return found;
}

std::string Object::text(const char* name) const {
  const Json* found = find(name, Json::value_t::string);
  return found ? found->get<std::string>() : std::string();
}

bool Object::flag(const char* name) const {
  const Json* found = find(name, Json::value_t::boolean);
  return found && found->get<bool>();
}

std::vector<std::string> Object::texts(const char* name) const {
  std::vector<std::string> texts;
  const Json* list = find(name, Json::value_t::array);
  if (!list) return texts;
  for (const Json& entry : *list) {
    if (!entry.is_string()) refuse("an entry of " + quoted(path_ + name) + " is not text");
    texts.push_back(entry.get<std::string>());
  }
  return texts;
}

std::vector<Object> Object::objects(const char* name) const {
  std::vector<Object> objects;
  const Json* list = find(name, Json::value_t::array);
  if (!list) return objects;
  for (const Json& entry : *list) {
    if (!entry.is_object()) refuse("an entry of " + quoted(path_ + name) + " is not an object");
    objects.emplace_back(entry, source_).path_ = path_ + name + ".";
  }
  return objects;
}

std::optional<Object> Object::object(const char* name) const {
  const Json* found = find(name, Json::value_t::object);
  if (!found) return std::nullopt;
  Object object(*found, source_);
  object.path_ = path_ + name + ".";
  return object;
}

void Object::check_url(const char* name, const std::string& url) const {
  if (!http::is_usable_url(url))
    refuse("the member " + quoted(path_ + name) + " must be an https URL of at most " +
           std::to_string(http::max_url_octets) + " characters");
}

std::string Object::url(const char* name) const {
  std::string url = text(name);
  if (!url.empty()) check_url(name, url);
  return url;
}

std::vector<std::string> Object::urls(const char* name) const {
  std::vector<std::string> urls = texts(name);
  for (const std::string& url : urls) check_url(name, url);
  return urls;
}

std::string Object::required_text(const char* name) const {
  std::string text = this->text(name);
  if (text.empty()) refuse("the member " + quoted(path_ + name) + " is missing");
  return text;
}

std::string Object::required_url(const char* name) const {
  std::string url = required_text(name);
  check_url(name, url);
  return url;
}

}  // namespace csrq::acme
