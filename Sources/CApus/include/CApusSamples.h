// Tables of stacks, for profiles (samples.c): what has been counted at each.
#ifndef CAPUS_SAMPLES_H
#define CAPUS_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#include "CApusLayout.h"
#include "CApusUnwind.h"

typedef struct apus_samples apus_samples;

/// The profiles that a program switches on and off by a number, which is 0 while they are off: waits of goroutines, by how
/// many nanoseconds there are for each that is counted; and locks that others have waited for, one in so many.
enum { APUS_PROFILE_BLOCK = 0, APUS_PROFILE_MUTEX = 1, APUS_PROFILES = 2 };

/// Hidden: one instruction compares it.
extern uint64_t apus_profile_rates[APUS_PROFILES] __attribute__((visibility("hidden")));

/// The one test that such a profile costs while it is off.
static inline __attribute__((always_inline)) uint64_t apus_profile_rate(int profile) {
  return __atomic_load_n(&apus_profile_rates[profile], __ATOMIC_RELAXED);
}
void apus_set_profile_rate(int profile, uint64_t rate);

/// An empty table: address space, of which pages come as stacks do. NULL where there is none.
apus_samples *apus_samples_new(void);
/// Nobody uses it any more.
void apus_samples_free(apus_samples *samples);
/// Adds to the sums of a stack. Any thread, also in a signal handler.
void apus_samples_add(apus_samples *samples, const apus_frames *frames, uint64_t count, uint64_t amount);
/// The same for the calling stack, which is that of `g`, from the function on that has called the one whose frame pointer is
/// `fp`.
void apus_samples_add_caller(
    apus_samples *samples, const apus_g_head *g, uintptr_t fp, uint64_t count, uint64_t amount);
/// How many stacks there can be.
size_t apus_samples_capacity(void);
/// The stack at place `index` and its sums; NULL where there is none, or it is being put there.
const apus_frames *apus_samples_stack(const apus_samples *samples, size_t index, uint64_t *count, uint64_t *amount);
/// What was counted for stacks that had no place.
uint64_t apus_samples_lost(const apus_samples *samples);

#endif
