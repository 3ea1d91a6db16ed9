#pragma once

#include <iostream>
#include <string_view>
#include <vector>

#include "app/arguments.hpp"
#include "reports/columns.hpp"

namespace csrq::app {

/// What --json prints: a document a line, written at once, since threads may print side by side.
inline void print(const reports::Json& document) {
  std::cout << document.text + "\n";
}

/// With --json an array; for people a table, or `none` if there are no rows.
template <class Row>
void print_rows(const Arguments& arguments, reports::Columns<Row> columns, const std::vector<Row>& rows,
                std::string_view none) {
  if (arguments.json())
    print(reports::json(columns, rows));
  else if (rows.empty())
    std::cout << none << "\n";
  else
    std::cout << reports::table(columns, rows);
}

}  // namespace csrq::app
