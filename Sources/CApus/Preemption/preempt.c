// The signal that stops a goroutine, by stopping its thread. What runs in the handler calls nothing but the kernel, takes
// no lock, and leaves errno as it was.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "CApus.h"
#include "../Signals/CApusSignals.h"

static apus_sched_head *scheduler(void) { return apus_get_sched(); }

int apus_errno_save(void) { return errno; }

void apus_errno_restore(int value) { errno = value; }

// MARK: stopping

/// Marks the thread, which is about to sleep until it is woken, as stopped: last of what others read of a stopped thread.
static void stop(apus_m *m, uint32_t why, uintptr_t sp, void *context) {
  m->head.stopped_sp = sp;
  m->head.stopped_context = context;
  __atomic_store_n(&m->words.stopped, why, __ATOMIC_RELEASE);
}

/// `m` has lost its P and can be given one from now on.
static void arrive(apus_sched_head *s, apus_m *m) {
  apus_m *head = __atomic_load_n(&s->arrivals, __ATOMIC_RELAXED);
  do {
    m->head.arrival_link = (apus_m_head *)head;
  } while (!__atomic_compare_exchange_n(&s->arrivals, &head, m, 1, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
}

static void wake_sysmon(apus_sched_head *s) {
  if (__atomic_exchange_n(&s->sysmon_wake, 1, __ATOMIC_SEQ_CST) == 0) apus_futex_wake(&s->sysmon_wake, 1);
}

void apus_wake_sysmon(void) { wake_sysmon(scheduler()); }

enum { SPARES = sizeof ((apus_sched_head *)0)->spares / sizeof(apus_m *) };

unsigned apus_spare_place(void) {
  int cpu = sched_getcpu();
  return cpu < 0 ? 0 : (unsigned)cpu % SPARES;
}

static apus_m *take_spare(apus_sched_head *s) {
  unsigned own = apus_spare_place();
  for (unsigned offset = 0; offset < SPARES; offset++) {
    unsigned i = (own + offset) % SPARES;
    if (__atomic_load_n(&s->spares[i], __ATOMIC_RELAXED) == NULL) continue;
    apus_m *spare = __atomic_exchange_n(&s->spares[i], NULL, __ATOMIC_ACQ_REL);
    if (spare == NULL) continue;
    __atomic_fetch_sub(&s->idle_ms, 1, __ATOMIC_RELAXED);
    return spare;
  }
  return NULL;
}

/// Sleeps, stopped, until there is a P for `m`. Mostly the waker has seen to everything. Where the P came directly from
/// another stopped thread, it lies in `next_p`, and the little that C can do of `Processors.give` is done here.
static void sleep_for_p(apus_m *m) {
  apus_m_sleep(m);
  apus_p_head *p = m->head.next_p;
  if (p == NULL) return;
  m->head.next_p = NULL;
  m->head.p = p;
  __atomic_store_n(&p->m, m, __ATOMIC_RELAXED);
  __atomic_store_n(&p->sched_tick, p->sched_tick + 1, __ATOMIC_RELAXED);
  __atomic_store_n(&m->words.preempt, 0, __ATOMIC_RELAXED);
  if (apus_trace_is_on()) apus_trace_given(m, p);
  __atomic_store_n(&m->words.claim, APUS_P_HELD, __ATOMIC_RELEASE);
}

/// Waits on its CPU until `m` is woken, or `stop_spin` is over. For who stands still with its P: they are no more than
/// there are CPUs, where `stop_spin` is set. Of the others there may be a thousand, and each would keep a CPU from the next.
static void spin_for_world(apus_sched_head *s, apus_m *m) {
  int64_t spin = __atomic_load_n(&s->stop_spin, __ATOMIC_RELAXED);
  if (spin == 0) return;
  apus_clock_gettime_fn clock = apus_clock_function();
  int64_t end = apus_nanotime(clock) + spin;
  while (__atomic_load_n(&m->words.wake, __ATOMIC_ACQUIRE) == APUS_AWAKE && apus_nanotime(clock) < end)
    apus_spin_hint();
}

/// Stands still with what it has until the world goes on. Who starts the world takes the mark away before it wakes, so
/// whichever of the two takes it decides whether there will be a wake-up.
static void stop_with_the_world(apus_sched_head *s, apus_m *m, _Bool has_p, uintptr_t sp, void *context) {
  stop(m, APUS_STOPPED_BY_WORLD, sp, context);
  if (__atomic_load_n(&s->stopping, __ATOMIC_SEQ_CST) == 0) {
    // It went on before it could know of this thread.
    uint32_t mark = APUS_STOPPED_BY_WORLD;
    if (__atomic_compare_exchange_n(&m->words.stopped, &mark, APUS_NOT_STOPPED, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
      return;
  } else if (has_p && __atomic_sub_fetch(&s->stop_wait, 1, __ATOMIC_SEQ_CST) == 0) {
    // With the P counted here, the world cannot have started meanwhile.
    __atomic_store_n(&s->stop_wake, 1, __ATOMIC_RELEASE);
    apus_futex_wake(&s->stop_wake, 1);
  }
  // Where its P was taken meanwhile, since there are fewer now, it goes on when it is given another one.
  if (has_p) spin_for_world(s, m);
  sleep_for_p(m);
}

/// Gives the P of `m`, which was asked for it, to a spare thread or to another stopped one, and stops. False when there is
/// neither.
static _Bool stop_for_others(apus_sched_head *s, apus_m *m, uintptr_t sp, void *context) {
  apus_m *next = take_spare(s);
  if (next == NULL) next = __atomic_exchange_n(&s->successor, NULL, __ATOMIC_ACQ_REL);
  if (next == NULL) return 0;
  __atomic_store_n(&m->words.preempt, 0, __ATOMIC_RELAXED);
  __atomic_fetch_add(&s->preemptions, 1, __ATOMIC_RELAXED);
  if (apus_trace_is_on()) apus_trace_preempted(m, sp, context);
  next->head.next_p = m->head.p;
  m->head.p = NULL;
  __atomic_store_n(&m->words.claim, APUS_P_LOST, __ATOMIC_RELEASE);
  stop(m, APUS_STOPPED_FOR_P, sp, context);
  arrive(s, m);
  // The P goes after the goroutine: whoever has it finds that it waits.
  apus_m_wake_here(next);
  sleep_for_p(m);
  return 1;
}

/// What `consider` does once, with `locks` at one.
static void consider_once(apus_sched_head *s, apus_m *m, uintptr_t sp, void *context) {
  uint32_t claim = __atomic_load_n(&m->words.claim, __ATOMIC_ACQUIRE);
  // A claim of another thread that was not carried through is taken back.
  while (claim != APUS_P_HELD && claim != APUS_P_LOST)
    if (__atomic_compare_exchange_n(&m->words.claim, &claim, APUS_P_HELD, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
      claim = APUS_P_HELD;
  uint32_t stopping = __atomic_load_n(&s->stopping, __ATOMIC_SEQ_CST);
  // A fatal report is being written, and may need what this goroutine holds.
  if (stopping == 3) return;
  if (claim == APUS_P_LOST) {
    if (stopping == 2) {
      stop_with_the_world(s, m, 0, sp, context);
    } else if (m->head.told == 0) {
      // It slept in the kernel, its P went to somebody else, and now it computes: it has to wait for its turn. Inside a
      // region that was said to block it may go on without.
      stop(m, APUS_STOPPED_FOR_P, sp, context);
      arrive(s, m);
      wake_sysmon(s);
      sleep_for_p(m);
    }
  } else if (m->head.p != NULL) {
    if (stopping != 0) {
      stop_with_the_world(s, m, 1, sp, context);
    } else if (__atomic_load_n(&m->words.preempt, __ATOMIC_RELAXED) != 0 && m->head.told == 0) {
      // Where nobody can take over, it will be asked again; sysmon sees to it that there is somebody by then.
      if (!stop_for_others(s, m, sp, context)) wake_sysmon(s);
    }
  }
  __atomic_store_n(&m->words.stopped, APUS_NOT_STOPPED, __ATOMIC_RELAXED);
  m->head.stopped_context = NULL;
}

/// The thread of `m`, in user code, was asked to stop: what is to be done is decided here, and done.
static void consider(apus_m *m, uintptr_t sp, void *context) {
  apus_sched_head *s = scheduler();
  do {
    // From here on nobody takes the P: who tries sees `locks`.
    m->head.locks = 1;
    m->head.pending = 0;
    __asm__ volatile("" ::: "memory");
    consider_once(s, m, sp, context);
    __asm__ volatile("" ::: "memory");
    m->head.locks = 0;
    __asm__ volatile("" ::: "memory");
    // Outside a handler another signal may have come meanwhile.
  } while (m->head.pending != 0);
}

static uintptr_t stack_pointer(const ucontext_t *context) {
#if defined(__x86_64__)
  return (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
  return context->uc_mcontext.sp;
#endif
}

void apus_context_extent(const void *data, uintptr_t *start, uintptr_t *end) {
  const ucontext_t *context = data;
  *start = *end = 0;
  if (context == NULL) return;
  // The kernel has written the context, the information and the vector registers to one stack, in this order.
  *start = (uintptr_t)context;
#if defined(__x86_64__)
  *end = *start + offsetof(ucontext_t, uc_sigmask);
  const struct _libc_fpstate *vectors = context->uc_mcontext.fpregs;
  if (vectors != NULL) {
    // Behind the 512 bytes of fxsave: how much xsave has written, if that is what wrote it.
    const uint32_t *software = (const uint32_t *)((const char *)vectors + 464);
    uintptr_t size = software[0] == 0x46505853 ? software[1] : 512;
    *end = ((uintptr_t)vectors + size) & ~(uintptr_t)7;
  }
#elif defined(__aarch64__)
  *end = (uintptr_t)&context->uc_mcontext + sizeof context->uc_mcontext;
#endif
}

void apus_context_registers(const void *data, uintptr_t *start, uintptr_t *end) {
  const ucontext_t *context = data;
  *start = *end = 0;
  if (context == NULL) return;
#if defined(__x86_64__)
  *start = (uintptr_t)context->uc_mcontext.gregs;
  *end = *start + sizeof context->uc_mcontext.gregs;
#elif defined(__aarch64__)
  *start = (uintptr_t)context->uc_mcontext.regs;
  *end = *start + sizeof context->uc_mcontext.regs;
#endif
}

/// With asyncpreemptoff=1 the signal stops nobody, but for a thread without a P while the world stands: who reads the
/// memory of goroutines has to know its registers.
static _Bool may_stop(apus_sched_head *s, apus_m *m) {
  return !s->async_preempt_off || (__atomic_load_n(&m->words.claim, __ATOMIC_RELAXED) == APUS_P_LOST &&
                                   __atomic_load_n(&s->stopping, __ATOMIC_RELAXED) == 2);
}

static uintptr_t signal_return;

uintptr_t apus_signal_return(void) { return __atomic_load_n(&signal_return, __ATOMIC_RELAXED); }

static void on_preempt(int signal, siginfo_t *info, void *data) {
  (void)signal;
  int saved_errno = errno;
  // The same each time: not a line of the cache that all threads write.
  uintptr_t returns_to = (uintptr_t)__builtin_return_address(0);
  if (apus_signal_return() != returns_to) __atomic_store_n(&signal_return, returns_to, __ATOMIC_RELAXED);
  apus_attach_note(info);
  ucontext_t *context = data;
  apus_m *m = (apus_m *)apus_current_m();
  // Threads that the runtime does not know, and those that have ended in its eyes.
  if (m != NULL) {
    void *rest = apus_restart_call(m, context);
    apus_answer(m, context);
    if (m->head.locks != 0) {
      m->head.pending = 1;
    } else if (may_stop(scheduler(), m)) {
      consider(m, stack_pointer(context), context);
    }
    apus_restart_update(m, rest);
  }
  errno = saved_errno;
}

/// Spills the callee-saved registers, so that they lie above the stack pointer that is noted.
__attribute__((noinline)) static void consider_here(apus_m *m) {
  __builtin_unwind_init();
  consider(m, (uintptr_t)__builtin_frame_address(0), NULL);
}

void apus_preempt_pending(apus_m *m) {
  if (m->head.locks != 0) return;
  int saved_errno = errno;
  consider_here(m);
  errno = saved_errno;
}

void apus_preempt_point(void) {
  apus_m *m = (apus_m *)apus_current_m();
  if (m == NULL || m->head.locks != 0) return;
  if (__atomic_load_n(&m->words.preempt, __ATOMIC_RELAXED) != 0 ||
      __atomic_load_n(&scheduler()->stopping, __ATOMIC_RELAXED) != 0)
    apus_preempt_pending(m);
}

__attribute__((noinline)) void apus_m_wait_for_p(apus_m *m) {
  __builtin_unwind_init();
  stop(m, APUS_STOPPED_FOR_P, (uintptr_t)__builtin_frame_address(0), NULL);
  sleep_for_p(m);
  __atomic_store_n(&m->words.stopped, APUS_NOT_STOPPED, __ATOMIC_RELAXED);
}

// MARK: the signal

int apus_preempt_install(void) {
  apus_restart_prepare();
  struct sigaction action = {.sa_sigaction = on_preempt, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
  // A stopped thread takes no signal: its handler would run on a goroutine that nobody has scheduled. The process's
  // signals go to its other threads.
  sigfillset(&action.sa_mask);
  // But for those that are ignored by default: the kernel drops an ignored signal only where it is not blocked. Else it
  // goes to another thread, to be dropped there, and a call that sleeps there may return EINTR for it (epoll_wait, recv
  // with a timeout). A handler that a program has for one of them runs here, too.
  sigdelset(&action.sa_mask, SIGCHLD);
  sigdelset(&action.sa_mask, SIGCONT);
  sigdelset(&action.sa_mask, SIGWINCH);
  return sigaction(APUS_PREEMPT_SIGNAL, &action, NULL) < 0 ? -errno : 0;
}

int apus_preempt_send(int32_t tid) {
  return syscall(SYS_tgkill, getpid(), tid, APUS_PREEMPT_SIGNAL) < 0 ? -errno : 0;
}

int apus_cpu_timer_start(apus_m *m, int64_t interval_ns) {
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = APUS_PREEMPT_SIGNAL};
  event._sigev_un._tid = m->head.tid;
  struct timespec interval = {.tv_sec = interval_ns / 1000000000, .tv_nsec = interval_ns % 1000000000};
  struct itimerspec time = {.it_interval = interval, .it_value = interval};
  int timer = -1;
  // The system calls: libc's timer_create allocates.
  if (syscall(SYS_timer_create, CLOCK_THREAD_CPUTIME_ID, &event, &timer) < 0) return -errno;
  m->head.cpu_timer = timer;
  return syscall(SYS_timer_settime, timer, 0, &time, NULL) < 0 ? -errno : 0;
}

void apus_cpu_timer_stop(apus_m *m) {
  if (m->head.cpu_timer < 0) return;
  syscall(SYS_timer_delete, m->head.cpu_timer);
  m->head.cpu_timer = -1;
}
