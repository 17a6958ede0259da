// The streams of the execution trace and their buffers. CApusTrace.h says who writes a stream when.
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "CApusTraceStreams.h"

apus_trace_stream apus_trace_nobodys = {.id = 1};
/// The last stream's number.
static uint64_t streams = 1;
/// The buffers that are full, newest first: a stack to which threads push and from which one takes all.
static apus_trace_buffer *full = NULL;
static bool has_lost = false;
/// The futex of the thread that writes the file: 1 wakes it.
static uint32_t writer_wake = 0;

bool apus_trace_has_lost(void) { return __atomic_load_n(&has_lost, __ATOMIC_RELAXED); }

void apus_trace_lose(void) { __atomic_store_n(&has_lost, 1, __ATOMIC_RELAXED); }

void apus_trace_begin_streams(void) { __atomic_store_n(&has_lost, 0, __ATOMIC_RELAXED); }

void apus_trace_wake_writer(void) {
  if (__atomic_exchange_n(&writer_wake, 1, __ATOMIC_SEQ_CST) == 0) apus_futex_wake(&writer_wake, 1);
}

void apus_trace_wait(int64_t nanoseconds) {
  while (__atomic_exchange_n(&writer_wake, 0, __ATOMIC_SEQ_CST) == 0)
    if (apus_futex_wait(&writer_wake, 0, nanoseconds) == -ETIMEDOUT) return;
}

void apus_trace_hand_over(apus_trace_stream *s) {
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
    apus_trace_hand_over(s);
    apus_trace_wake_writer();
  }
  apus_trace_buffer *buffer = apus_mmap(APUS_TRACE_BUFFER);
  if (buffer == NULL) {
    apus_trace_lose();
    return false;
  }
  buffer->stream = s->id;
  buffer->generation = apus_trace_current;
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

void apus_trace_put(apus_trace_stream *s, uint8_t kind, int count, const uint64_t *arguments) {
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

apus_trace_stream *apus_trace_stream_of(apus_m *m) {
  apus_trace_stream *s = m->head.trace;
  if (s != NULL) return s;
  s = apus_mmap(4096);
  if (s == NULL) {
    apus_trace_lose();
    return NULL;
  }
  s->id = __atomic_add_fetch(&streams, 1, __ATOMIC_RELAXED);
  m->head.trace = s;
  return s;
}
