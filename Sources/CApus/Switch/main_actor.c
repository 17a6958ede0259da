// The main actor's code is goroutine 1's code: the program's `main`, wherever that runs. Swift asks whether the calling
// *thread* is the main one, where a closure of top-level code is handed to code that was compiled without checks
// (`numbers.forEach { sum += $0 }`), and ends the process if not. A goroutine changes its thread; so for goroutine 1 the
// answer is given here. All others are asked as before; but before that Swift says yes to whoever runs on the process's
// first thread, and so to another goroutine that happens to.
//
// The hooks are libswift_Concurrency's, for embedders that have executors of their own (ConcurrencyHooks.def in Swift's
// sources). Each gets the original function as its last argument.
#include <stddef.h>
#include <stdint.h>

#include "CApus.h"

#define SWIFTCALL __attribute__((swiftcall))

/// Swift's `SerialExecutorRef`, as two arguments.
typedef SWIFTCALL void (*check_original)(void *identity, uintptr_t implementation);
typedef SWIFTCALL int8_t (*isolating_original)(void *identity, uintptr_t implementation);
typedef struct {
  void *identity;
  uintptr_t implementation;
} executor;

// Weak: a program that does not link the concurrency library has no actors.
extern SWIFTCALL void (*swift_task_checkIsolated_hook)(void *, uintptr_t, check_original) __attribute__((weak));
extern SWIFTCALL int8_t (*swift_task_isIsolatingCurrentContext_hook)(void *, uintptr_t, isolating_original)
    __attribute__((weak));
extern SWIFTCALL executor swift_task_getMainExecutor(void) __attribute__((weak));

static uint64_t main_goroutine;

/// Whether the caller is goroutine 1 and is asked about the main actor.
static _Bool is_main(void *identity) {
  apus_m_head *m = apus_current_m();
  return m != NULL && m->current->id == main_goroutine && identity == swift_task_getMainExecutor().identity;
}

static SWIFTCALL void check_isolated(void *identity, uintptr_t implementation, check_original original) {
  if (!is_main(identity)) original(identity, implementation);
}

static SWIFTCALL int8_t is_isolating(void *identity, uintptr_t implementation, isolating_original original) {
  return is_main(identity) ? 1 : original(identity, implementation);
}

void apus_main_actor_is(uint64_t goroutine) {
  main_goroutine = goroutine;
  if (&swift_task_checkIsolated_hook == NULL || swift_task_getMainExecutor == NULL) return;
  // Somebody else's hook stays: that one knows its executors.
  if (swift_task_checkIsolated_hook == NULL) swift_task_checkIsolated_hook = check_isolated;
  if (&swift_task_isIsolatingCurrentContext_hook != NULL && swift_task_isIsolatingCurrentContext_hook == NULL)
    swift_task_isIsolatingCurrentContext_hook = is_isolating;
}
