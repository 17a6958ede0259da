// Signal stacks and masks.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "CApus.h"
#include "CApusSignals.h"

int apus_signal_stack_install(const apus_m_head *m) {
  stack_t stack = {.ss_sp = (void *)m->signal_stack, .ss_size = m->signal_stack_size};
  return sigaltstack(&stack, NULL) < 0 ? -errno : 0;
}

int apus_signal_stack_remove(void) {
  stack_t stack = {.ss_flags = SS_DISABLE};
  return sigaltstack(&stack, NULL) < 0 ? -errno : 0;
}

long apus_signal_mask_change(int how, const uint64_t *mask, uint64_t *old) {
  return syscall(SYS_rt_sigprocmask, how, mask, old, sizeof(uint64_t));
}

int apus_signal_mask_save(uint64_t *mask) {
  return apus_signal_mask_change(SIG_SETMASK, NULL, mask) < 0 ? -errno : 0;
}

int apus_signal_mask_set(const uint64_t *mask) {
  return apus_signal_mask_change(SIG_SETMASK, mask, NULL) < 0 ? -errno : 0;
}
