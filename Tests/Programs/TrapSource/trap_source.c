#define _GNU_SOURCE
#include "TrapSource.h"

#include <link.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int trap_divide(int a, int b) {
  volatile int divisor = b;
  return a / divisor;
}

void trap_bus(void) {
  char name[] = "/tmp/trap-source-XXXXXX";
  int file = mkstemp(name);
  unlink(name);
  volatile char *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
  (void)*page;
}

void trap_abort(void) { abort(); }

void trap_wild(void) {
  volatile int *address = (volatile int *)0xdead000000000000;
  (void)*address;
}

void trap_call_null(void) {
  void (*volatile function)(void) = NULL;
  function();
  // So that the call is no jump.
  __asm__ volatile("");
}

static volatile int malloc_is_blocked = 0;
static volatile pid_t malloc_breaker = 0;

void trap_block_malloc(void) { malloc_is_blocked = 1; }
void trap_break_malloc(void) { malloc_breaker = gettid(); }

static volatile pid_t malloc_holder = 0;
static volatile int malloc_was_held = 0;

void trap_hold_malloc(void) {
  malloc_holder = gettid();
  malloc_was_held = 1;
}
void trap_release_malloc(void) { malloc_holder = 0; }
int trap_malloc_was_held(void) { return malloc_was_held; }

static sem_t loader_is_held;

static int keep_loader(struct dl_phdr_info *info, size_t size, void *data) {
  (void)info, (void)size, (void)data;
  sem_post(&loader_is_held);
  for (;;) pause();
}

static void *hold_loader(void *argument) {
  dl_iterate_phdr(keep_loader, argument);
  return NULL;
}

void trap_hold_loader(void) {
  pthread_t thread;
  sem_init(&loader_is_held, 0, 0);
  if (pthread_create(&thread, NULL, hold_loader, NULL) != 0) abort();
  sem_wait(&loader_is_held);
}

void trap_compute(int milliseconds) {
  struct timespec now, start;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
  do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < milliseconds);
}

__attribute__((noinline)) void trap_mislead(void) {
#if defined(__x86_64__)
  __asm__ volatile(
      ".cfi_remember_state\n.cfi_def_cfa %rbp, 16\n"
      "push %rbp\nmov $0x10000000, %rbp\n1: pause\njmp 1b\n"
      ".cfi_restore_state");
#elif defined(__aarch64__)
  __asm__ volatile(
      ".cfi_remember_state\n.cfi_def_cfa x29, 16\n.cfi_offset x30, -8\n"
      "mov x29, #0x10000000\n1: yield\nb 1b\n"
      ".cfi_restore_state");
#endif
}

#if defined(__x86_64__)
__asm__(".text\n.globl trap_without_tables\n.type trap_without_tables, @function\n"
        "trap_without_tables: push %rbp\nmov %rsp, %rbp\n1: pause\njmp 1b\n"
        ".size trap_without_tables, . - trap_without_tables\n");
#elif defined(__aarch64__)
__asm__(".text\n.globl trap_without_tables\n.type trap_without_tables, %function\n"
        "trap_without_tables: stp x29, x30, [sp, #-16]!\nmov x29, sp\n1: yield\nb 1b\n"
        ".size trap_without_tables, . - trap_without_tables\n");
#endif

static void fault(int signal) {
  (void)signal;
  *(volatile int *)8 = 1;
}

void trap_in_handler(int signal) {
  struct sigaction action = {.sa_handler = fault, .sa_flags = SA_ONSTACK};
  sigaction(signal, &action, NULL);
  raise(signal);
}

extern void *__libc_malloc(size_t);

void *malloc(size_t size) {
  while (malloc_is_blocked) pause();
  while (malloc_holder != 0 && malloc_holder != gettid()) usleep(100);
  if (malloc_breaker == gettid()) raise(SIGSEGV);
  return __libc_malloc(size);
}

int trap_fork(void) {
  int child = fork();
  while (child == 0) pause();
  return child;
}

static int report_end, old_error;

void trap_pipe_report(void) {
  int ends[2];
  if (pipe(ends) != 0) abort();
  old_error = dup(2);
  dup2(ends[1], 2);
  report_end = ends[0];
}

void trap_await_report(void) {
  char text[4096];
  size_t have = 0;
  for (;;) {
    ssize_t count = read(report_end, text + have, sizeof text - 1 - have);
    if (count <= 0) abort();
    if (write(old_error, text + have, (size_t)count) < 0) abort();
    have += (size_t)count;
    text[have] = 0;
    if (strstr(text, "panic: ") != NULL) return;
  }
}
