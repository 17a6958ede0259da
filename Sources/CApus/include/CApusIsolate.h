// Code that may trap without ending the process: a body is called, and a trap in it returns from the call.
#ifndef CAPUS_ISOLATE_H
#define CAPUS_ISOLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "CApusLayout.h"
#include "CApusMachine.h"
#include "CApusUnwind.h"

/// One call that is under way. It lies on the goroutine's stack, in the frame that has made the call.
typedef struct apus_isolation {
  /// Where `apus_isolate` has saved its caller's registers.
  uintptr_t sp;
  /// The call around this one.
  struct apus_isolation *outer;
  /// The trap that has ended the body, and its frames. Written by the handler; where `misuse` has ended it, by who noticed.
  apus_fault fault;
  apus_frames frames;
  /// What the runtime says of it, of `misuse_length` bytes; NULL for a trap.
  const uint8_t *misuse;
  size_t misuse_length;
  /// The regions of traces that are open in it; ApusRuntime's.
  void *regions;
} apus_isolation;

/// The innermost isolated call of a goroutine, at the top of its stack; NULL for none. `Switch.bind` clears it.
static inline apus_isolation **apus_isolation_slot(uintptr_t stack_hi) {
  return (apus_isolation **)(stack_hi - APUS_STACK_HEADER);
}
static inline apus_isolation *apus_isolation_get(uintptr_t stack_hi) { return *apus_isolation_slot(stack_hi); }
static inline void apus_isolation_set(uintptr_t stack_hi, apus_isolation *isolation) {
  *apus_isolation_slot(stack_hi) = isolation;
}

/// Calls `body(argument)`; false when it returns. True when it was left by a trap or `apus_isolation_leave`: then the
/// registers and the stack are the caller's as if the body had returned, and whatever it was about to do is left undone.
bool apus_isolate(apus_isolation *isolation, void (*body)(void *), void *argument);

/// Leaves the body of `isolation`, from within it.
void apus_isolation_leave(const apus_isolation *isolation) __attribute__((noreturn));

/// Where a thread goes on that leaves a body, with the stack pointer at `isolation->sp`.
void apus_isolation_landing(void);

#endif
