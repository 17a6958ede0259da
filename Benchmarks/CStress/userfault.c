#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "CStress.h"

int stress_can_userfault(void) {
#if defined(__x86_64__)
  long descriptor = syscall(SYS_userfaultfd, O_CLOEXEC | 1);
  if (descriptor >= 0) close((int)descriptor);
  return descriptor >= 0;
#else
  return 0;
#endif
}
