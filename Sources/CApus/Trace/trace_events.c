// The events of the execution trace: what the hooks in the scheduler and in the preemption handler write.
#include "CApusTraceStreams.h"

uint32_t apus_trace_flag = 0;
uint64_t apus_trace_current = 0;

void apus_trace_bind(apus_g_head *g, uintptr_t stack_hi) {
  uint64_t *word = apus_trace_word(g);
  *(uint64_t *)(stack_hi - sizeof(uint64_t)) = *word;
  // Nothing of it is left for whoever gets the record next.
  *word = 0;
}

/// The next number in the sequence of `p`, which is said to be idle first if this generation does not know it.
static uint64_t next_of(apus_trace_stream *s, apus_p_head *p) {
  if (p->trace >> 32 != apus_trace_current) {
    PUT(s, PROC_STATUS, (uint64_t)p->id, APUS_TRACE_P_IDLE);
    p->trace = apus_trace_current << 32;
  }
  p->trace++;
  return (uint32_t)p->trace;
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
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s != NULL) proc_start(s, p);
}

void apus_trace_proc_stop(apus_m *m) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s != NULL) proc_stop(s);
}

static void go_create(apus_trace_stream *s, apus_g_head *g, uintptr_t creation, uintptr_t entry, uint64_t stack) {
  // Marked by the zero in front: not a stack of calls.
  uintptr_t beginning[] = {0, entry, creation - 1};
  PUT(s, GO_CREATE, g->id, apus_trace_number_of(s, beginning, 3), stack);
}

void apus_trace_go_create(apus_m *m, apus_g_head *g, uintptr_t creation, uintptr_t entry) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s == NULL) return;
  apus_trace_be_running(s);
  go_create(s, g, creation, entry, HERE(s, m));
  *apus_trace_word(g) = apus_trace_make_word(apus_trace_current, APUS_TRACE_RUNNABLE, 0);
}

static void go_start(apus_trace_stream *s, apus_g_head *g, uintptr_t creation, uintptr_t entry) {
  uint64_t *word = apus_trace_word(g);
  uint32_t sequence = 0;
  if (!apus_trace_is_known(*word)) {
    go_create(s, g, creation, entry, 0);
    *word = 0;
  } else {
    sequence = apus_trace_word_sequence(*word);
    if (apus_trace_word_state(*word) == APUS_TRACE_WAITING) {
      sequence++;
      PUT(s, GO_UNBLOCK, g->id, sequence, 0);
    }
  }
  sequence++;
  PUT(s, GO_START, g->id, sequence);
  apus_trace_set_word(word, APUS_TRACE_RUNNING, sequence);
  s->g = g;
}

void apus_trace_go_start(apus_m *m, apus_g_head *g, uintptr_t creation, uintptr_t entry) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s != NULL) go_start(s, g, creation, entry);
}

/// The goroutine of this thread runs no more.
static void leave(apus_trace_stream *s, uint32_t state) {
  uint64_t *word = apus_trace_word(s->g);
  apus_trace_set_word(word, state, apus_trace_word_sequence(*word));
  s->g = NULL;
}

void apus_trace_go_block(apus_m *m, uint64_t reason) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s == NULL || s->g == NULL) return;
  apus_trace_be_running(s);
  PUT(s, GO_BLOCK, reason, HERE(s, m));
  leave(s, APUS_TRACE_WAITING);
}

void apus_trace_go_yield(apus_m *m) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s == NULL || s->g == NULL) return;
  apus_trace_be_running(s);
  PUT(s, GO_STOP, APUS_TRACE_STRING_YIELD, HERE(s, m));
  leave(s, APUS_TRACE_RUNNABLE);
}

void apus_trace_go_destroy(apus_m *m) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s == NULL || s->g == NULL) return;
  apus_trace_be_running(s);
  PUT(s, GO_DESTROY);
  *apus_trace_word(s->g) = 0;
  s->g = NULL;
}

