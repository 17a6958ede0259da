#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "CStress.h"

#define GUARD_INSTALL 102

static int fills_guard(int descriptor, void *page, const void *content) {
  struct uffdio_api api = {.api = UFFD_API};
  struct uffdio_register whole = {.range = {.start = (uintptr_t)page, .len = 4096}, .mode = UFFDIO_REGISTER_MODE_WP};
  struct uffdio_copy copy = {.dst = (uintptr_t)page, .src = (uintptr_t)content, .len = 4096};
  return ioctl(descriptor, UFFDIO_API, &api) == 0 && ioctl(descriptor, UFFDIO_REGISTER, &whole) == 0 &&
         madvise(page, 4096, GUARD_INSTALL) == 0 && ioctl(descriptor, UFFDIO_COPY, &copy) == 0;
}

int stress_can_userfault(void) {
  static const char content[4096];
  long descriptor = sysconf(_SC_PAGESIZE) == 4096 ? syscall(SYS_userfaultfd, O_CLOEXEC | 1) : -1;
  if (descriptor < 0) return 0;
  void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int can = page != MAP_FAILED && fills_guard((int)descriptor, page, content);
  if (page != MAP_FAILED) munmap(page, 4096);
  close((int)descriptor);
  return can;
}
