// The stacks that the events of an execution trace refer to: each is kept once, by its hash.
#include <string.h>

#include "CApusTraceStreams.h"

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

uint64_t apus_trace_number_of(apus_trace_stream *s, const uintptr_t *pcs, uint32_t count) {
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

uint64_t apus_trace_walk(apus_trace_stream *s, uintptr_t pc, uintptr_t fp, uintptr_t lo, uintptr_t hi) {
  uintptr_t pcs[APUS_TRACE_DEPTH];
  uint32_t count = 0;
  while (pc != 0 && count < APUS_TRACE_DEPTH) {
    pcs[count++] = pc - 1;
    if (!apus_next_frame(&pc, &fp, &lo, hi)) break;
  }
  return apus_trace_number_of(s, pcs, count);
}
