// Pages that appear with their content, in one step (userfaultfd).
#ifndef CAPUS_USERFAULT_H
#define CAPUS_USERFAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// The size of the pages that can be filled so; systems with others have no such pages.
#define APUS_USERFAULT_PAGE 4096

/// Tries it out, on a page of its own; false where this system cannot do it, or forbids it. Once, before anything else here.
bool apus_userfault_open(size_t page_size);
/// Whether it can be done in this process: not in a child of fork's, for whose parent it would be done.
bool apus_userfault_is_open(void);
/// Has pages of a private mapping filled so. False where the kernel will not.
bool apus_userfault_add(uintptr_t base, size_t size);
/// Puts a page that ends at `end` where there is none, or a guard: `size` bytes of `content` at its end, zeros before them.
/// False, with nothing changed, where the kernel will not. Signal handlers may call it; it needs little stack.
bool apus_userfault_fill(uintptr_t end, const void *content, size_t size);

#endif
