#pragma once

namespace csrq {

/// Who makes a customer known: the first row that names it, or an administrator only.
enum class CustomerRegistration { automatic, closed };

/// Whose rows may ask only for the names that csrq.name_grant gives their customer: those of logins that
/// csrq.app_access limits to named customers, everybody's, or nobody's.
enum class Grants { automatic, enforce, off };

}  // namespace csrq
