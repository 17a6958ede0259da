// Of userfaultfd one thing is used: UFFDIO_COPY, which makes a page, fills it and puts it into the page table in one step,
// over a guard too. Nobody ever finds the page half filled, and no mapping has to be split to keep others out meanwhile. Nothing
// here makes or handles page faults: mappings are registered for write protection, which no page ever has, because they
// have to be registered for something; to be told of missing pages would turn each fresh one into an event.
//
// UFFD_USER_MODE_ONLY needs no privilege. Sandboxes may forbid the call all the same, and not every architecture has the
// write protection: then `apus_userfault_open` says so.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "CApus.h"
#include "CApusUserfault.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

/// The descriptor and 1, in a page that the kernel gives a child of fork's as zeros: the child inherits the descriptor, and by it
/// would fill the pages of its parent. A pid would have to be asked for each time, and knows nothing of children by `clone`.
/// If the program closes a descriptor that it does not know, the calls below fail.
static int *descriptor;

/// Whether a guard can be replaced by a page with content.
static bool works(void) {
  unsigned char *page = apus_mmap(APUS_USERFAULT_PAGE);
  if (page == NULL) return false;
  static const unsigned char content[APUS_USERFAULT_PAGE] = {[APUS_USERFAULT_PAGE - 1] = 42};
  bool done = apus_userfault_add((uintptr_t)page, APUS_USERFAULT_PAGE) &&
              apus_madvise(page, APUS_USERFAULT_PAGE, APUS_MADV_GUARD_INSTALL) == 0 &&
              apus_userfault_fill((uintptr_t)page, content) && page[APUS_USERFAULT_PAGE - 1] == 42;
  apus_munmap(page, APUS_USERFAULT_PAGE);
  return done;
}

bool apus_userfault_open(size_t page_size) {
  if (page_size != APUS_USERFAULT_PAGE) return false;
  int *wiped = apus_mmap(page_size);
  if (wiped == NULL) return false;
  int file = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
  struct uffdio_api api = {.api = UFFD_API};
  if (file >= 0 && ioctl(file, UFFDIO_API, &api) == 0 && madvise(wiped, page_size, MADV_WIPEONFORK) == 0) {
    *wiped = file + 1;
    descriptor = wiped;
    if (works()) return true;
    descriptor = NULL;
  }
  if (file >= 0) close(file);
  apus_munmap(wiped, page_size);
  return false;
}

bool apus_userfault_is_open(void) { return descriptor != NULL && *descriptor != 0; }

bool apus_userfault_add(uintptr_t base, size_t size) {
  if (!apus_userfault_is_open()) return false;
  struct uffdio_register whole = {.range = {.start = base, .len = size}, .mode = UFFDIO_REGISTER_MODE_WP};
  return ioctl(*descriptor - 1, UFFDIO_REGISTER, &whole) == 0 && (whole.ioctls & 1ull << _UFFDIO_COPY) != 0;
}

bool apus_userfault_fill(uintptr_t page, const void *content) {
  if (!apus_userfault_is_open()) return false;
  // Nobody waits for the page by way of the descriptor.
  struct uffdio_copy copy = {
      .dst = page, .src = (uintptr_t)content, .len = APUS_USERFAULT_PAGE, .mode = UFFDIO_COPY_MODE_DONTWAKE};
  return ioctl(*descriptor - 1, UFFDIO_COPY, &copy) == 0;
}
