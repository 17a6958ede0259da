// The collector's events in the execution trace.
//
// A cycle's beginning, its end, and that it is on at the beginning of a generation, are numbered through all generations,
// and the reader insists that each is told by a running goroutine, except in the first generation that it sees. Whoever
// begins or ends a cycle has the claim on stopping the world, and so has whoever begins a generation: what is said of
// cycles changes under one hand.
//
// Sweeping happens in sections, in which the world does not stop: no generation begins meanwhile, so none has to say that
// a P sweeps. A goroutine that helps may be stopped and wait meanwhile; that it helps stands in its word.
#include "CApusTraceStreams.h"

/// The number of the last event. The reader, which begins with 0, would take one with the number 1 for the next one.
static uint64_t sequence = 1;
/// The reader has a cycle under way.
static bool is_told = false;

bool apus_trace_has_running(const apus_m *m) {
  const apus_trace_stream *s = m->head.trace;
  return s != NULL && s->p != NULL && s->g != NULL && !s->in_syscall;
}

void apus_trace_gc_begin(apus_m *m) {
  apus_trace_stream *s = is_told ? NULL : apus_trace_running(m);
  if (s == NULL) return;
  PUT(s, GC_BEGIN, ++sequence, HERE(s, m));
  is_told = true;
}

void apus_trace_gc_end(apus_m *m) {
  apus_trace_stream *s = is_told ? apus_trace_running(m) : NULL;
  if (s == NULL) return;
  PUT(s, GC_END, ++sequence);
  is_told = false;
}

void apus_trace_adopt_collection(bool is_on) { is_told = is_on; }

bool apus_trace_has_collection(void) { return is_told; }

void apus_trace_status_of_collection(apus_m *m) {
  if (is_told) PUT(m != NULL ? m->head.trace : &apus_trace_nobodys, GC_ACTIVE, ++sequence);
}

void apus_trace_assist_begin(apus_m *m) {
  apus_trace_stream *s = apus_trace_running(m);
  if (s == NULL || *apus_trace_word(s->g) & APUS_TRACE_ASSISTS) return;
  PUT(s, ASSIST_BEGIN, HERE(s, m));
  *apus_trace_word(s->g) |= APUS_TRACE_ASSISTS;
}

void apus_trace_assist_end(apus_m *m) {
  apus_trace_stream *s = apus_trace_running(m);
  if (s == NULL || !(*apus_trace_word(s->g) & APUS_TRACE_ASSISTS)) return;
  PUT(s, ASSIST_END);
  *apus_trace_word(s->g) &= ~APUS_TRACE_ASSISTS;
}

void apus_trace_sweep_begin(apus_m *m) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s == NULL || s->p == NULL || s->sweeps) return;
  PUT(s, SWEEP_BEGIN, HERE(s, m));
  s->sweeps = true;
  s->swept = s->reclaimed = 0;
}

void apus_trace_sweep_count(apus_m *m, uint64_t swept, uint64_t reclaimed) {
  apus_trace_stream *s = m->head.trace;
  if (s == NULL) return;
  s->swept += swept;
  s->reclaimed += reclaimed;
}

void apus_trace_sweep_end(apus_m *m) {
  apus_trace_stream *s = m->head.trace;
  if (s == NULL || !s->sweeps) return;
  PUT(s, SWEEP_END, s->swept, s->reclaimed);
  s->sweeps = false;
}

void apus_trace_heap_alloc(apus_m *m, uint64_t bytes) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s != NULL && s->p != NULL) PUT(s, HEAP_ALLOC, bytes);
}

void apus_trace_heap_goal(apus_m *m, uint64_t bytes) {
  apus_trace_stream *s = apus_trace_stream_of(m);
  if (s != NULL && s->p != NULL) PUT(s, HEAP_GOAL, bytes);
}
