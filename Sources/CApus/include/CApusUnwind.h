// The frames of a stack, and the one on which a fatal report runs.
#ifndef CAPUS_UNWIND_H
#define CAPUS_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "CApusLayout.h"

/// What a fatal stack holds at its top while a trap is reported: the registers at the fault, from which the
/// unwind tables of `apus_fault_entry` lead on to the goroutine's own frames. The order is that of the kernel's
/// machine context. Offsets are repeated in fault_*.S.
typedef struct apus_fault_frame {
#if defined(__x86_64__)
  uint64_t registers[18];  // r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip; one word of padding
#elif defined(__aarch64__)
  uint64_t registers[34];  // x0 to x30, sp, pc; one word of padding
#endif
} apus_fault_frame;

/// Where the thread goes on after a trap, with the stack pointer at an `apus_fault_frame`. Calls
/// `apus_fault_main`.
void apus_fault_entry(void);
void apus_fault_main(void) __attribute__((noreturn));

/// The return address of the function that this is written in.
static inline __attribute__((always_inline)) uintptr_t apus_return_address(void) {
  return (uintptr_t)__builtin_return_address(0);
}

/// The same of its caller's caller. By frame pointers: not through code that keeps none.
static inline __attribute__((always_inline)) uintptr_t apus_return_address_of_callers_caller(void) {
  return (uintptr_t)__builtin_return_address(2);
}

/// The frames of one stack, innermost first. Of more than APUS_FRAMES the first and the last half are kept.
///
/// Each element is an address inside the instruction that the frame is at, so the one before a return address: what
/// a symbol table and addr2line want.
#define APUS_FRAMES 100
typedef struct apus_frames {
  uintptr_t pcs[APUS_FRAMES];
  size_t count;
  /// How many are missing between the two halves.
  uint64_t elided;
} apus_frames;

static inline __attribute__((returns_nonnull)) uintptr_t *apus_frames_pcs(apus_frames *frames) { return frames->pcs; }

/// Collects the calling stack's frames by its unwind tables, from the frame on whose next instruction is at `from` (0: all
/// of them) to the goroutine's first. It passes from the fatal stack to the one that failed. Frames beyond
/// APUS_UNWIND_LIMIT are neither visited nor counted.
void apus_unwind(uintptr_t from, apus_frames *frames);

/// The same for a stack that nobody runs on: follows the frame pointers from `fp`, as long as they lie in [lo, hi) and
/// grow. `pc` is the innermost return address. With `fp` 0 there is one frame. Functions
/// that keep no frame pointer are missing.
void apus_unwind_frames(uintptr_t pc, uintptr_t fp, uintptr_t lo, uintptr_t hi, apus_frames *frames);

/// The same for a goroutine that `apus_switch` has left at `sp`, on the stack that ends at `hi`, while the world stands
/// still. One whose stack is kept elsewhere is looked at there, and stays away: the world does not wait for pages.
void apus_unwind_parked(uintptr_t sp, uintptr_t hi, apus_frames *frames);
/// Its innermost frame, as a return address and a frame pointer. The stack's content is `shift` bytes behind its addresses.
void apus_parked_frame(uintptr_t sp, uintptr_t shift, uintptr_t *pc, uintptr_t *fp);

/// From a return address and a frame pointer inside [lo, hi) to those of the caller; false when none is known. Both
/// architectures keep the caller's frame pointer at the frame pointer and the return address above it. The first
/// function's caller is `apus_goexit`, which has no frame: its frame pointer is 0. Frames lie ever higher: `lo` is raised.
/// The stack's content is `shift` bytes behind its addresses.
static inline bool apus_next_shifted_frame(uintptr_t *pc, uintptr_t *fp, uintptr_t *lo, uintptr_t hi, uintptr_t shift) {
  if (*fp < *lo || *fp >= hi || hi - *fp < 2 * sizeof(uintptr_t) || *fp % sizeof(uintptr_t) != 0) return false;
  const uintptr_t *record = (const uintptr_t *)(*fp + shift);
  if (record[0] == 0 || record[1] == 0) return false;
  *lo = *fp + sizeof(uintptr_t);
  *pc = record[1];
  *fp = record[0];
  return true;
}

/// The same of a stack that is where it belongs.
static inline bool apus_next_frame(uintptr_t *pc, uintptr_t *fp, uintptr_t *lo, uintptr_t hi) {
  return apus_next_shifted_frame(pc, fp, lo, hi, 0);
}

/// Where a signal has interrupted its thread. `pc` is as a return address would be: walks look at the address before it.
void apus_interrupted_frame(const void *ucontext, uintptr_t *pc, uintptr_t *fp, uintptr_t *sp);

/// Where the goroutine on the thread of `m` was stopped, as a return address and a frame pointer. False when the thread is
/// not stopped.
_Bool apus_stopped_frame(const apus_m *m, uintptr_t *pc, uintptr_t *fp);

/// Asks the thread of `m`, which runs, for the frames of the goroutine `g` there, and waits for `timeout_ns`. False when it
/// does not answer, or runs another goroutine by now. The thread is interrupted by the preemption signal and goes on
/// at once. For the thread that writes a fatal report.
bool apus_ask_for_frames(apus_m *m, const apus_g_head *g, int64_t timeout_ns, apus_frames *frames);
/// The answer, if `m`, the calling thread's, is asked. Called by the signal's handler.
void apus_answer(apus_m *m, const void *ucontext);

#define APUS_UNWIND_LIMIT ((uint64_t)1 << 22)

#endif
