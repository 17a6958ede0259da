// The reservations of stacks, looked up without a lock: one is added once, and never changed or removed.
#include <stdatomic.h>

#include "CApus.h"
#include "CApusShelfSlots.h"
#include "CApusUserfault.h"

typedef struct region {
  // Written last. 0 for none.
  _Atomic uintptr_t base;
  uintptr_t slot_size;
  uintptr_t capacity;
  uintptr_t *words;
} region;

// One for each order of stacks.
#define REGIONS 17
static region regions[REGIONS];

bool apus_shelf_add_region(uintptr_t base, uintptr_t slot_size, uintptr_t capacity) {
  for (size_t i = 0; i < REGIONS; i++) {
    if (atomic_load_explicit(&regions[i].base, memory_order_relaxed) != 0) continue;
    regions[i].words = apus_mmap(capacity * sizeof(uintptr_t));
    if (regions[i].words == NULL) return false;
    regions[i].slot_size = slot_size;
    regions[i].capacity = capacity;
    // Where the kernel will not, it does not fill the pages either, and says so each time.
    (void)apus_userfault_add(base, slot_size * capacity);
    atomic_store_explicit(&regions[i].base, base, memory_order_release);
    return true;
  }
  return false;
}

/// The reservation that `address` lies in, and the number of the slot.
static const region *region_of(uintptr_t address, uintptr_t *slot) {
  for (size_t i = 0; i < REGIONS; i++) {
    uintptr_t base = atomic_load_explicit(&regions[i].base, memory_order_acquire);
    if (base == 0) return NULL;
    *slot = (address - base) / regions[i].slot_size;
    if (address >= base && *slot < regions[i].capacity) return &regions[i];
  }
  return NULL;
}

uintptr_t *apus_shelf_slot(uintptr_t address, uintptr_t *top) {
  uintptr_t slot;
  const region *found = region_of(address, &slot);
  if (found == NULL) return NULL;
  *top = found->base + (slot + 1) * found->slot_size;
  return &found->words[slot];
}

uintptr_t *apus_shelf_word(uintptr_t address) {
  uintptr_t top;
  return apus_shelf_slot(address, &top);
}

uintptr_t apus_shelf_bottom(uintptr_t top) {
  uintptr_t slot;
  return top - region_of(top - 1, &slot)->slot_size + APUS_STACK_GUARD;
}

size_t apus_shelf_neighbours(const uintptr_t *tops, size_t count) {
  uintptr_t slot;
  const region *home = region_of(tops[0] - 1, &slot);
  size_t n = 1;
  while (n < count && tops[n] - tops[n - 1] == home->slot_size && region_of(tops[n] - 1, &slot) == home) n++;
  return n;
}
