// Where the stacks are that can be kept elsewhere: reservations, slots, and a word for each.
#ifndef CAPUS_SHELF_SLOTS_H
#define CAPUS_SHELF_SLOTS_H

#include <stddef.h>
#include <stdint.h>

/// The word of the slot in which `address` lies, and where the slot and so its stack ends. NULL where there is none.
uintptr_t *apus_shelf_slot(uintptr_t address, uintptr_t *top);
/// The beginning of the stack that ends at `top`.
uintptr_t apus_shelf_bottom(uintptr_t top);
/// How many of `tops`, from the first one on, are neighbours: between them is nothing but their own stacks.
size_t apus_shelf_neighbours(const uintptr_t *tops, size_t count);

#endif
