// libswiftCore's own functions for its exclusivity checking, by the names that it exports for its concurrency library.
#include "CApusMachine.h"

extern void swift_beginAccess(void *pointer, void *buffer, uintptr_t flags, void *pc);
extern void swift_endAccess(void *buffer);
extern void swift_task_enterThreadLocalContext(char *state) __attribute__((weak));
extern void swift_task_exitThreadLocalContext(char *state) __attribute__((weak));

void apus_begin_access(void *pointer, void *node) {
  // A tracked (0x20) modification (0x1): what an `inout` access to a class property does.
  swift_beginAccess(pointer, node, 0x21, NULL);
}

void apus_end_access(void *node) { swift_endAccess(node); }

void apus_exit_thread_local_context(uintptr_t state[2]) { swift_task_exitThreadLocalContext((char *)state); }

void apus_enter_thread_local_context(uintptr_t state[2]) { swift_task_enterThreadLocalContext((char *)state); }
