// The streams of the execution trace; CApusTrace.h says who writes them when.
#define _GNU_SOURCE
#include "CApusTrace.h"

#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "CApus.h"

uint32_t apus_trace_flag = 0;

/// The kinds of events that are written here; the numbers are the format's.
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
  GO_STATUS_STACK = 48,
};

// Written while the world stands still.
static uint64_t generation = 0;
/// Events of threads without a P; under `Sched.lock`.
static apus_trace_stream nobodys = {.id = 1};
/// The last stream's number.
static uint64_t streams = 1;
/// The buffers that are full, newest first: a stack to which threads push and from which one takes all.
static apus_trace_buffer *full = NULL;
static bool has_lost = false;
/// The futex of the thread that writes the file: 1 wakes it.
static uint32_t writer_wake = 0;

uint64_t apus_trace_generation(void) { return generation; }

bool apus_trace_has_lost(void) { return __atomic_load_n(&has_lost, __ATOMIC_RELAXED); }

// MARK: buffers

void apus_trace_wake_writer(void) {
  if (__atomic_exchange_n(&writer_wake, 1, __ATOMIC_SEQ_CST) == 0) apus_futex_wake(&writer_wake, 1);
}

void apus_trace_wait(void) {
  while (__atomic_exchange_n(&writer_wake, 0, __ATOMIC_SEQ_CST) == 0) apus_futex_wait(&writer_wake, 0, -1);
}

