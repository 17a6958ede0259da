// The parts of G and M that assembly, the signal handler and Swift share. Swift embeds each as the first field of its
// own struct (ApusRuntime/Scheduler/G.swift, M.swift); Boot/LayoutCheck.swift asserts that both halves agree.
#ifndef CAPUS_LAYOUT_H
#define CAPUS_LAYOUT_H

#include <stdint.h>

/// Both halves of the runtime carry this number; `moduledataverify` refuses to start when they differ.
#define APUS_RUNTIME_VERSION 1

/// The guard below a goroutine's stack. Functions with large frames have no stack probes, so it is wider than most
/// frames.
#define APUS_STACK_GUARD ((uintptr_t)65536)

/// The head of a goroutine. Written by the M that runs the goroutine, or by whoever holds it off the run queues.
typedef struct apus_g_head {
  /// The saved stack pointer; valid only while the goroutine is not running.
  uintptr_t sp;
  /// The usable stack is [stack_lo, stack_hi); below it are APUS_STACK_GUARD bytes that fault. Zero while no stack is
  /// bound. A scheduler's goroutine has its thread's own stack, without our guard.
  uintptr_t stack_lo;
  uintptr_t stack_hi;
  /// The goroutine's number; main is 1, system goroutines have one too, g0 has 0.
  uint64_t id;
} apus_g_head;

/// The head of an M. Written by its own thread only, except where a field says otherwise.
typedef struct apus_m_head {
  /// The goroutine whose stack this thread is on; g0 while it schedules.
  apus_g_head *current;
  /// The scheduler's own goroutine of this M: the thread's own stack.
  apus_g_head *g0;
  /// Above zero: the thread is inside the runtime and must be neither preempted nor parked by a signal handler.
  int32_t locks;
  /// The kernel's thread id.
  int32_t tid;
  /// The signal stack, [signal_stack, signal_stack + signal_stack_size).
  uintptr_t signal_stack;
  uintptr_t signal_stack_size;
} apus_m_head;

#endif
