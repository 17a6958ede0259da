// The sessions and generations of the execution trace, while the world stands still: what everybody does, said anew.
#include "CApusTraceStreams.h"

uint64_t apus_trace_generation(void) { return apus_trace_current; }

void apus_trace_begin(void) {
  apus_trace_begin_streams();
  apus_trace_current++;
}

void apus_trace_forget(apus_m *m) {
  apus_trace_stream *s = m->head.trace;
  if (s == NULL) return;
  s->p = NULL;
  s->g = NULL;
  s->in_syscall = 0;
  s->sweeps = 0;
}

void apus_trace_adopt(apus_g_head *g, uint32_t state) {
  uintptr_t shift = g->stack_hi != 0 ? apus_shelf_borrow(g->stack_hi) : 0;
  uint64_t *word = (uint64_t *)((uintptr_t)apus_trace_word(g) + shift);
  if (!apus_trace_is_known(*word)) *word = apus_trace_make_word(apus_trace_current, state, 0);
  if (shift != 0) apus_shelf_give_back(g->stack_hi);
}

void apus_trace_adopt_running(apus_m *m, apus_p_head *p, apus_g_head *g) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s == NULL) return;
  s->p = p;
  s->g = g;
  s->in_syscall = p == NULL;
  *apus_trace_word(g) = apus_trace_make_word(apus_trace_current, APUS_TRACE_RUNNING, 0);
}

void apus_trace_switch(bool is_on) { __atomic_store_n(&apus_trace_flag, is_on, __ATOMIC_SEQ_CST); }

void apus_trace_advance(void) { apus_trace_current++; }

static void tell_assist(apus_trace_stream *s, uint64_t g, uint64_t word) {
  if (word & APUS_TRACE_ASSISTS) PUT(s, ASSIST_ACTIVE, g);
}

void apus_trace_status_of_thread(apus_m *m, const apus_m *caller) {
  apus_trace_stream *s = m->head.trace;
  if (s == NULL) return;
  if (s->p != NULL) {
    PUT(s, PROC_STATUS, (uint64_t)s->p->id, s->in_syscall ? APUS_TRACE_P_SYSCALL : APUS_TRACE_P_RUNNING);
    s->p->trace = apus_trace_current << 32;
  }
  if (s->g == NULL) return;
  uintptr_t pc, fp;
  uint64_t stack = 0;
  if (m == caller)
    stack = HERE(s, m);
  else if (apus_stopped_frame(m, &pc, &fp))
    stack = apus_trace_walk(s, pc, fp, s->g->stack_lo, s->g->stack_hi);
  PUT(s, GO_STATUS_STACK, s->g->id, s->id, s->in_syscall ? APUS_TRACE_SYSCALL : APUS_TRACE_RUNNING, stack);
  tell_assist(s, s->g->id, *apus_trace_word(s->g));
  apus_trace_set_word(apus_trace_word(s->g), APUS_TRACE_RUNNING, 0);
}

void apus_trace_status_of_p(apus_p_head *p) {
  if (p->trace >> 32 == apus_trace_current) return;
  PUT(&apus_trace_nobodys, PROC_STATUS, (uint64_t)p->id, APUS_TRACE_P_IDLE);
  p->trace = apus_trace_current << 32;
}

/// The caller holds signals. `shift`: where what is on the goroutine's stack lies.
static void status_of_g(apus_g_head *g, uintptr_t shift) {
  uint64_t *word = (uint64_t *)((uintptr_t)apus_trace_word(g) + shift);
  uint32_t state = apus_trace_word_state(*word);
  if (apus_trace_word_generation(*word) != apus_trace_current - 1 || state == APUS_TRACE_RUNNING) return;
  uint64_t stack = 0;
  if (state == APUS_TRACE_WAITING && g->sp >= g->stack_lo && g->sp < g->stack_hi) {
    uintptr_t pc, fp;
    apus_parked_frame(g->sp, shift, &pc, &fp);
    stack = apus_trace_walk_shifted(&apus_trace_nobodys, pc, fp, g->sp, g->stack_hi, shift);
  }
  // No thread.
  PUT(&apus_trace_nobodys, GO_STATUS_STACK, g->id, ~(uint64_t)0, state, stack);
  tell_assist(&apus_trace_nobodys, g->id, *word);
  apus_trace_set_word(word, state, 0);
}

void apus_trace_status_of_g(apus_g_head *g) {
  // A stack that is kept elsewhere stays there: the world does not wait for a page.
  uintptr_t shift = g->stack_hi != 0 ? apus_shelf_borrow(g->stack_hi) : 0;
  status_of_g(g, shift);
  if (shift != 0) apus_shelf_give_back(g->stack_hi);
}

void apus_trace_flush(apus_m *m) {
  if (m->head.trace != NULL) apus_trace_hand_over(m->head.trace);
}

void apus_trace_flush_nobodys(void) { apus_trace_hand_over(&apus_trace_nobodys); }
