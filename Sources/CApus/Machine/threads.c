// Threads: their start and end, names, stacks and CPUs.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "CApusMachine.h"

int apus_thread_start(void *(*body)(void *), void *argument, size_t stack_size) {
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, stack_size);
  int r = pthread_create(&thread, &attributes, body, argument);
  pthread_attr_destroy(&attributes);
  return -r;
}

void apus_thread_name(const char *name) { pthread_setname_np(pthread_self(), name); }

int apus_getpid(void) { return getpid(); }
int apus_gettid(void) { return (int)syscall(SYS_gettid); }

int apus_thread_stack(uintptr_t *lo, uintptr_t *hi) {
  pthread_attr_t attributes;
  void *address;
  size_t size;
  int r = pthread_getattr_np(pthread_self(), &attributes);
  if (r != 0) return -r;
  r = pthread_attr_getstack(&attributes, &address, &size);
  pthread_attr_destroy(&attributes);
  *lo = (uintptr_t)address;
  *hi = (uintptr_t)address + size;
  return -r;
}

typedef struct {
  void (*body)(void *);
  void *argument;
} thread_end;

static pthread_key_t end_key;
static pthread_once_t end_key_once = PTHREAD_ONCE_INIT;
static __thread thread_end end_of_this_thread;

static void run_thread_end(void *p) {
  thread_end *end = p;
  end->body(end->argument);
}

static void make_end_key(void) { pthread_key_create(&end_key, run_thread_end); }

void apus_thread_end_arm(void (*body)(void *), void *argument) {
  pthread_once(&end_key_once, make_end_key);
  end_of_this_thread.body = body;
  end_of_this_thread.argument = argument;
  pthread_setspecific(end_key, &end_of_this_thread);
}

void apus_sched_yield(void) { sched_yield(); }

int apus_sched_getaffinity(void *mask, size_t size) {
  // The system call, not libc's wrapper: it returns the number of bytes that the kernel wrote.
  long r = syscall(SYS_sched_getaffinity, 0, size, mask);
  return r < 0 ? -errno : (int)r;
}
