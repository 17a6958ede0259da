// The runtime's one global. A Swift global that is no constant costs a `swift_once` call at each access, which must not
// happen while a scheduler lock is held, so the pointer to the scheduler's state lives here.
#ifndef CAPUS_GLOBALS_H
#define CAPUS_GLOBALS_H

/// Set once by boot before the second thread exists, or by the lazy start under its own lock; read by everybody.
extern void *apus_sched_state;

static inline __attribute__((always_inline)) void *apus_get_sched(void) {
  return __atomic_load_n(&apus_sched_state, __ATOMIC_ACQUIRE);
}
static inline void apus_set_sched(void *state) { __atomic_store_n(&apus_sched_state, state, __ATOMIC_RELEASE); }

#endif
