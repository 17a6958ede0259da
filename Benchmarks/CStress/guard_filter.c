// Has the kernel fail while it installs a guard, halfway: a filter hands each such call to a thread that drops the page, and
// answers for the kernel.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "CStress.h"

#define GUARD_INSTALL 102
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

static int listener = -1;
static _Atomic uint64_t broken;

uint64_t stress_broken_guards(void) { return atomic_load(&broken); }

static void *answer_calls(void *unused) {
  (void)unused;
  for (unsigned calls = 0;; calls++) {
    struct seccomp_notif call;
    memset(&call, 0, sizeof call);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) continue;
    struct seccomp_notif_resp answer = {.id = call.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    if (calls % 2 == 0) {
      madvise((void *)(uintptr_t)call.data.args[0], call.data.args[1], MADV_DONTNEED);
      atomic_fetch_add(&broken, 1);
      answer.flags = 0;
      answer.error = -ENOMEM;
    }
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }
  return NULL;
}

int stress_break_guards(void) {
  struct sock_filter instructions[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, GUARD_INSTALL, 0, 5),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      // The call for many pages at once is not there: one by one.
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_madvise, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, GUARD_INSTALL, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog filter = {.len = sizeof instructions / sizeof *instructions, .filter = instructions};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -errno;
  unsigned flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH | SECCOMP_FILTER_FLAG_NEW_LISTENER;
  long descriptor = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
  if (descriptor < 0) return -errno;
  listener = (int)descriptor;
  pthread_t thread;
  return -pthread_create(&thread, NULL, answer_calls, NULL);
}
