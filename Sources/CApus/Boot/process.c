// The process: its `main`, its end, and what the kernel has told it.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "CApusMachine.h"

void apus_exit_now(int status) {
  for (;;) syscall(SYS_exit_group, status);
}

void apus_exit(int status) { exit(status); }

// Weak: a dynamic library has no main, and is never started by our entry point.
extern int main(int, char **, char **) __attribute__((weak));

int apus_call_main(int count, char **arguments, char *const *environment) {
  return main(count, arguments, (char **)environment);
}

uint64_t apus_stack_limit(void) {
  struct rlimit limit;
  return getrlimit(RLIMIT_STACK, &limit) == 0 ? limit.rlim_cur : 0;
}

static pthread_mutex_t start_mutex = PTHREAD_MUTEX_INITIALIZER;
void apus_start_lock(void) { pthread_mutex_lock(&start_mutex); }
void apus_start_unlock(void) { pthread_mutex_unlock(&start_mutex); }

void apus_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
  out[0] = out[1] = out[2] = out[3] = 0;
#if defined(__x86_64__)
  __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
#else
  (void)leaf;
  (void)subleaf;
#endif
}

unsigned long apus_getauxval(unsigned long type) { return getauxval(type); }

extern char **environ;
char **apus_environ(void) { return environ; }
