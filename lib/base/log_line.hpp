#pragma once

#include "base/log.hpp"
#include "base/time.hpp"

/// How a line of the log looks; apart from where it goes.
namespace csrq::log {

/// "2026-11-23T10:00:00.123Z warning the CA asks to wait ca=letsencrypt detail="too many orders"". A value is
/// put in quotes if it is empty or has a space, '=', '"' or '\'; what is no printable UTF-8 is escaped ("\n",
/// "\x1b").
std::string text_line(Level level, Time time, std::string_view message, Fields fields);

/// One JSON object with "time", "level", "message" and the fields, all of them strings; no field can replace
/// the first three.
std::string json_line(Level level, Time time, std::string_view message, Fields fields);

}  // namespace csrq::log
