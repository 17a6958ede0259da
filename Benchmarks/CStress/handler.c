// A handler that takes a register from what it interrupts, and stays.
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "CStress.h"

static int has_begun, goes_on;

static void stay(int signal) {
  (void)signal;
  __atomic_store_n(&has_begun, 1, __ATOMIC_RELEASE);
#if defined(__x86_64__)
  __asm__ volatile("xorl %%r12d, %%r12d\n1: pause\ncmpl $0, %0\nje 1b" : : "m"(goes_on) : "r12", "cc", "memory");
#else
  while (__atomic_load_n(&goes_on, __ATOMIC_ACQUIRE) == 0) {}
#endif
}

void stress_interrupt(int thread, int stack) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = stay;
  action.sa_flags = SA_RESTART | (stack == STRESS_ON_THE_SIGNAL_STACK ? SA_ONSTACK : 0);
  sigaction(SIGRTMIN + 9, &action, NULL);
  has_begun = goes_on = 0;
  syscall(SYS_tgkill, getpid(), thread, SIGRTMIN + 9);
}

int stress_is_interrupted(void) { return __atomic_load_n(&has_begun, __ATOMIC_ACQUIRE); }

void stress_resume(void) { __atomic_store_n(&goes_on, 1, __ATOMIC_RELEASE); }
