// Of userfaultfd one thing is used: UFFDIO_COPY, which makes a page, fills it and puts it into the page table in one step,
// over a guard too. Nobody ever finds the page half filled, and no mapping has to be split to keep others out meanwhile.
// Nothing here makes or handles page faults: mappings are registered for write protection, which no page ever has, because they
// have to be registered for something; to be told of missing pages would turn each fresh one into an event.
//
// UFFD_USER_MODE_ONLY needs no privilege. Sandboxes may forbid the call all the same, and kernels after 6.18 put no page over a
// guard: then `apus_userfault_open` says so.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "CApus.h"
#include "CApusUserfault.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

/// The descriptor and 1, in a page that the kernel gives a child of fork's as zeros: the child inherits the descriptor, and
/// by it would fill the pages of its parent. A pid would have to be asked for each time, and knows nothing of children by `clone`.
/// 0, too, from the first call on that fails since the program has closed a descriptor that it does not know, or has forbidden
/// the call.
static _Atomic int *descriptor;

static int file(void) { return descriptor == NULL ? -1 : atomic_load_explicit(descriptor, memory_order_relaxed) - 1; }

// Pages from which others are filled, all zeros but while somebody has them in hand: below what was in use of a stack are
// zeros, as on any fresh page, and not what was in use of another. Not on the stack: in the handler that may be the signal
// stack of somebody else's thread, of eight kilobytes, of which the kernel's frame takes nearly four. A child of fork may find
// some taken for ever, but fills nothing.
static _Alignas(APUS_USERFAULT_PAGE) unsigned char stages[64][APUS_USERFAULT_PAGE];
static _Atomic uint64_t stages_in_use;

/// One of them; NULL when there is none.
static unsigned char *take_stage(void) {
  uint64_t used = atomic_load_explicit(&stages_in_use, memory_order_relaxed);
  while (used != ~0ull) {
    int i = __builtin_ctzll(~used);
    if (atomic_compare_exchange_weak_explicit(&stages_in_use, &used, used | 1ull << i, memory_order_acquire,
                                              memory_order_relaxed))
      return stages[i];
  }
  return NULL;
}

static void give_stage_back(const unsigned char *stage) {
  uint64_t i = (uint64_t)(stage - stages[0]) / APUS_USERFAULT_PAGE;
  atomic_fetch_and_explicit(&stages_in_use, ~(1ull << i), memory_order_release);
}

/// Whether a guard can be replaced by a page with content.
static bool works(void) {
  unsigned char *page = apus_mmap(APUS_USERFAULT_PAGE);
  if (page == NULL) return false;
  const unsigned char content = 42;
  bool done = apus_userfault_add((uintptr_t)page, APUS_USERFAULT_PAGE) &&
              apus_madvise(page, APUS_USERFAULT_PAGE, APUS_MADV_GUARD_INSTALL) == 0 &&
              apus_userfault_fill((uintptr_t)page + APUS_USERFAULT_PAGE, &content, 1) &&
              page[APUS_USERFAULT_PAGE - 1] == content && page[0] == 0;
  apus_munmap(page, APUS_USERFAULT_PAGE);
  return done;
}

/// Not in place of a standard descriptor that the process was started without: who reads from it would wait for ever.
static int open_above_standard(void) {
  int first = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
  if (first < 0 || first > STDERR_FILENO) return first;
  int moved = fcntl(first, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  close(first);
  return moved;
}

bool apus_userfault_open(size_t page_size) {
  if (page_size != APUS_USERFAULT_PAGE) return false;
  _Atomic int *wiped = apus_mmap(page_size);
  if (wiped == NULL) return false;
  int new = open_above_standard();
  struct uffdio_api api = {.api = UFFD_API};
  if (new >= 0 && ioctl(new, UFFDIO_API, &api) == 0 && madvise((void *)wiped, page_size, MADV_WIPEONFORK) == 0) {
    *wiped = new + 1;
    descriptor = wiped;
    if (works()) return true;
    descriptor = NULL;
  }
  if (new >= 0) close(new);
  apus_munmap((void *)wiped, page_size);
  return false;
}

bool apus_userfault_is_open(void) { return file() >= 0; }

bool apus_userfault_add(uintptr_t base, size_t size) {
  if (!apus_userfault_is_open()) return false;
  struct uffdio_register whole = {.range = {.start = base, .len = size}, .mode = UFFDIO_REGISTER_MODE_WP};
  return ioctl(file(), UFFDIO_REGISTER, &whole) == 0 && (whole.ioctls & 1ull << _UFFDIO_COPY) != 0;
}

bool apus_userfault_fill(uintptr_t end, const void *content, size_t size) {
  unsigned char *stage = apus_userfault_is_open() ? take_stage() : NULL;
  if (stage == NULL) return false;
  unsigned char *used = stage + APUS_USERFAULT_PAGE - size;
  memcpy(used, content, size);
  // Nobody waits for the page by way of the descriptor.
  struct uffdio_copy copy = {.dst = end - APUS_USERFAULT_PAGE,
                             .src = (uintptr_t)stage,
                             .len = APUS_USERFAULT_PAGE,
                             .mode = UFFDIO_COPY_MODE_DONTWAKE};
  bool is_filled = ioctl(file(), UFFDIO_COPY, &copy) == 0;
  // Short of memory, or of this page alone; else it is the descriptor that does not serve any more.
  if (!is_filled && errno != ENOMEM && errno != EAGAIN && errno != ENOENT && errno != EEXIST)
    atomic_store_explicit(descriptor, 0, memory_order_relaxed);
  memset(used, 0, size);
  give_stage_back(stage);
  return is_filled;
}
