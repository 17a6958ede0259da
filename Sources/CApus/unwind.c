// The frames of a stack. The stack of the caller, and one that overflowed, are unwound by their tables: an overflow is
// as often as not noticed inside malloc or memcpy, which use the frame pointer for something else. A parked stack is
// walked by frame pointers: it always stops in the runtime's own code, which keeps them.
#define _GNU_SOURCE
#include <ucontext.h>
#include <unwind.h>

#include "CApus.h"
#include "CApusUnwind.h"

#define HALF (APUS_FRAMES / 2)

/// The first half of the array is filled once; the second half then is a ring of the latest frames. `count` is how many
/// there were.
static void add_frame(apus_frames *frames, uintptr_t pc) {
  if (frames->count < HALF)
    frames->pcs[frames->count] = pc;
  else
    frames->pcs[HALF + (frames->count - HALF) % HALF] = pc;
  frames->count++;
}

static void reverse(uintptr_t *lo, uintptr_t *hi) {
  while (lo < hi) {
    uintptr_t word = *lo;
    *lo++ = *--hi;
    *hi = word;
  }
}

/// Turns the ring so that its oldest element comes first.
static void finish(apus_frames *frames) {
  frames->elided = 0;
  if (frames->count <= APUS_FRAMES) return;
  frames->elided = frames->count - APUS_FRAMES;
  uintptr_t *start = frames->pcs + HALF, *oldest = start + (frames->count - HALF) % HALF, *end = start + HALF;
  reverse(start, oldest);
  reverse(oldest, end);
  reverse(start, end);
  frames->count = APUS_FRAMES;
}

typedef struct {
  apus_frames *frames;
  uintptr_t from;
  uint64_t visited;
  uintptr_t last_pc;
  uintptr_t last_cfa;
} table_walk;

static _Unwind_Reason_Code visit_frame(struct _Unwind_Context *context, void *data) {
  table_walk *walk = data;
  int exact = 0;
  uintptr_t pc = _Unwind_GetIPInfo(context, &exact), cfa = _Unwind_GetCFA(context);
  // The stack's first frame is no one's function. A frame that leads to itself is a table that misleads.
  if (pc == 0 || _Unwind_GetRegionStart(context) == (uintptr_t)apus_goexit) return _URC_END_OF_STACK;
  if (pc == walk->last_pc && cfa == walk->last_cfa) return _URC_END_OF_STACK;
  if (walk->visited++ == APUS_UNWIND_LIMIT) return _URC_END_OF_STACK;
  walk->last_pc = pc;
  walk->last_cfa = cfa;
  if (pc == walk->from) walk->from = 0;
  if (walk->from == 0) add_frame(walk->frames, exact ? pc : pc - 1);
  return _URC_NO_REASON;
}

void apus_unwind(uintptr_t from, apus_frames *frames) {
  table_walk walk = {.frames = frames, .from = from};
  frames->count = 0;
  _Unwind_Backtrace(visit_frame, &walk);
  finish(frames);
}

void apus_unwind_frames(uintptr_t pc, uintptr_t fp, uintptr_t lo, uintptr_t hi, apus_frames *frames) {
  frames->count = 0;
  // Without a frame there is nothing behind it: a goroutine that has not begun has no pc either.
  if (fp == 0 && pc != 0) add_frame(frames, pc - 1);
  while (fp != 0) {
    add_frame(frames, pc - 1);
    // Both architectures keep the caller's frame pointer at the frame pointer and the return address above it.
    if (fp < lo || fp >= hi || hi - fp < 2 * sizeof(uintptr_t) || fp % sizeof(uintptr_t) != 0) break;
    const uintptr_t *record = (const uintptr_t *)fp;
    // The first function's caller is `apus_goexit`, which has no frame: its frame pointer is 0.
    if (record[0] == 0 || record[1] == 0 || frames->count == APUS_UNWIND_LIMIT) break;
    pc = record[1];
    if (record[0] <= fp) {
      add_frame(frames, pc - 1);
      break;
    }
    lo = fp + sizeof(uintptr_t);
    fp = record[0];
  }
  finish(frames);
}

void apus_saved_frame(uintptr_t sp, uintptr_t *pc, uintptr_t *fp) {
  // The layouts are those of switch_*.S.
  const uintptr_t *context = (const uintptr_t *)sp;
#if defined(__x86_64__)
  *fp = context[6];
  *pc = context[7];
#elif defined(__aarch64__)
  *fp = context[0];
  *pc = context[21];
#endif
}

_Bool apus_stopped_frame(const apus_m *m, uintptr_t *pc, uintptr_t *fp) {
  if (__atomic_load_n(&m->words.stopped, __ATOMIC_ACQUIRE) == APUS_NOT_STOPPED) return 0;
  const ucontext_t *context = m->head.stopped_context;
  if (context != NULL) {
#if defined(__x86_64__)
    // The walk takes the first address for a return address and looks before it; this one is exact.
    *pc = (uintptr_t)context->uc_mcontext.gregs[REG_RIP] + 1;
    *fp = (uintptr_t)context->uc_mcontext.gregs[REG_RBP];
#elif defined(__aarch64__)
    *pc = context->uc_mcontext.pc + 1;
    *fp = context->uc_mcontext.regs[29];
#endif
    return 1;
  }
  // The stack pointer that was noted is the frame pointer of a function of ours.
  const uintptr_t *frame = (const uintptr_t *)m->head.stopped_sp;
  *fp = frame[0];
  *pc = frame[1];
  return 1;
}
