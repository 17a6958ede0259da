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

static void walk(uintptr_t pc, uintptr_t fp, uintptr_t lo, uintptr_t hi, uintptr_t shift, apus_frames *frames) {
  frames->count = 0;
  // A goroutine that has not begun has no pc.
  while (pc != 0) {
    add_frame(frames, pc - 1);
    if (frames->count == APUS_UNWIND_LIMIT || !apus_next_shifted_frame(&pc, &fp, &lo, hi, shift)) break;
  }
  finish(frames);
}

void apus_unwind_frames(uintptr_t pc, uintptr_t fp, uintptr_t lo, uintptr_t hi, apus_frames *frames) {
  walk(pc, fp, lo, hi, 0, frames);
}

void apus_unwind_parked(uintptr_t sp, uintptr_t hi, apus_frames *frames) {
  // The record of a stack stays as it is until the shelver uses it anew, who stands still. (A fatal report, for which it may
  // go on, finds another stack's frames then.)
  const apus_shelf_record *record = apus_shelf_peek(hi);
  uintptr_t pc, fp, shift = record != NULL && record->sp == sp ? (uintptr_t)(record + 1) - sp : 0;
  apus_parked_frame(sp, shift, &pc, &fp);
  // It has not begun.
  if (fp == 0) pc = 0;
  walk(pc, fp, sp, hi, shift, frames);
}

void apus_parked_frame(uintptr_t sp, uintptr_t shift, uintptr_t *pc, uintptr_t *fp) {
  // The layouts are those of switch_*.S.
  const uintptr_t *context = (const uintptr_t *)(sp + shift);
#if defined(__x86_64__)
  *fp = context[6];
  *pc = context[7];
#elif defined(__aarch64__)
  *fp = context[0];
  *pc = context[21];
#endif
}

void apus_interrupted_frame(const void *ucontext, uintptr_t *pc, uintptr_t *fp, uintptr_t *sp) {
  const mcontext_t *registers = &((const ucontext_t *)ucontext)->uc_mcontext;
#if defined(__x86_64__)
  *pc = (uintptr_t)registers->gregs[REG_RIP] + 1;
  *fp = (uintptr_t)registers->gregs[REG_RBP];
  *sp = (uintptr_t)registers->gregs[REG_RSP];
#elif defined(__aarch64__)
  *pc = registers->pc + 1;
  *fp = registers->regs[29];
  *sp = registers->sp;
#endif
}

_Bool apus_stopped_frame(const apus_m *m, uintptr_t *pc, uintptr_t *fp) {
  if (__atomic_load_n(&m->words.stopped, __ATOMIC_ACQUIRE) == APUS_NOT_STOPPED) return 0;
  const ucontext_t *context = m->head.stopped_context;
  if (context != NULL) {
    uintptr_t sp;
    apus_interrupted_frame(context, pc, fp, &sp);
    return 1;
  }
  // The stack pointer that was noted is the frame pointer of a function of ours.
  const uintptr_t *frame = (const uintptr_t *)m->head.stopped_sp;
  *fp = frame[0];
  *pc = frame[1];
  return 1;
}
