// The parts of G, M, P and the scheduler that assembly, the signal handler and Swift share. Swift embeds each as the first
// field of its own struct (ApusRuntime/Scheduler/G.swift, M.swift); Boot/LayoutCheck.swift asserts that both halves agree.
#ifndef CAPUS_LAYOUT_H
#define CAPUS_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Both halves of the runtime carry this number; `moduledataverify` refuses to start when they differ.
#define APUS_RUNTIME_VERSION 3

/// The guard below a goroutine's stack. Functions with large frames have no stack probes, so it is wider than most
/// frames.
#define APUS_STACK_GUARD ((uintptr_t)65536)

/// The topmost bytes of a goroutine's stack belong to the runtime (CApusIsolate.h); its first frame lies below them.
#define APUS_STACK_HEADER ((uintptr_t)16)

/// The head of a goroutine. Written by the M that runs the goroutine, or by whoever holds it off the run queues.
typedef struct apus_g_head {
  /// The saved stack pointer; valid only while the goroutine is not running.
  uintptr_t sp;
  /// The usable stack is [stack_lo, stack_hi); below it are APUS_STACK_GUARD bytes that fault. Zero while no stack is
  /// bound. A scheduler's goroutine has its thread's own stack, without our guard.
  uintptr_t stack_lo;
  uintptr_t stack_hi;
  /// The goroutine's number; main is 1, system goroutines have one too, g0 has 0.
  uint64_t id;
} apus_g_head;

/// Whether `sp` lies on the stack of `g`, which may be NULL or have none.
static inline bool apus_is_on_stack(const apus_g_head *g, uintptr_t sp) {
  return g != NULL && g->stack_hi != 0 && sp >= g->stack_lo && sp < g->stack_hi;
}

/// Whether an M has the P that its record names; `apus_m_words.claim`. How it changes is argued in
/// ApusRuntime/Monitor/Claim.swift.
enum {
  /// It has. So has an M without a P: nothing was taken from it.
  APUS_P_HELD = 0,
  /// sysmon tries to take it.
  APUS_P_CLAIMED_BY_SYSMON = 1,
  /// Whoever stops the world does.
  APUS_P_CLAIMED_BY_STOPPER = 2,
  /// It was taken away, or given away by the signal handler: the M needs one before it may use the runtime.
  APUS_P_LOST = 3,
};

/// Why an M that is stopped outside the scheduler waits; `apus_m_words.stopped`.
enum {
  APUS_NOT_STOPPED = 0,
  /// It has no P, and goes on when somebody gives it one.
  APUS_STOPPED_FOR_P = 1,
  /// It keeps what it has, and goes on when the world does.
  APUS_STOPPED_BY_WORLD = 2,
};

/// Whether an M's thread sleeps; `apus_m_words.wake`. How it changes is argued in wake.c.
enum {
  APUS_AWAKE = 0,
  /// It waits on the futex.
  APUS_ASLEEP = 1,
  /// It was woken, before it slept perhaps, and has not taken the wake-up yet.
  APUS_WOKEN = 2,
  /// The same, and its affinity was narrowed to the waker's CPU: it is to widen it.
  APUS_WOKEN_HERE = 3,
};

struct apus_m;
struct apus_trace_stream;

/// The head of a P: what the signal handler writes when it hands the P to another stopped thread.
typedef struct apus_p_head {
  /// The M that holds it.
  struct apus_m *m;
  /// Counts slices (`P.schedTick`).
  uint32_t sched_tick;
  int32_t id;
  /// The generation of the trace in which the P was mentioned last, and the number of its last event there. Written by
  /// whoever has the P in hand, while a trace is on.
  uint64_t trace;
} apus_p_head;