static void go_unblock(apus_trace_stream *s, apus_g_head *g, uint64_t stack) {
  uint64_t *word = apus_trace_word(g);
  if (!apus_trace_is_known(*word) || apus_trace_word_state(*word) != APUS_TRACE_WAITING) return;
  uint32_t sequence = apus_trace_word_sequence(*word) + 1;
  PUT(s, GO_UNBLOCK, g->id, sequence, stack);
  apus_trace_set_word(word, APUS_TRACE_RUNNABLE, sequence);
}

void apus_trace_go_unblock(apus_m *m, apus_g_head *g) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s != NULL) go_unblock(s, g, HERE(s, m));
}

void apus_trace_go_unblock_by_nobody(apus_g_head *g) {
  if (apus_trace_is_on()) go_unblock(&apus_trace_nobodys, g, 0);
}

static void syscall_begin(apus_trace_stream *s, uint64_t stack) {
  uint64_t sequence = next_of(s, s->p);
  PUT(s, GO_SYSCALL_BEGIN, sequence, stack);
  s->in_syscall = 1;
}

void apus_trace_syscall_begin(apus_m *m) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s == NULL || s->g == NULL || s->p == NULL || s->in_syscall) return;
  syscall_begin(s, HERE(s, m));
}

void apus_trace_syscall_end(apus_m *m) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s != NULL) apus_trace_be_running(s);
}

void apus_trace_stop_begin(apus_m *m, uint64_t reason) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s == NULL) return;
  apus_trace_be_running(s);
  PUT(s, STW_BEGIN, reason, HERE(s, m));
}

void apus_trace_stop_end(apus_m *m) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s == NULL) return;
  apus_trace_be_running(s);
  PUT(s, STW_END);
}

void apus_trace_procs_change(apus_m *m, uint64_t count) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s == NULL || s->g == NULL || s->p == NULL) return;
  apus_trace_be_running(s);
  PUT(s, PROCS_CHANGE, count, HERE(s, m));
}

// MARK: threads that have lost their P

void apus_trace_robbed(apus_m *m) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s == NULL || s->p == NULL) return;
  // It did not say that it would sleep.
  if (!s->in_syscall) syscall_begin(s, 0);
  proc_stop(s);
}

void apus_trace_queued(apus_m *m) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s == NULL || !s->in_syscall) return;
  PUT(s, GO_SYSCALL_END_BLOCKED);
  s->in_syscall = 0;
  leave(s, APUS_TRACE_RUNNABLE);
}

void apus_trace_given(apus_m *m, apus_p_head *p) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s == NULL) return;
  apus_trace_queued(m);
  proc_start(s, p);
  go_start(s, m->head.current, 0, 0);
}

/// The goroutine is stopped against its will, and the P goes.
static void stop(apus_trace_stream *s, uint64_t stack) {
  apus_trace_be_running(s);
  PUT(s, GO_STOP, APUS_TRACE_STRING_PREEMPTED, stack);
  leave(s, APUS_TRACE_RUNNABLE);
  proc_stop(s);
}

void apus_trace_detached(apus_m *m) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s != NULL && s->g != NULL) stop(s, 0);
}

void apus_trace_preempted(apus_m *m, uintptr_t frame, const void *ucontext) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s == NULL || s->g == NULL) return;
  const apus_g_head *g = m->head.current;
  uint64_t stack;
  if (ucontext == NULL) {
    // Two functions lie between the frame and whoever has left the runtime.
    const uintptr_t *caller = (const uintptr_t *)*(const uintptr_t *)frame;
    stack = apus_trace_walk(s, caller[1], caller[0], frame, g->stack_hi);
  } else {
    uintptr_t pc, fp, sp;
    apus_interrupted_frame(ucontext, &pc, &fp, &sp);
    stack = sp >= g->stack_lo && sp < g->stack_hi ? apus_trace_walk(s, pc, fp, sp, g->stack_hi) : 0;
  }
  stop(s, stack);
}
