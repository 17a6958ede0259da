// What the parts of the execution trace have in common: how events, stacks and the words of goroutines are written.
#ifndef CAPUS_TRACE_STREAMS_H
#define CAPUS_TRACE_STREAMS_H

#include "CApus.h"
#include "CApusTrace.h"

/// The kinds of events that are written in C; the numbers are the format's.
enum {
  PROCS_CHANGE = 9,
  PROC_START = 10,
  PROC_STOP = 11,
  PROC_STATUS = 13,
  GO_CREATE = 14,
  GO_START = 16,
  GO_DESTROY = 17,
  GO_STOP = 19,
  GO_BLOCK = 20,
  GO_UNBLOCK = 21,
  GO_SYSCALL_BEGIN = 22,
  GO_SYSCALL_END = 23,
  GO_SYSCALL_END_BLOCKED = 24,
  STW_BEGIN = 26,
  STW_END = 27,
  GC_ACTIVE = 28,
  GC_BEGIN = 29,
  GC_END = 30,
  SWEEP_BEGIN = 32,
  SWEEP_END = 33,
  ASSIST_ACTIVE = 34,
  ASSIST_BEGIN = 35,
  ASSIST_END = 36,
  HEAP_ALLOC = 37,
  HEAP_GOAL = 38,
  TASK_BEGIN = 40,
  TASK_END = 41,
  REGION_BEGIN = 42,
  REGION_END = 43,
  LOG = 44,
  GO_STATUS_STACK = 48,
};

/// The generation that is being written. It changes while the world stands still.
extern uint64_t apus_trace_current;
/// Events of threads without a P; under `Sched.lock`.
extern apus_trace_stream apus_trace_nobodys;

/// There was no memory for an event: the trace says that it is not whole.
void apus_trace_lose(void);
/// Nothing has been lost yet.
void apus_trace_begin_streams(void);
/// The stream of `m`; NULL when there is no memory for it, which is counted as a loss.
apus_trace_stream *apus_trace_stream_of(apus_m *m);
/// Gives the stream's buffer to the thread that writes the file.
void apus_trace_hand_over(apus_trace_stream *s);

/// Writes an event with `count` arguments.
void apus_trace_put(apus_trace_stream *s, uint8_t kind, int count, const uint64_t *arguments);
#define PUT(stream, kind, ...)                                                                        \
  apus_trace_put(stream, kind, (int)(sizeof((uint64_t[]){0, ##__VA_ARGS__}) / sizeof(uint64_t)) - 1, \
                 (uint64_t[]){0, ##__VA_ARGS__} + 1)

/// The number of a stack, 0 for none. Two threads that meet a new one at the same time may give it two.
uint64_t apus_trace_number_of(apus_trace_stream *s, const uintptr_t *pcs, uint32_t count);
/// The number of a text, of which as much is kept as the format takes; 0 for an empty one.
uint64_t apus_trace_number_of_text(apus_trace_stream *s, const char *bytes, size_t length);
/// The stack that goes on at `pc`, a return address, with the frame pointer `fp`, inside [lo, hi). Only the innermost
/// frames: a goroutine that is stopped deep in a recursion is not to wait for its trace.
uint64_t apus_trace_walk(apus_trace_stream *s, uintptr_t pc, uintptr_t fp, uintptr_t lo, uintptr_t hi);
/// The same of a stack whose content is `shift` bytes behind its addresses.
uint64_t apus_trace_walk_shifted(
    apus_trace_stream *s, uintptr_t pc, uintptr_t fp, uintptr_t lo, uintptr_t hi, uintptr_t shift);
/// The stack of the goroutine that calls the function in which this stands; none on a scheduler's stack.
#define HERE(s, m) apus_trace_here(s, m, (uintptr_t)__builtin_frame_address(0))
static inline uint64_t apus_trace_here(apus_trace_stream *s, const apus_m *m, uintptr_t fp) {
  const apus_g_head *g = m->head.current;
  if (g == m->head.g0 || fp < g->stack_lo || fp >= g->stack_hi) return 0;
  const uintptr_t *record = (const uintptr_t *)fp;
  return apus_trace_walk(s, record[1], record[0], fp, g->stack_hi);
}

/// A word's top bit, which no address has: while a goroutine has no stack, its word lies where else a stack pointer does.
#define APUS_TRACE_MARK ((uint64_t)1 << 63)

/// At the top of the goroutine's stack, beside its isolated calls; before there is one, in its record.
static inline uint64_t *apus_trace_word(apus_g_head *g) {
  return g->stack_hi != 0 ? (uint64_t *)(g->stack_hi - sizeof(uint64_t)) : (uint64_t *)&g->sp;
}

static inline uint64_t apus_trace_make_word(uint64_t in, uint32_t state, uint32_t sequence) {
  return APUS_TRACE_MARK | in << 36 | (uint64_t)state << 32 | sequence;
}

static inline uint64_t apus_trace_word_generation(uint64_t word) {
  return word & APUS_TRACE_MARK ? (word & ~APUS_TRACE_MARK) >> 36 : 0;
}
static inline uint32_t apus_trace_word_state(uint64_t word) { return word >> 32 & 7; }
static inline uint32_t apus_trace_word_sequence(uint64_t word) { return (uint32_t)word; }
static inline bool apus_trace_is_known(uint64_t word) { return apus_trace_word_generation(word) == apus_trace_current; }

/// Beside the state: in the eyes of the reader the goroutine helps the collector.
#define APUS_TRACE_ASSISTS ((uint64_t)1 << 35)

/// The word, in which the reader knew the goroutine, after an event, or said anew: whether it helps the collector stays.
static inline void apus_trace_set_word(uint64_t *word, uint32_t state, uint32_t sequence) {
  *word = apus_trace_make_word(apus_trace_current, state, sequence) | (*word & APUS_TRACE_ASSISTS);
}

/// The reader is to have the goroutine of this thread running: it does something in a region that was said to block.
static inline void apus_trace_be_running(apus_trace_stream *s) {
  if (!s->in_syscall) return;
  PUT(s, GO_SYSCALL_END);
  s->in_syscall = 0;
}

/// The stream of `m`, on which a goroutine runs in the eyes of the reader from now on; NULL when it has none, or no P.
static inline apus_trace_stream *apus_trace_running(apus_m *m) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s == NULL || s->p == NULL || s->g == NULL) return NULL;
  apus_trace_be_running(s);
  return s;
}

#endif
