// The samples of a CPU profile. A timer of each thread's CPU time sends it SIGPROF; the handler walks the stack that it has
// interrupted, and counts how often each is met.
//
// It walks by frame pointers, within the bounds of the stack: the tables' reader takes a lock of the loader, which what was
// interrupted may hold. So who is met in a function that keeps none, as libc's do, may lack a caller.
//
// Handlers run on many threads at once; the table (samples.c) can bear that. It is given back when no handler runs any more:
// `end` clears `is_on` and then waits for `sampling`, a handler raises `sampling` and then reads `is_on`, so one sees the
// other.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "CApus.h"
#include "../Signals/CApusSignals.h"

// Of each stack the periods are counted for which a thread was there.
static apus_samples *samples;
static _Atomic bool is_on;
static _Atomic int sampling;
// What SIGPROF did before. Written before the handler is there, and never again.
static struct sigaction previous;
static bool is_installed;
// What comes with the signal of a timer of ours.
static const char mark;

static void sample(const void *ucontext, uint64_t periods) {
  uintptr_t pc, fp, sp;
  apus_interrupted_frame(ucontext, &pc, &fp, &sp);
  // In the middle of a switch the current goroutine is one already and the stack still another's. Of a thread that is not
  // the runtime's the stack is not known.
  const apus_m_head *m = apus_current_m();
  const apus_g_head *g = m == NULL                          ? NULL
                         : apus_is_on_stack(m->current, sp) ? m->current
                         : apus_is_on_stack(m->g0, sp)      ? m->g0
                                                            : NULL;
  apus_frames frames;
  if (g != NULL && fp >= sp && fp < g->stack_hi)
    apus_unwind_frames(pc, fp, sp, g->stack_hi, &frames);
  else
    apus_unwind_frames(pc, 0, 0, 0, &frames);
  apus_samples_add(samples, &frames, periods, 0);
}

static void on_sample(int signal, siginfo_t *info, void *data) {
  int saved_errno = errno;
  if (info->si_code != SI_TIMER || info->si_value.sival_ptr != &mark) {
    // Somebody else's.
    if (previous.sa_flags & SA_SIGINFO)
      previous.sa_sigaction(signal, info, data);
    else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
      previous.sa_handler(signal);
    errno = saved_errno;
    return;
  }
  // In the handler of the preemption signal a thread waits without a time, so the one that is kept there stays.
  apus_m *m = (apus_m *)apus_current_m();
  if (m != NULL) apus_restart_update(m, apus_restart_call(m, data));
  atomic_fetch_add(&sampling, 1);
  if (atomic_load(&is_on)) sample(data, 1 + (uint64_t)(info->si_overrun > 0 ? info->si_overrun : 0));
  atomic_fetch_sub(&sampling, 1);
  errno = saved_errno;
}

int apus_profile_begin(void) {
  if (!is_installed) {
    struct sigaction action = {.sa_sigaction = on_sample, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    sigfillset(&action.sa_mask);
    // Known before the handler is in place, which may be called at once.
    if (sigaction(SIGPROF, NULL, &previous) < 0 || sigaction(SIGPROF, &action, NULL) < 0) return -errno;
    is_installed = true;
  }
  samples = apus_samples_new();
  if (samples == NULL) return -ENOMEM;
  atomic_store(&is_on, true);
  return 0;
}

int apus_profile_timer_start(int32_t tid, int64_t period_ns) {
  // The clock of a thread's CPU time, as the kernel makes it of its number.
  clockid_t clock = (clockid_t)(~(uint32_t)tid << 3 | 6);
  struct sigevent event = {
      .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF, .sigev_value.sival_ptr = (void *)&mark};
  event._sigev_un._tid = tid;
  struct timespec period = {.tv_sec = period_ns / 1000000000, .tv_nsec = period_ns % 1000000000};
  struct itimerspec time = {.it_interval = period, .it_value = period};
  int timer = -1;
  // The system calls: libc's timer_create allocates.
  if (syscall(SYS_timer_create, clock, &event, &timer) < 0) return -errno;
  syscall(SYS_timer_settime, timer, 0, &time, NULL);
  return timer;
}

void apus_profile_timer_stop(int timer) { syscall(SYS_timer_delete, timer); }

void apus_profile_end(void) {
  atomic_store(&is_on, false);
  while (atomic_load(&sampling) != 0) sched_yield();
}

const apus_samples *apus_profile_samples(void) { return samples; }

void apus_profile_release(void) {
  apus_samples_free(samples);
  samples = NULL;
}