/// The head of an M. Written by its own thread only, except where a field says otherwise.
typedef struct apus_m_head {
  /// The goroutine whose stack this thread is on; g0 while it schedules.
  apus_g_head *current;
  /// The scheduler's own goroutine of this M: the thread's own stack.
  apus_g_head *g0;
  /// Above zero: the thread is in the runtime, and its P is its own until the count is back at zero
  /// (`apus_m_enter`). On g0 it is never zero.
  int32_t locks;
  /// A signal came while `locks` was above zero: it is looked into when the count is back at zero.
  uint32_t pending;
  /// The P it holds. Where another thread took the P, that thread clears it; who gives an M a P writes it before the
  /// wake-up.
  void *p;
  /// Inside a region that was said to block (`Syscall.enter`): how often nested.
  uint32_t told;
  /// The kernel's thread id.
  int32_t tid;
  /// The signal stack, [signal_stack, signal_stack + signal_stack_size).
  uintptr_t signal_stack;
  uintptr_t signal_stack_size;
  /// While the thread is stopped (`apus_m_words.stopped`): its stack pointer where it was stopped, and the ucontext with
  /// its registers where that was in a signal handler, else NULL and the registers lie above that stack pointer.
  uintptr_t stopped_sp;
  void *stopped_context;
  /// The next in `apus_sched_head.arrivals`.
  struct apus_m_head *arrival_link;
  /// Handed over with a wake-up: the P that an idle M is to take, or a stopped one that is the successor of another. The
  /// waker's until the wake-up.
  void *next_p;
  /// The thread's CPU timer, -1 for none.
  int32_t cpu_timer;
  /// The CPU on which it fell asleep last.
  int32_t slept_on;
  /// Its affinity was narrowed by who woke it, and is not widened yet.
  uint32_t is_narrow;
  uint32_t unused;
  /// Of a call with a relative time that the signal has interrupted: when it is to end, on the monotonic clock, and what
  /// is left until then, the call's argument when it begins again (restart.c).
  int64_t restart_end;
  int64_t restart_time[2];  // a timespec
  /// The same of a call that has its time in memory of its own: where, and what was left there. NULL for none.
  void *restart_place;
  int64_t restart_left[2];  // a timespec
  /// What the thread writes of itself while a trace is on (CApusTrace.h); NULL before it has.
  struct apus_trace_stream *trace;
} apus_m_head;

/// What other threads write, too: atomics. Directly behind the head; in Swift the fields of `MWords`.
typedef struct apus_m_words {
  uint32_t claim;
  /// Somebody wants the P: the goroutine is to be stopped. Set by sysmon, cleared by the M.
  uint32_t preempt;
  /// The futex on which the thread sleeps while it is idle or stopped.
  uint32_t wake;
  /// Written by the thread before it sleeps, cleared by it after it was woken.
  uint32_t stopped;
} apus_m_words;

typedef struct apus_m {
  apus_m_head head;
  apus_m_words words;
} apus_m;
_Static_assert(offsetof(apus_m, words) == sizeof(apus_m_head), "Swift knows of no gap");

/// The head of the scheduler's state, for the signal handler: atomics. In Swift the fields of `SchedHead`.
typedef struct apus_sched_head {
  /// Idle Ms that a handler may take, each once.
  apus_m *spares[4];
  /// A stopped M that takes over the P of the next goroutine that is stopped, where there is no spare: two change places.
  apus_m *successor;
  /// Ms that have lost their P and wait for one, newest first (`apus_m_head.arrival_link`): a stack to which threads push
  /// and from which one takes all.
  apus_m *arrivals;
  /// How many Ms are idle, the spares among them.
  int32_t idle_ms;
  /// 0, or what is being stopped: 1 the Ps, 2 also threads that run goroutines without one; 3: only what comes to the
  /// scheduler by itself, for a fatal report.
  uint32_t stopping;
  /// Ps that do not stand still yet; the futex on which the one who stops the world sleeps.
  int32_t stop_wait;
  uint32_t stop_wake;
  /// The futex of sysmon's sleep: 1 wakes it.
  uint32_t sysmon_wake;
  /// Signals stop nobody (GODEBUG=asyncpreemptoff=1).
  uint32_t async_preempt_off;
  /// Goroutines stopped by a signal, ever.
  uint64_t preemptions;
  /// For how many nanoseconds a thread that stands still with its P waits on its CPU, before it sleeps.
  int64_t stop_spin;
  /// Whether there is a CPU for each P, and more than one P: then who hands over its P and sleeps wakes the other thread on
  /// its own CPU.
  uint32_t places_wakes;
  /// How often that was done.
  uint32_t placed_wakes;
} apus_sched_head;

#endif
