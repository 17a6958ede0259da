// The handler of signals that a program wants to be told of (Go's sigsend). It does what a handler may: atomic
// operations and a write.
//
// A thread may have been given a signal for the handler, and not have come to its first instruction, when the program
// stops to be told of that signal. Who stops gives the signal back what it did before, clears its bit in `installed`, and
// waits until no handler runs that `delivering` counts. A handler that counts itself later than that finds the bit
// clear, and sends the signal again, to whatever it does now. So each is either told or does what it did before.
//
// It sends it to its own thread, which the kernel had chosen: there it comes as soon as the handler returns, whatever the
// other threads do, and is not one with another of its kind that waits for some thread of the process. And a SIGPIPE
// stays with the write that has caused it, whose mark (`apus_write_guarded`) is the thread's.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "CApus.h"

// Bit n - 1: signal n has come and nobody has taken it.
static _Atomic uint64_t pending;
// Handlers that run.
static _Atomic int delivering;
// Written before the first handler is installed, and never changed.
static int event_descriptor = -1;
// Signals that are told of. Written under the caller's lock.
static _Atomic uint64_t installed;
// What they did before. The caller's lock protects it.
static struct sigaction previous[65];

// SIGPIPE is also the business of writes to pipes.
static int set_action(int signal, const struct sigaction *action, struct sigaction *old) {
  return signal == SIGPIPE ? apus_pipe_set_action(action, old) : sigaction(signal, action, old);
}

static uint64_t bit(int signal) { return (uint64_t)1 << (signal - 1); }

static void on_notified(int signal) {
  int saved_errno = errno;
  atomic_fetch_add(&delivering, 1);
  if ((atomic_load(&installed) & bit(signal)) == 0) {
    // Blocked until this handler returns.
    syscall(SYS_tgkill, getpid(), apus_gettid(), signal);
    atomic_fetch_sub(&delivering, 1);
    errno = saved_errno;
    return;
  }
  // When the bit was set already, whoever set it has woken the reader or is about to.
  if ((atomic_fetch_or(&pending, bit(signal)) & bit(signal)) == 0) {
    uint64_t one = 1;
    ssize_t written = write(event_descriptor, &one, sizeof one);
    (void)written;
  }
  atomic_fetch_sub(&delivering, 1);
  errno = saved_errno;
}

int apus_signal_notify(int signal, int fd) {
  event_descriptor = fd;
  if (atomic_load(&installed) & bit(signal)) return 0;
  struct sigaction action = {.sa_handler = on_notified, .sa_flags = SA_RESTART | SA_ONSTACK};
  sigfillset(&action.sa_mask);
  atomic_fetch_or(&installed, bit(signal));
  if (set_action(signal, &action, &previous[signal]) == 0) return 0;
  atomic_fetch_and(&installed, ~bit(signal));
  return -errno;
}

void apus_signal_restore(int signal) {
  if ((atomic_load(&installed) & bit(signal)) == 0) return;
  set_action(signal, &previous[signal], NULL);
  atomic_fetch_and(&installed, ~bit(signal));
  while (atomic_load(&delivering) != 0) sched_yield();
}

uint64_t apus_signal_take(void) { return atomic_exchange(&pending, 0); }
