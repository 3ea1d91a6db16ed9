#pragma once

#include <sys/types.h>

#include <string>

#include "embedded/process.hpp"

namespace csrq::embedded {

/// Forks and executes; the child's standard output and error go to descriptor `output`. Returns its id once
/// the program runs. Throws UsageError naming the program and the step that failed.
pid_t spawn(const ProcessOptions& options, int output);

}  // namespace csrq::embedded
