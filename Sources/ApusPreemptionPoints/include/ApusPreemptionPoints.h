// Preemption points compiled into a program, as early Go had them: for a program whose author instruments it by
// `-Xfrontend -sanitize=scudo -Xfrontend -sanitize-coverage=func,trace-pc-guard` (`edge` for loops, too) and links this.
// Nothing here is called by hand.
#ifndef APUS_PREEMPTION_POINTS_H
#define APUS_PREEMPTION_POINTS_H

#include <stdint.h>

/// What the instrumentation calls, at the entry of each function or at each edge of its control flow. The goroutine is
/// stopped here when somebody wants its P: with its thread, as by a signal, since an inlined lock of the standard library
/// may be held at this point. No stack is switched.
void __sanitizer_cov_trace_pc_guard(uint32_t *guard);
/// What it calls once for each image; there is nothing to set up.
void __sanitizer_cov_trace_pc_guard_init(uint32_t *start, uint32_t *stop);

#endif
