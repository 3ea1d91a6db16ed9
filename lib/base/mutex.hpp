#pragma once

#include <mutex>

/// What a mutex guards, checked by clang (-Wthread-safety). Other compilers do not look.
#ifdef __clang__
#define CSRQ_THREAD_SAFETY(attribute) __attribute__((attribute))
#else
#define CSRQ_THREAD_SAFETY(attribute)
#endif

/// Of a member: read and written only while `mutex` is held.
#define CSRQ_GUARDED_BY(mutex) CSRQ_THREAD_SAFETY(guarded_by(mutex))
/// Of a function or a lambda: called while `mutex` is held, which is held again when it returns.
#define CSRQ_REQUIRES(mutex) CSRQ_THREAD_SAFETY(requires_capability(mutex))

namespace csrq {

/// A std::mutex that clang knows. A std::condition_variable_any waits with it.
class CSRQ_THREAD_SAFETY(capability("mutex")) Mutex {
 public:
  void lock() CSRQ_THREAD_SAFETY(acquire_capability()) { mutex_.lock(); }
  void unlock() CSRQ_THREAD_SAFETY(release_capability()) { mutex_.unlock(); }
  bool try_lock() CSRQ_THREAD_SAFETY(try_acquire_capability(true)) { return mutex_.try_lock(); }

 private:
  std::mutex mutex_{};
};

/// Holds a mutex to the end of the scope.
class CSRQ_THREAD_SAFETY(scoped_lockable) Lock {
 public:
  explicit Lock(Mutex& mutex) CSRQ_THREAD_SAFETY(acquire_capability(mutex)) : mutex_(mutex) { mutex.lock(); }
  ~Lock() CSRQ_THREAD_SAFETY(release_capability()) { mutex_.unlock(); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  Mutex& mutex_;
};

/// Releases a mutex that is held, and takes it again at the end of the scope.
class CSRQ_THREAD_SAFETY(scoped_lockable) Unlock {
 public:
  explicit Unlock(Mutex& mutex) CSRQ_THREAD_SAFETY(release_capability(mutex)) : mutex_(mutex) {
    mutex.unlock();
  }
  ~Unlock() CSRQ_THREAD_SAFETY(release_capability()) { mutex_.lock(); }
  Unlock(const Unlock&) = delete;
  Unlock& operator=(const Unlock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace csrq
