// The globals of the hot path. A Swift global that is no constant costs a `swift_once` call at each access, which must not
// happen while a scheduler lock is held, so the pointer to the scheduler's state lives here.
#ifndef CAPUS_GLOBALS_H
#define CAPUS_GLOBALS_H

/// Set once by boot before the second thread exists, or by the lazy start under its own lock; read by everybody.
extern void *apus_sched_state;

static inline __attribute__((always_inline)) void *apus_get_sched(void) {
  return __atomic_load_n(&apus_sched_state, __ATOMIC_ACQUIRE);
}
static inline void apus_set_sched(void *state) { __atomic_store_n(&apus_sched_state, state, __ATOMIC_RELEASE); }


/// Whether the runtime is up: set, once, when everything that `apus_sched_state` points to is made.
extern _Bool apus_started;
static inline _Bool apus_is_started(void) { return __atomic_load_n(&apus_started, __ATOMIC_ACQUIRE); }
static inline void apus_set_started(void) { __atomic_store_n(&apus_started, 1, __ATOMIC_RELEASE); }

#endif
