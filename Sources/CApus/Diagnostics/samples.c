// Tables of stacks, for profiles. Many threads count at once, some in signal handlers: nobody waits for anybody. A place is
// taken by a compare-exchange of the stack's hash, and is filled by who has taken it; the others only add.
#include <stdatomic.h>
#include <stdbool.h>

#include "CApus.h"

typedef struct {
  /// Of the stack, never 0; 0 for a free place.
  _Atomic uint64_t hash;
  _Atomic uint64_t count;
  _Atomic uint64_t amount;
  /// Set when `frames` are there; whoever reads while others count looks at it first.
  _Atomic bool is_filled;
  apus_frames frames;
} place;

enum { PLACES = 1 << 14, LONGEST_PROBE = 64 };

struct apus_samples {
  _Atomic uint64_t lost;
  place places[PLACES];
};

uint64_t apus_profile_rates[APUS_PROFILES];

void apus_set_profile_rate(int profile, uint64_t rate) {
  __atomic_store_n(&apus_profile_rates[profile], rate, __ATOMIC_RELEASE);
}

apus_samples *apus_samples_new(void) { return apus_mmap(sizeof(apus_samples)); }

void apus_samples_free(apus_samples *samples) { apus_munmap(samples, sizeof(apus_samples)); }

static uint64_t hash_of(const apus_frames *frames) {
  uint64_t hash = frames->count;
  for (size_t i = 0; i < frames->count; i++) hash = (hash ^ frames->pcs[i]) * 0x100000001b3u;
  hash ^= hash >> 29;
  return hash != 0 ? hash : 1;
}

void apus_samples_add(apus_samples *samples, const apus_frames *frames, uint64_t count, uint64_t amount) {
  uint64_t hash = hash_of(frames);
  for (size_t n = 0; n < LONGEST_PROBE; n++) {
    place *here = &samples->places[(hash + n) % PLACES];
    uint64_t found = atomic_load(&here->hash);
    if (found == 0 && atomic_compare_exchange_strong(&here->hash, &found, hash)) {
      here->frames = *frames;
      atomic_store(&here->is_filled, true);
      found = hash;
    }
    if (found != hash) continue;
    atomic_fetch_add(&here->count, count);
    atomic_fetch_add(&here->amount, amount);
    return;
  }
  atomic_fetch_add(&samples->lost, count);
}

void apus_samples_add_caller(
    apus_samples *samples, const apus_g_head *g, uintptr_t fp, uint64_t count, uint64_t amount) {
  apus_frames frames;
  uintptr_t pc = 0, lo = fp;
  if (g->stack_hi == 0) {
    // A thread that is not the runtime's: where its stack ends is not known, so by the tables.
    apus_unwind(((const uintptr_t *)fp)[1], &frames);
  } else {
    if (!apus_next_frame(&pc, &fp, &lo, g->stack_hi)) return;
    apus_unwind_frames(pc, fp, lo, g->stack_hi, &frames);
  }
  if (frames.count > 0) apus_samples_add(samples, &frames, count, amount);
}

size_t apus_samples_capacity(void) { return PLACES; }

const apus_frames *apus_samples_stack(const apus_samples *samples, size_t index, uint64_t *count, uint64_t *amount) {
  const place *here = &samples->places[index];
  if (!atomic_load(&here->is_filled)) return NULL;
  *count = atomic_load(&here->count);
  *amount = atomic_load(&here->amount);
  return *count != 0 ? &here->frames : NULL;
}

uint64_t apus_samples_lost(const apus_samples *samples) { return atomic_load(&samples->lost); }
