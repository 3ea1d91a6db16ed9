#pragma once

#include <map>
#include <string>

#include "config/reader.hpp"

/// The larger sections of the file. For this folder only.
namespace csrq {

struct CaConfig;
struct NotifyConfig;

void read_cas(Section section, std::map<std::string, CaConfig>& cas, const std::string& file);
void read_notify(Section section, NotifyConfig& notify, const std::string& file);

}  // namespace csrq
