// What the events of a generation refer to by number: stacks and texts, each kept once, by its hash. Two sets of tables
// take turns: while one generation is written to, the thread that writes the file makes names of the other's, and empties
// it before the next one begins.
#include <string.h>

#include "CApusTraceStreams.h"

typedef struct {
  apus_trace_stack *stacks[APUS_TRACE_BUCKETS];
  apus_trace_text *texts[APUS_TRACE_BUCKETS];
  uint32_t stack_count;
  uint32_t text_count;
  /// All memory of both, by a link at its beginning.
  void *chunks;
} tables;

static tables both[2];
enum { CHUNK = 65536, CHUNK_HEAD = 16 };

static tables *tables_of(uint64_t generation) { return &both[generation & 1]; }

apus_trace_stack *apus_trace_stacks(uint64_t generation, size_t bucket) {
  return __atomic_load_n(&tables_of(generation)->stacks[bucket], __ATOMIC_ACQUIRE);
}

apus_trace_text *apus_trace_texts(uint64_t generation, size_t bucket) {
  return __atomic_load_n(&tables_of(generation)->texts[bucket], __ATOMIC_ACQUIRE);
}

/// Memory that lasts as long as the generation; NULL when there is none to be had.
static void *allocate(apus_trace_stream *s, size_t size) {
  size = (size + 7) & ~(size_t)7;
  if (s->arena_generation != apus_trace_current || (size_t)(s->arena_end - s->arena) < size) {
    void **chunk = apus_mmap(CHUNK);
    if (chunk == NULL) return NULL;
    void **chunks = &tables_of(apus_trace_current)->chunks;
    *chunk = __atomic_load_n(chunks, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(chunks, chunk, chunk, 1, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
    }
    s->arena = (uint8_t *)chunk + CHUNK_HEAD;
    s->arena_end = (uint8_t *)chunk + CHUNK;
    s->arena_generation = apus_trace_current;
  }
  void *memory = s->arena;
  s->arena += size;
  return memory;
}

void apus_trace_drop_tables(uint64_t generation) {
  tables *t = tables_of(generation);
  void *chunk = t->chunks;
  memset(t, 0, sizeof *t);
  while (chunk != NULL) {
    void *next = *(void **)chunk;
    apus_munmap(chunk, CHUNK);
    chunk = next;
  }
}

uint64_t apus_trace_number_of(apus_trace_stream *s, const uintptr_t *pcs, uint32_t count) {
  if (count == 0) return 0;
  tables *t = tables_of(apus_trace_current);
  uint64_t hash = count;
  for (uint32_t i = 0; i < count; i++) hash = (hash ^ pcs[i]) * 0x9e3779b97f4a7c15u, hash ^= hash >> 29;
  apus_trace_stack **bucket = &t->stacks[hash % APUS_TRACE_BUCKETS];
  apus_trace_stack *first = __atomic_load_n(bucket, __ATOMIC_ACQUIRE);
  for (apus_trace_stack *e = first; e != NULL; e = e->link)
    if (e->hash == hash && e->count == count && memcmp(e->pcs, pcs, count * sizeof *pcs) == 0) return e->id;
  apus_trace_stack *entry = allocate(s, sizeof *entry + count * sizeof *pcs);
  if (entry == NULL) return 0;
  entry->hash = hash;
  entry->count = count;
  entry->id = __atomic_add_fetch(&t->stack_count, 1, __ATOMIC_RELAXED);
  memcpy(entry->pcs, pcs, count * sizeof *pcs);
  entry->link = first;
  while (!__atomic_compare_exchange_n(bucket, &entry->link, entry, 1, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
  }
  return entry->id;
}

/// The longest beginning of `bytes` that the format takes and that does not end inside a character.
static uint32_t fitting(const char *bytes, size_t count) {
  if (count <= APUS_TRACE_TEXT) return (uint32_t)count;
  uint32_t fits = APUS_TRACE_TEXT;
  while (fits > 0 && ((uint8_t)bytes[fits] & 0xc0) == 0x80) fits--;
  return fits;
}

uint64_t apus_trace_number_of_text(apus_trace_stream *s, const char *bytes, size_t length) {
  uint32_t count = fitting(bytes, length);
  if (count == 0) return 0;
  tables *t = tables_of(apus_trace_current);
  uint64_t hash = count;
  for (uint32_t i = 0; i < count; i++) hash = (hash ^ (uint8_t)bytes[i]) * 0x100000001b3u;
  hash ^= hash >> 29;
  apus_trace_text **bucket = &t->texts[hash % APUS_TRACE_BUCKETS];
  apus_trace_text *first = __atomic_load_n(bucket, __ATOMIC_ACQUIRE);
  for (apus_trace_text *e = first; e != NULL; e = e->link)
    if (e->hash == hash && e->count == count && memcmp(e->bytes, bytes, count) == 0) return e->id;
  apus_trace_text *entry = allocate(s, sizeof *entry + count);
  if (entry == NULL) {
    apus_trace_lose();
    return 0;
  }
  entry->hash = hash;
  entry->count = count;
  // Every other number: those between are for names that are found out when the file is written.
  entry->id = APUS_TRACE_STRING_FIRST + 2 * __atomic_fetch_add(&t->text_count, 1, __ATOMIC_RELAXED);
  memcpy(entry->bytes, bytes, count);
  entry->link = first;
  while (!__atomic_compare_exchange_n(bucket, &entry->link, entry, 1, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
  }
  return entry->id;
}

uint64_t apus_trace_walk(apus_trace_stream *s, uintptr_t pc, uintptr_t fp, uintptr_t lo, uintptr_t hi) {
  return apus_trace_walk_shifted(s, pc, fp, lo, hi, 0);
}

uint64_t apus_trace_walk_shifted(
    apus_trace_stream *s, uintptr_t pc, uintptr_t fp, uintptr_t lo, uintptr_t hi, uintptr_t shift) {
  uintptr_t pcs[APUS_TRACE_DEPTH];
  uint32_t count = 0;
  while (pc != 0 && count < APUS_TRACE_DEPTH) {
    pcs[count++] = pc - 1;
    if (!apus_next_shifted_frame(&pc, &fp, &lo, hi, shift)) break;
  }
  return apus_trace_number_of(s, pcs, count);
}
