// The process's address space.
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "CApusMachine.h"

void *apus_mmap_reserve(size_t size) {
  void *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

void *apus_mmap(size_t size) {
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

int apus_mprotect_rw(void *address, size_t size) {
  return mprotect(address, size, PROT_READ | PROT_WRITE) < 0 ? -errno : 0;
}

int apus_mprotect_none(void *address, size_t size) { return mprotect(address, size, PROT_NONE) < 0 ? -errno : 0; }

int apus_munmap(void *address, size_t size) { return munmap(address, size) < 0 ? -errno : 0; }

int apus_madvise(void *address, size_t size, int advice) { return madvise(address, size, advice) < 0 ? -errno : 0; }

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
// Since Linux 6.13 process_madvise on oneself takes every advice and this constant in place of a descriptor (6.15).
#define PIDFD_SELF_THREAD_GROUP_VALUE (-10001)

int64_t apus_process_madvise(const uintptr_t *ranges, size_t count, int advice) {
  long r = syscall(SYS_process_madvise, PIDFD_SELF_THREAD_GROUP_VALUE, (const struct iovec *)ranges, count, advice, 0);
  return r < 0 ? -errno : r;
}
