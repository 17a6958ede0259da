// Stopping a thread in the middle of a goroutine, and keeping it from being stopped.
//
// A goroutine of native code cannot be moved from where a signal finds it: it may hold a lock that is bound to its
// thread, or an address in thread-local storage. So the *thread* is stopped, in the handler, with everything it holds;
// its P goes to another M. The policy (whom, when, who is next) is ApusRuntime's, in Monitor/ and Scheduler/.
#ifndef CAPUS_PREEMPT_H
#define CAPUS_PREEMPT_H

#include <stdint.h>

#include "CApusLayout.h"

/// `m`, the calling thread's, enters the runtime: from here on no signal stops it and its P is its own, unless the
/// result, `apus_m_words.claim`, says that it is not. Nests.
///
/// The barrier is the compiler's only. Towards the handler, which runs on the same thread, that is enough. A thread that
/// wants to take the P writes `claim` first, then makes sure that this thread's stores are visible (membarrier(2), or the
/// kernel's own word that it sleeps), and only then reads `locks`: one of the two sees the other (Dekker).
static inline __attribute__((always_inline)) uint32_t apus_m_enter(apus_m *m) {
  m->head.locks += 1;
  __asm__ volatile("" ::: "memory");
  return __atomic_load_n(&m->words.claim, __ATOMIC_RELAXED);
}

/// The opposite. True when a signal came meanwhile: then the caller looks into it (`apus_preempt_pending`).
static inline __attribute__((always_inline)) _Bool apus_m_leave(apus_m *m) {
  __asm__ volatile("" ::: "memory");
  m->head.locks -= 1;
  __asm__ volatile("" ::: "memory");
  return __builtin_expect(m->head.pending != 0, 0);
}

/// After `apus_m_leave` returned true: does what the handler would have done, if `locks` is back at zero.
void apus_preempt_pending(apus_m *m);

/// A point in user code at which the goroutine may be stopped: the same when somebody wants the P. For code that calls it
/// by itself where no signal can come (a callback of the compiler's instrumentation). Switches no stack.
void apus_preempt_point(void);

/// Stops the calling thread, `m`, whose `locks` is above zero, until somebody wakes it with `apus_m_wake`. `stopped` is
/// set meanwhile, and the registers lie on the stack above `stopped_sp`.
void apus_m_wait_for_p(apus_m *m);

/// Where the registers of a thread lie that was stopped with `context` (`apus_m_head.stopped_context`): [*start, *end),
/// aligned words; nothing for NULL.
void apus_context_extent(const void *context, uintptr_t *start, uintptr_t *end);
/// And the general registers among them.
void apus_context_registers(const void *context, uintptr_t *start, uintptr_t *end);
/// Where libc's handlers return to: the word with which a signal's frame on a stack begins (x86-64), or that its handler
/// has in a register or saves below it (aarch64). 0 before the first signal that stops a thread.
uintptr_t apus_signal_return(void);

/// The futex of an M: sleeps until `apus_m_wake`, once a wake-up.
void apus_m_sleep(apus_m *m);
/// The same, for at most `timeout_ns`; false when nobody woke it.
_Bool apus_m_sleep_for(apus_m *m, int64_t timeout_ns);
void apus_m_wake(apus_m *m);
/// The same for a waker that sleeps next: the thread goes on on the waker's CPU, where `places_wakes` is set, the thread is
/// asleep, and nobody has given it an affinity of its own. Three more system calls then, one of them the woken thread's.
void apus_m_wake_here(apus_m *m);
/// Once, before `places_wakes` is set: notes which CPUs the process's threads may use, which are the calling one's. False
/// where the kernel does not let affinities be read and set, or has more than 1024 CPUs.
_Bool apus_placement_prepare(void);

/// Ends a sleep of sysmon. For handlers.
void apus_wake_sysmon(void);

/// The place in `apus_sched_head.spares` that belongs to the calling thread's CPU.
unsigned apus_spare_place(void);

/// Installs the handler of APUS_PREEMPT_SIGNAL.
int apus_preempt_install(void);
#define APUS_PREEMPT_SIGNAL 23  // SIGURG: ignored by default, and nobody's convention, as in Go

/// Has the system call that the signal has interrupted in `ucontext`, if one was, begin again when the handler of the
/// calling thread, `m`, returns: where what is left of its time lies, which `apus_restart_update` is to bring up to date
/// before; NULL for no such time.
void *apus_restart_call(apus_m *m, void *ucontext);
void apus_restart_update(apus_m *m, void *time);
/// Once, before the first signal: asks what the kernel has.
void apus_restart_prepare(void);

/// Sends the signal to one thread of this process.
int apus_preempt_send(int32_t tid);

/// Gives the calling thread, `m`, a timer that sends it the signal after each `interval_ns` of its own CPU time, and takes
/// it away. It never fires while the thread sleeps.
int apus_cpu_timer_start(apus_m *m, int64_t interval_ns);
void apus_cpu_timer_stop(apus_m *m);

/// Barriers on every running thread of the process (membarrier(2)): to be registered once. Negative errno where the
/// kernel has none.
int apus_membarrier_register(void);
int apus_membarrier(void);

/// What another thread sees of `m` without a lock: relaxed loads, old by the time they are known.
static inline int32_t apus_m_peek_locks(const apus_m *m) { return __atomic_load_n(&m->head.locks, __ATOMIC_RELAXED); }
static inline uint32_t apus_m_peek_told(const apus_m *m) { return __atomic_load_n(&m->head.told, __ATOMIC_RELAXED); }
static inline void *apus_m_peek_p(const apus_m *m) { return __atomic_load_n(&m->head.p, __ATOMIC_RELAXED); }

/// The thread's errno, which a wait inside the runtime must not change.
int apus_errno_save(void);
void apus_errno_restore(int value);

/// What a thread does, as the kernel tells.
enum { APUS_THREAD_UNKNOWN = -1, APUS_THREAD_RUNS = 0, APUS_THREAD_SLEEPS = 1 };
/// By /proc/self/task/TID/syscall. When this says that the thread sleeps, then everything it did before it fell asleep is
/// visible to the caller, and everything the caller did before is visible to the thread when it wakes: the kernel looks at
/// it under its run queue's lock. The file is opened each time: a descriptor that is kept for each thread is one that a
/// program finds among its own, counts, and may close.
int apus_thread_state_by_syscall(int32_t tid);
/// By /proc/self/task/TID/stat: without that order.
int apus_thread_state_by_stat(int32_t tid);

/// Makes the calling thread's sleeps end on time rather than together with others (the default is 50 microseconds late).
void apus_timer_slack_minimal(void);
/// Asks the kernel for short slices for the calling thread, so that it runs soon when it wakes (Linux 6.12); nothing
/// happens on older ones.
void apus_request_short_slices(int64_t slice_ns);

#endif
