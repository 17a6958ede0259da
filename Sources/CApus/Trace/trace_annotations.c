// What a program says in the execution trace: tasks, regions and logs. `m` has a P, if the calling thread has a goroutine.
#include "CApusTraceStreams.h"

void apus_trace_task_begin(apus_m *m, uint64_t task, uint64_t parent, const char *name, size_t length) {
  apus_trace_stream *s = apus_trace_running(m);
  if (s != NULL) PUT(s, TASK_BEGIN, task, parent, apus_trace_number_of_text(s, name, length), HERE(s, m));
}

void apus_trace_task_end(apus_m *m, uint64_t task) {
  apus_trace_stream *s = apus_trace_running(m);
  if (s != NULL) PUT(s, TASK_END, task, HERE(s, m));
}

void apus_trace_region_begin(apus_m *m, uint64_t task, const char *name, size_t length) {
  apus_trace_stream *s = apus_trace_running(m);
  if (s != NULL) PUT(s, REGION_BEGIN, task, apus_trace_number_of_text(s, name, length), HERE(s, m));
}

void apus_trace_region_end(apus_m *m, uint64_t task, const char *name, size_t length) {
  apus_trace_stream *s = apus_trace_running(m);
  if (s != NULL) PUT(s, REGION_END, task, apus_trace_number_of_text(s, name, length), HERE(s, m));
}

void apus_trace_log(
    apus_m *m, uint64_t task, const char *category, size_t category_length, const char *message, size_t length) {
  apus_trace_stream *s = apus_trace_running(m);
  if (s == NULL) return;
  uint64_t key = apus_trace_number_of_text(s, category, category_length);
  PUT(s, LOG, task, key, apus_trace_number_of_text(s, message, length), HERE(s, m));
}
