#pragma once

#include <yaml-cpp/yaml.h>

#include <string>
#include <utility>
#include <vector>

/// For this folder only.
namespace csrq {

/// What is wrong with a file, line by line. Lines count from 1.
class Mistakes {
 public:
  explicit Mistakes(std::string file) : file_(std::move(file)) {}
  void add(const YAML::Mark& mark, std::string sentence);
  /// UsageError with one line a mistake, in the order of the file; nothing happens if there is none.
  void throw_if_any();

 private:
  struct Mistake {
    int line;
    std::string sentence;
  };
  std::string file_;
  std::vector<Mistake> mistakes_{};
};

/// Throws UsageError if `text` is no YAML or holds more than one document. Empty text gives a null node.
YAML::Node load_yaml(const std::string& text, const std::string& file);

}  // namespace csrq
