// What sysmon asks the kernel about other threads, and what it asks for its own.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "CApus.h"

#define MEMBARRIER_PRIVATE_EXPEDITED (1 << 3)
#define MEMBARRIER_REGISTER_PRIVATE_EXPEDITED (1 << 4)

int apus_membarrier_register(void) {
  return syscall(SYS_membarrier, MEMBARRIER_REGISTER_PRIVATE_EXPEDITED, 0, 0) < 0 ? -errno : 0;
}

int apus_membarrier(void) { return syscall(SYS_membarrier, MEMBARRIER_PRIVATE_EXPEDITED, 0, 0) < 0 ? -errno : 0; }

/// "/proc/self/task/TID/NAME", without stdio.
static void task_path(char *path, int32_t tid, const char *name) {
  char digits[12];
  int count = 0;
  do {
    digits[count++] = (char)('0' + tid % 10);
    tid /= 10;
  } while (tid > 0);
  path = stpcpy(path, "/proc/self/task/");
  while (count > 0) *path++ = digits[--count];
  *path++ = '/';
  strcpy(path, name);
}

/// Reads the beginning of that file; how many bytes, 0 or less where there are none to be had.
static ssize_t read_task_file(int32_t tid, const char *name, char *text, size_t size) {
  char path[64];
  task_path(path, tid, name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t got = read(fd, text, size);
  close(fd);
  return got;
}

int apus_thread_state_by_syscall(int32_t tid) {
  char text[64];
  ssize_t got = read_task_file(tid, "syscall", text, sizeof text - 1);
  if (got <= 0) return APUS_THREAD_UNKNOWN;
  // "running" for a thread that has a CPU or waits for one; else the number of the call that it sleeps in and its
  // arguments, or -1 and two addresses for a sleep outside a call.
  if (got >= 7 && memcmp(text, "running", 7) == 0) return APUS_THREAD_RUNS;
  return (text[0] >= '0' && text[0] <= '9') || text[0] == '-' ? APUS_THREAD_SLEEPS : APUS_THREAD_UNKNOWN;
}

int apus_thread_state_by_stat(int32_t tid) {
  char text[512];
  ssize_t got = read_task_file(tid, "stat", text, sizeof text - 1);
  if (got <= 0) return APUS_THREAD_UNKNOWN;
  text[got] = 0;
  // The command's name stands in parentheses and may hold anything; the state follows its last one.
  const char *end = strrchr(text, ')');
  if (end == NULL || end + 2 >= text + got) return APUS_THREAD_UNKNOWN;
  switch (end[2]) {
    case 'R': return APUS_THREAD_RUNS;
    case 'S':
    case 'D': return APUS_THREAD_SLEEPS;
    default: return APUS_THREAD_UNKNOWN;
  }
}

void apus_timer_slack_minimal(void) { prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); }

void apus_request_short_slices(int64_t slice_ns) {
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } attributes = {.size = sizeof attributes, .runtime = (uint64_t)slice_ns};
  // The nice value is part of it: kept.
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) < 0 || attributes.policy != 0) return;
  attributes.size = sizeof attributes;
  attributes.runtime = (uint64_t)slice_ns;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}