static void hand_over(apus_trace_stream *s) {
  apus_trace_buffer *buffer = s->buffer;
  if (buffer == NULL) return;
  s->buffer = NULL;
  buffer->size = (size_t)(s->next - buffer->bytes);
  s->next = s->end = NULL;
  buffer->link = __atomic_load_n(&full, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(&full, &buffer->link, buffer, 1, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
  }
}

apus_trace_buffer *apus_trace_take_full(void) {
  apus_trace_buffer *next = __atomic_exchange_n(&full, NULL, __ATOMIC_ACQ_REL), *oldest = NULL;
  while (next != NULL) {
    apus_trace_buffer *buffer = next;
    next = buffer->link;
    buffer->link = oldest;
    oldest = buffer;
  }
  return oldest;
}

void apus_trace_end_at_exit(void (*end)(void)) {
  static bool is_armed = false;
  if (!is_armed) atexit(end);
  is_armed = true;
}

void apus_trace_free(apus_trace_buffer *buffer) { apus_munmap(buffer, APUS_TRACE_BUFFER); }

static uint64_t now(void) { return (uint64_t)apus_nanotime(apus_clock_function()); }

/// The most that one event takes: its kind, its time and five arguments of up to ten bytes each.
enum { LONGEST = 1 + 6 * 10 };

/// Gives the stream room for an event; false when there is none to be had.
static bool has_room(apus_trace_stream *s) {
  if (s->end - s->next >= LONGEST) return true;
  if (s->buffer != NULL) {
    hand_over(s);
    apus_trace_wake_writer();
  }
  apus_trace_buffer *buffer = apus_mmap(APUS_TRACE_BUFFER);
  if (buffer == NULL) {
    __atomic_store_n(&has_lost, 1, __ATOMIC_RELAXED);
    return false;
  }
  buffer->stream = s->id;
  buffer->generation = generation;
  buffer->time = s->last = now();
  s->buffer = buffer;
  s->next = buffer->bytes;
  s->end = (uint8_t *)buffer + APUS_TRACE_BUFFER;
  return true;
}

static uint8_t *put_number(uint8_t *at, uint64_t value) {
  while (value >= 0x80) {
    *at++ = (uint8_t)value | 0x80;
    value >>= 7;
  }
  *at++ = (uint8_t)value;
  return at;
}

/// Writes an event with `count` arguments.
static void put(apus_trace_stream *s, uint8_t kind, int count, const uint64_t *arguments) {
  if (!has_room(s)) return;
  uint64_t time = now();
  // The clock is one for all CPUs; this is for one that is not.
  if (time < s->last) time = s->last;
  uint8_t *at = s->next;
  *at++ = kind;
  at = put_number(at, time - s->last);
  for (int i = 0; i < count; i++) at = put_number(at, arguments[i]);
  s->last = time;
  // Last: a fatal report takes what is whole from under a thread that has stopped anywhere.
  __atomic_store_n(&s->next, at, __ATOMIC_RELEASE);
}

#define PUT(stream, kind, ...)                                                            \
  put(stream, kind, (int)(sizeof((uint64_t[]){0, ##__VA_ARGS__}) / sizeof(uint64_t)) - 1, \
      (uint64_t[]){0, ##__VA_ARGS__} + 1)

/// The stream of `m`; NULL when there is no memory for it, which is counted as a loss.
static apus_trace_stream *stream_of(apus_m *m) {
  apus_trace_stream *s = m->head.trace;
  if (s != NULL) return s;
  s = apus_mmap(4096);
  if (s == NULL) {
    __atomic_store_n(&has_lost, 1, __ATOMIC_RELAXED);
    return NULL;
  }
  s->id = __atomic_add_fetch(&streams, 1, __ATOMIC_RELAXED);
  m->head.trace = s;
  return s;
}

// MARK: the words

/// A word's top bit, which no address has: while a goroutine has no stack, its word lies where else a stack pointer does.
static const uint64_t MARK = (uint64_t)1 << 63;

/// At the top of the goroutine's stack, beside its isolated calls; before there is one, in its record.
static uint64_t *word_of(apus_g_head *g) {
  return g->stack_hi != 0 ? (uint64_t *)(g->stack_hi - sizeof(uint64_t)) : (uint64_t *)&g->sp;
}

static uint64_t make_word(uint64_t in, uint32_t state, uint32_t sequence) {
  return MARK | in << 36 | (uint64_t)state << 32 | sequence;
}

static uint64_t generation_of(uint64_t word) { return word & MARK ? (word & ~MARK) >> 36 : 0; }
static uint32_t state_of(uint64_t word) { return word >> 32 & 15; }
static uint32_t sequence_of(uint64_t word) { return (uint32_t)word; }
static bool is_known(uint64_t word) { return generation_of(word) == generation; }

void apus_trace_bind(apus_g_head *g, uintptr_t stack_hi) {
  uint64_t *word = word_of(g);
  *(uint64_t *)(stack_hi - sizeof(uint64_t)) = *word;
  // Nothing of it is left for whoever gets the record next.
  *word = 0;
}

/// The next number in the sequence of `p`, which is said to be idle first if this generation does not know it.
static uint64_t next_of(apus_trace_stream *s, apus_p_head *p) {
  if (p->trace >> 32 != generation) {
    PUT(s, PROC_STATUS, (uint64_t)p->id, APUS_TRACE_P_IDLE);
    p->trace = generation << 32;
  }
  p->trace++;
  return (uint32_t)p->trace;
}

// MARK: stacks

static apus_trace_stack *stacks[APUS_TRACE_BUCKETS];
static uint32_t stack_count = 0;
/// All memory of stacks, by a link at its beginning.
static void *chunks = NULL;
enum { CHUNK = 65536 };

apus_trace_stack *apus_trace_stacks(size_t bucket) { return __atomic_load_n(&stacks[bucket], __ATOMIC_ACQUIRE); }

static void *allocate(apus_trace_stream *s, size_t size) {
  if ((size_t)(s->arena_end - s->arena) < size) {
    void **chunk = apus_mmap(CHUNK);
    if (chunk == NULL) return NULL;
    *chunk = __atomic_load_n(&chunks, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&chunks, chunk, chunk, 1, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
    }
    s->arena = (uint8_t *)chunk + 16;
    s->arena_end = (uint8_t *)chunk + CHUNK;
  }
  void *memory = s->arena;
  s->arena += size;
  return memory;
}

void apus_trace_drop_stacks(void) {
  memset(stacks, 0, sizeof stacks);
  while (chunks != NULL) {
    void *next = *(void **)chunks;
    apus_munmap(chunks, CHUNK);
    chunks = next;
  }
}

/// The number of a stack, 0 for none. Two threads that meet a new one at the same time may give it two.
static uint64_t number_of(apus_trace_stream *s, const uintptr_t *pcs, uint32_t count) {
  if (count == 0) return 0;
  uint64_t hash = count;
  for (uint32_t i = 0; i < count; i++) hash = (hash ^ pcs[i]) * 0x9e3779b97f4a7c15u, hash ^= hash >> 29;
  apus_trace_stack **bucket = &stacks[hash % APUS_TRACE_BUCKETS];
  apus_trace_stack *first = __atomic_load_n(bucket, __ATOMIC_ACQUIRE);
  for (apus_trace_stack *e = first; e != NULL; e = e->link)
    if (e->hash == hash && e->count == count && memcmp(e->pcs, pcs, count * sizeof *pcs) == 0) return e->id;
  apus_trace_stack *entry = allocate(s, sizeof *entry + count * sizeof *pcs);
  if (entry == NULL) return 0;
  entry->hash = hash;
  entry->count = count;
  entry->id = __atomic_add_fetch(&stack_count, 1, __ATOMIC_RELAXED);
  memcpy(entry->pcs, pcs, count * sizeof *pcs);
  entry->link = first;
  while (!__atomic_compare_exchange_n(bucket, &entry->link, entry, 1, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
  }
  return entry->id;
}

/// The stack that goes on at `pc`, a return address, with the frame pointer `fp`, inside [lo, hi). Only the innermost
/// frames: a goroutine that is stopped deep in a recursion is not to wait for its trace.
static uint64_t walk(apus_trace_stream *s, uintptr_t pc, uintptr_t fp, uintptr_t lo, uintptr_t hi) {
  uintptr_t pcs[APUS_TRACE_DEPTH];
  uint32_t count = 0;
  while (pc != 0 && count < APUS_TRACE_DEPTH) {
    pcs[count++] = pc - 1;
    if (fp < lo || fp >= hi || hi - fp < 2 * sizeof(uintptr_t) || fp % sizeof(uintptr_t) != 0) break;
    const uintptr_t *record = (const uintptr_t *)fp;
    // The first function's caller is `apus_goexit`.
    if (record[0] == 0) break;
    pc = record[1];
    lo = fp + sizeof(uintptr_t);
    fp = record[0];
  }
  return number_of(s, pcs, count);
}

/// The stack of the goroutine that calls the function in which this stands; none on a scheduler's stack.
#define HERE(s, m) here(s, m, (uintptr_t)__builtin_frame_address(0))
static uint64_t here(apus_trace_stream *s, const apus_m *m, uintptr_t fp) {
  const apus_g_head *g = m->head.current;
  if (g == m->head.g0 || fp < g->stack_lo || fp >= g->stack_hi) return 0;
  const uintptr_t *record = (const uintptr_t *)fp;
  return walk(s, record[1], record[0], fp, g->stack_hi);
}

// MARK: hooks

/// The reader is to have the goroutine of this thread running: it does something in a region that was said to block.
static void be_running(apus_trace_stream *s) {
  if (!s->in_syscall) return;
  PUT(s, GO_SYSCALL_END);
  s->in_syscall = 0;
}

static void proc_start(apus_trace_stream *s, apus_p_head *p) {
  uint64_t sequence = next_of(s, p);
  PUT(s, PROC_START, (uint64_t)p->id, sequence);
  s->p = p;
}

static void proc_stop(apus_trace_stream *s) {
  PUT(s, PROC_STOP);
  s->p = NULL;
}

void apus_trace_proc_start(apus_m *m, apus_p_head *p) {
  apus_trace_stream *s = stream_of(m);
  if (s != NULL) proc_start(s, p);
}

void apus_trace_proc_stop(apus_m *m) {
  apus_trace_stream *s = stream_of(m);
  if (s != NULL) proc_stop(s);
}

static void go_create(apus_trace_stream *s, apus_g_head *g, uintptr_t creation, uintptr_t entry, uint64_t stack) {
  // Marked by the zero in front: not a stack of calls.
  uintptr_t beginning[] = {0, entry, creation - 1};
  PUT(s, GO_CREATE, g->id, number_of(s, beginning, 3), stack);
}

void apus_trace_go_create(apus_m *m, apus_g_head *g, uintptr_t creation, uintptr_t entry) {
  apus_trace_stream *s = stream_of(m);
  if (s == NULL) return;
  be_running(s);
  go_create(s, g, creation, entry, HERE(s, m));
  *word_of(g) = make_word(generation, APUS_TRACE_RUNNABLE, 0);
}

static void go_start(apus_trace_stream *s, apus_g_head *g, uintptr_t creation, uintptr_t entry) {
  uint64_t *word = word_of(g);
  uint32_t sequence = 0;
  if (!is_known(*word)) {
    go_create(s, g, creation, entry, 0);
  } else {
    sequence = sequence_of(*word);
    if (state_of(*word) == APUS_TRACE_WAITING) {
      sequence++;
      PUT(s, GO_UNBLOCK, g->id, sequence, 0);
    }
  }
  sequence++;
  PUT(s, GO_START, g->id, sequence);
  *word = make_word(generation, APUS_TRACE_RUNNING, sequence);
  s->g = g;
}

void apus_trace_go_start(apus_m *m, apus_g_head *g, uintptr_t creation, uintptr_t entry) {
  apus_trace_stream *s = stream_of(m);
  if (s != NULL) go_start(s, g, creation, entry);
}

/// The goroutine of this thread runs no more.
static void leave(apus_trace_stream *s, uint32_t state) {
  uint64_t *word = word_of(s->g);
  *word = make_word(generation, state, sequence_of(*word));
  s->g = NULL;
}

void apus_trace_go_block(apus_m *m, uint64_t reason) {
  apus_trace_stream *s = stream_of(m);
  if (s == NULL || s->g == NULL) return;
  be_running(s);
  PUT(s, GO_BLOCK, reason, HERE(s, m));
  leave(s, APUS_TRACE_WAITING);
}

void apus_trace_go_yield(apus_m *m) {
  apus_trace_stream *s = stream_of(m);
  if (s == NULL || s->g == NULL) return;
  be_running(s);
  PUT(s, GO_STOP, APUS_TRACE_STRING_YIELD, HERE(s, m));
  leave(s, APUS_TRACE_RUNNABLE);
}

void apus_trace_go_destroy(apus_m *m) {
  apus_trace_stream *s = stream_of(m);
  if (s == NULL || s->g == NULL) return;
  be_running(s);
  PUT(s, GO_DESTROY);
  *word_of(s->g) = 0;
  s->g = NULL;
}

static void go_unblock(apus_trace_stream *s, apus_g_head *g, uint64_t stack) {
  uint64_t *word = word_of(g);
  if (!is_known(*word) || state_of(*word) != APUS_TRACE_WAITING) return;
  uint32_t sequence = sequence_of(*word) + 1;
  PUT(s, GO_UNBLOCK, g->id, sequence, stack);
  *word = make_word(generation, APUS_TRACE_RUNNABLE, sequence);
}

void apus_trace_go_unblock(apus_m *m, apus_g_head *g) {
  apus_trace_stream *s = stream_of(m);
  if (s != NULL) go_unblock(s, g, HERE(s, m));
}

void apus_trace_go_unblock_by_nobody(apus_g_head *g) {
  if (apus_trace_is_on()) go_unblock(&nobodys, g, 0);
}

static void syscall_begin(apus_trace_stream *s, uint64_t stack) {
  uint64_t sequence = next_of(s, s->p);
  PUT(s, GO_SYSCALL_BEGIN, sequence, stack);
  s->in_syscall = 1;
}

void apus_trace_syscall_begin(apus_m *m) {
  apus_trace_stream *s = stream_of(m);
  if (s == NULL || s->g == NULL || s->p == NULL || s->in_syscall) return;
  syscall_begin(s, HERE(s, m));
}

void apus_trace_syscall_end(apus_m *m) {
  apus_trace_stream *s = stream_of(m);
  if (s != NULL) be_running(s);
}

void apus_trace_stop_begin(apus_m *m, uint64_t reason) {
  apus_trace_stream *s = stream_of(m);
  if (s == NULL) return;
  be_running(s);
  PUT(s, STW_BEGIN, reason, HERE(s, m));
}

void apus_trace_stop_end(apus_m *m) {
  apus_trace_stream *s = stream_of(m);
  if (s == NULL) return;
  be_running(s);
  PUT(s, STW_END);
}

void apus_trace_procs_change(apus_m *m, uint64_t count) {
  apus_trace_stream *s = stream_of(m);
  if (s == NULL || s->g == NULL || s->p == NULL) return;
  be_running(s);
  PUT(s, PROCS_CHANGE, count, HERE(s, m));
}

// MARK: threads that have lost their P

void apus_trace_robbed(apus_m *m) {
  apus_trace_stream *s = stream_of(m);
  if (s == NULL || s->p == NULL) return;
  // It did not say that it would sleep.
  if (!s->in_syscall) syscall_begin(s, 0);
  proc_stop(s);
}

void apus_trace_queued(apus_m *m) {
  apus_trace_stream *s = stream_of(m);
  if (s == NULL || !s->in_syscall) return;
  PUT(s, GO_SYSCALL_END_BLOCKED);
  s->in_syscall = 0;
  leave(s, APUS_TRACE_RUNNABLE);
}

void apus_trace_given(apus_m *m, apus_p_head *p) {
  apus_trace_stream *s = stream_of(m);
  if (s == NULL) return;
  apus_trace_queued(m);
  proc_start(s, p);
  go_start(s, m->head.current, 0, 0);
}

/// The goroutine is stopped against its will, and the P goes.
static void stop(apus_trace_stream *s, uint64_t stack) {
  be_running(s);
  PUT(s, GO_STOP, APUS_TRACE_STRING_PREEMPTED, stack);
  leave(s, APUS_TRACE_RUNNABLE);
  proc_stop(s);
}

void apus_trace_detached(apus_m *m) {
  apus_trace_stream *s = stream_of(m);
  if (s != NULL && s->g != NULL) stop(s, 0);
}

void apus_trace_preempted(apus_m *m, uintptr_t frame, const void *ucontext) {
  apus_trace_stream *s = stream_of(m);
  if (s == NULL || s->g == NULL) return;
  const apus_g_head *g = m->head.current;
  uint64_t stack;
  if (ucontext == NULL) {
    // Two functions lie between the frame and whoever has left the runtime.
    const uintptr_t *caller = (const uintptr_t *)*(const uintptr_t *)frame;
    stack = walk(s, caller[1], caller[0], frame, g->stack_hi);
  } else {
    const mcontext_t *registers = &((const ucontext_t *)ucontext)->uc_mcontext;
#if defined(__x86_64__)
    // The walk takes the first address for a return address and looks before it; this one is exact.
    uintptr_t pc = (uintptr_t)registers->gregs[REG_RIP] + 1, fp = (uintptr_t)registers->gregs[REG_RBP],
              sp = (uintptr_t)registers->gregs[REG_RSP];
#elif defined(__aarch64__)
    uintptr_t pc = registers->pc + 1, fp = registers->regs[29], sp = registers->sp;
#endif
    stack = sp >= g->stack_lo && sp < g->stack_hi ? walk(s, pc, fp, sp, g->stack_hi) : 0;
  }
  stop(s, stack);
}

void apus_trace_resumed(apus_m *m, apus_p_head *p) { apus_trace_given(m, p); }

// MARK: sessions

void apus_trace_begin(void) {
  nobodys.arena = nobodys.arena_end = NULL;
  __atomic_store_n(&has_lost, 0, __ATOMIC_RELAXED);
  generation++;
}

void apus_trace_forget(apus_m *m) {
  apus_trace_stream *s = m->head.trace;
  if (s == NULL) return;
  s->p = NULL;
  s->g = NULL;
  s->in_syscall = 0;
  s->arena = s->arena_end = NULL;
}

void apus_trace_adopt(apus_g_head *g, uint32_t state) {
  if (!is_known(*word_of(g))) *word_of(g) = make_word(generation, state, 0);
}

void apus_trace_adopt_running(apus_m *m, apus_p_head *p, apus_g_head *g) {
  apus_trace_stream *s = stream_of(m);
  if (s == NULL) return;
  s->p = p;
  s->g = g;
  s->in_syscall = p == NULL;
  *word_of(g) = make_word(generation, APUS_TRACE_RUNNING, 0);
}

void apus_trace_switch(bool is_on) { __atomic_store_n(&apus_trace_flag, is_on, __ATOMIC_SEQ_CST); }

void apus_trace_advance(void) { generation++; }

void apus_trace_status_of_thread(apus_m *m, const apus_m *caller) {
  apus_trace_stream *s = m->head.trace;
  if (s == NULL) return;
  if (s->p != NULL) {
    PUT(s, PROC_STATUS, (uint64_t)s->p->id, s->in_syscall ? APUS_TRACE_P_SYSCALL : APUS_TRACE_P_RUNNING);
    s->p->trace = generation << 32;
  }
  if (s->g == NULL) return;
  uintptr_t pc, fp;
  uint64_t stack = 0;
  if (m == caller)
    stack = HERE(s, m);
  else if (apus_stopped_frame(m, &pc, &fp))
    stack = walk(s, pc, fp, s->g->stack_lo, s->g->stack_hi);
  PUT(s, GO_STATUS_STACK, s->g->id, s->id, s->in_syscall ? APUS_TRACE_SYSCALL : APUS_TRACE_RUNNING, stack);
  *word_of(s->g) = make_word(generation, APUS_TRACE_RUNNING, 0);
}

void apus_trace_status_of_p(apus_p_head *p) {
  if (p->trace >> 32 == generation) return;
  PUT(&nobodys, PROC_STATUS, (uint64_t)p->id, APUS_TRACE_P_IDLE);
  p->trace = generation << 32;
}

void apus_trace_status_of_g(apus_g_head *g) {
  uint64_t *word = word_of(g);
  uint32_t state = state_of(*word);
  if (generation_of(*word) != generation - 1 || state == APUS_TRACE_RUNNING) return;
  uint64_t stack = 0;
  if (state == APUS_TRACE_WAITING && g->sp >= g->stack_lo && g->sp < g->stack_hi) {
    uintptr_t pc, fp;
    apus_saved_frame(g->sp, &pc, &fp);
    stack = walk(&nobodys, pc, fp, g->sp, g->stack_hi);
  }
  // No thread.
  PUT(&nobodys, GO_STATUS_STACK, g->id, ~(uint64_t)0, state, stack);
  *word = make_word(generation, state, 0);
}

void apus_trace_flush(apus_m *m) {
  if (m->head.trace != NULL) hand_over(m->head.trace);
}

void apus_trace_flush_nobodys(void) { hand_over(&nobodys); }
