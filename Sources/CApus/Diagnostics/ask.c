// The frames of a goroutine that runs on another thread, for a fatal report. The thread is sent the preemption signal and
// notes them in the handler, on its own stack, by its own tables. It is not stopped: it might hold malloc's lock, which
// the report wants. So the frames are those of a moment.
//
// One thread is asked at a time. `asked` is taken by compare-exchange, by the thread that answers or by the reporter, who
// has waited for long enough: so either there will be an answer, or nobody writes any more.
#define _GNU_SOURCE
#include <signal.h>
#include <stdatomic.h>
#include <ucontext.h>
#include <unistd.h>

#include "CApus.h"
#include "../Signals/CApusSignals.h"

static apus_m *_Atomic asked = NULL;
// The thread that answers: its handler writes it.
static _Atomic int answering = 0;
// What it has found; its own until it says so.
static const apus_g_head *answer_of;
static apus_frames answer;

// The futex on which the reporter sleeps meanwhile.
static uint32_t outcome;
enum { NO_ANSWER = 0, ANSWERED = 1, FAILED = 2 };

static void end_with(uint32_t value) {
  __atomic_store_n(&outcome, value, __ATOMIC_RELEASE);
  apus_futex_wake(&outcome, 1);
}

bool apus_is_answering(void) { return atomic_load_explicit(&answering, memory_order_relaxed) == apus_gettid(); }

void apus_answer_failed(void) {
  end_with(FAILED);
  apus_report_wait_for_the_end();
}

void apus_answer(apus_m *m, const void *ucontext) {
  if (atomic_load_explicit(&asked, memory_order_relaxed) != m) return;
  apus_m *expected = m;
  if (!atomic_compare_exchange_strong(&asked, &expected, NULL)) return;
  uintptr_t pc, fp, sp;
  apus_interrupted_frame(ucontext, &pc, &fp, &sp);
  // A stack that leads the unwinder astray is to cost its own frames, not the report: the kernel kills a process that
  // faults while that is blocked.
  uint64_t faults = apus_signal_bit(SIGSEGV) | apus_signal_bit(SIGBUS), mask;
  atomic_store(&answering, apus_gettid());
  apus_signal_mask_change(SIG_UNBLOCK, &faults, &mask);
  answer_of = m->head.current;
  apus_unwind(pc - 1, &answer);
  // Code without tables is where the unwinder comes to its end.
  if (answer.count <= 1) apus_unwind_frames(pc, fp, sp, answer_of->stack_hi, &answer);
  apus_signal_mask_change(SIG_SETMASK, &mask, NULL);
  atomic_store(&answering, 0);
  end_with(ANSWERED);
}

static uint32_t await(int64_t timeout_ns) {
  int64_t end = apus_nanotime(apus_clock_function()) + timeout_ns;
  for (;;) {
    uint32_t value = __atomic_load_n(&outcome, __ATOMIC_ACQUIRE);
    int64_t left = end - apus_nanotime(apus_clock_function());
    if (value != NO_ANSWER || left <= 0) return value;
    apus_futex_wait(&outcome, NO_ANSWER, left);
  }
}

bool apus_ask_for_frames(apus_m *m, const apus_g_head *g, int64_t timeout_ns, apus_frames *frames) {
  // A thread that has begun to answer and does not end: what it writes can be used for nobody else.
  static bool is_stuck = false;
  if (is_stuck) return false;
  __atomic_store_n(&outcome, NO_ANSWER, __ATOMIC_RELAXED);
  atomic_store(&asked, m);
  uint32_t value = apus_preempt_send(m->head.tid) == 0 ? await(timeout_ns) : NO_ANSWER;
  if (value == NO_ANSWER) {
    apus_m *expected = m;
    if (atomic_compare_exchange_strong(&asked, &expected, NULL)) return false;
    value = await(1000000000);
    is_stuck = value == NO_ANSWER;
  }
  // It may have gone on to another goroutine since it was looked for.
  if (value != ANSWERED || answer_of != g) return false;
  *frames = answer;
  return true;
}
