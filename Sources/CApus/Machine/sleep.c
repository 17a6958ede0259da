// How a thread sleeps: on a futex, or for a time.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "CApusMachine.h"

static struct timespec to_timespec(int64_t ns) {
  struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
  return t;
}

int apus_futex_wait(uint32_t *word, uint32_t expected, int64_t timeout_ns) {
  struct timespec t = to_timespec(timeout_ns < 0 ? 0 : timeout_ns);
  long r = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout_ns < 0 ? NULL : &t, NULL, 0);
  return r < 0 ? -errno : 0;
}

int apus_futex_wake(uint32_t *word, uint32_t count) {
  long r = syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
  return r < 0 ? -errno : (int)r;
}

void apus_sleep_ns(int64_t ns) {
  struct timespec t = to_timespec(ns);
  nanosleep(&t, NULL);
}
