// Signal stacks, the handlers of memory faults, and the guard of a fatal report. What runs in a handler here calls
// nothing but the kernel and leaves errno as it was.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "CApus.h"
#include "CApusUnwind.h"

int apus_signal_stack_install(const apus_m_head *m) {
  stack_t stack = {.ss_sp = (void *)m->signal_stack, .ss_size = m->signal_stack_size};
  return sigaltstack(&stack, NULL) < 0 ? -errno : 0;
}

int apus_signal_stack_remove(void) {
  stack_t stack = {.ss_flags = SS_DISABLE};
  return sigaltstack(&stack, NULL) < 0 ? -errno : 0;
}

// The kernel's mask, 8 bytes: libc's 128 would not fit the words that callers keep, and libc hides its own signals.
static long set_mask(int how, const uint64_t *mask, uint64_t *old) {
  return syscall(SYS_rt_sigprocmask, how, mask, old, sizeof(uint64_t));
}

int apus_signal_mask_save(uint64_t *mask) { return set_mask(SIG_SETMASK, NULL, mask) < 0 ? -errno : 0; }

int apus_signal_mask_set(const uint64_t *mask) { return set_mask(SIG_SETMASK, mask, NULL) < 0 ? -errno : 0; }

static uint64_t bit(int signal) { return (uint64_t)1 << (signal - 1); }

/// Everything but the signals of a fault: the kernel kills a process that faults while those are blocked, and the
/// handler is to see that the report itself has failed.
static uint64_t report_mask(void) {
  return ~(bit(SIGSEGV) | bit(SIGBUS) | bit(SIGILL) | bit(SIGFPE) | bit(SIGTRAP) | bit(SIGABRT));
}

// The thread id of the reporter, 0 before there is one; never reset.
static _Atomic int reporter = 0;

/// Returns to the first thread that calls it; for the others see `apus_report_claim`.
static void claim(void) {
  int self = apus_gettid(), owner = 0;
  if (atomic_compare_exchange_strong(&reporter, &owner, self)) return;
  if (owner == self) apus_exit_now(APUS_FATAL_STATUS);
  uint64_t all = ~(uint64_t)0;
  set_mask(SIG_SETMASK, &all, NULL);
  for (;;) pause();
}

void apus_report_claim(void) {
  // Blocked first: a handler that parked this thread between the claim and the block would leave a process that can
  // report nothing any more.
  uint64_t mask = report_mask();
  set_mask(SIG_SETMASK, &mask, NULL);
  claim();
}

static struct {
  uintptr_t hi;
  void (*report)(const apus_fault *);
  struct sigaction previous[2];  // of SIGSEGV, SIGBUS
} faults;

// Written by the handler after its thread has claimed the report, so once; read by that same thread.
static apus_fault reported;

void apus_fault_main(void) {
  faults.report(&reported);
  apus_exit_now(APUS_FATAL_STATUS);
}

static void read_context(const ucontext_t *context, apus_fault *fault) {
#if defined(__x86_64__)
  fault->pc = (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
  fault->sp = (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
  fault->fp = (uintptr_t)context->uc_mcontext.gregs[REG_RBP];
#elif defined(__aarch64__)
  fault->pc = context->uc_mcontext.pc;
  fault->sp = context->uc_mcontext.sp;
  fault->fp = context->uc_mcontext.regs[29];
#endif
}

/// Makes the thread continue in `apus_fault_entry` on the fatal stack when the handler returns: the report then runs
/// in no handler, on a stack of its own, where it may call whatever the failed code did not leave locked.
static void divert(ucontext_t *context) {
  uintptr_t top = (faults.hi & ~(uintptr_t)15) - sizeof(apus_fault_frame);
  apus_fault_frame *frame = (apus_fault_frame *)top;
#if defined(__x86_64__)
  greg_t *registers = context->uc_mcontext.gregs;
  _Static_assert(REG_R8 == 0 && REG_R15 == 7 && REG_RDI == 8 && REG_RBP == 10 && REG_RSP == 15 && REG_RIP == 16,
                 "fault_x86_64.S repeats these positions");
  memcpy(frame->registers, registers, 17 * sizeof(uint64_t));
  registers[REG_RIP] = (greg_t)(uintptr_t)apus_fault_entry;
  registers[REG_RSP] = (greg_t)top;
  registers[REG_RBP] = 0;
  registers[REG_EFL] &= ~(greg_t)0x400;  // the direction flag: clear at every function's entry
#elif defined(__aarch64__)
  memcpy(frame->registers, context->uc_mcontext.regs, 31 * sizeof(uint64_t));
  frame->registers[31] = context->uc_mcontext.sp;
  frame->registers[32] = context->uc_mcontext.pc;
  context->uc_mcontext.pc = (uintptr_t)apus_fault_entry;
  context->uc_mcontext.sp = top;
  context->uc_mcontext.regs[29] = 0;
  context->uc_mcontext.pstate &= ~(uint64_t)0xc00;  // BTYPE: this is no indirect branch
#endif
  // Eight bytes: libc's type is larger than what the kernel put there, and the signal's information follows.
  uint64_t mask = report_mask();
  memcpy(&context->uc_sigmask, &mask, sizeof mask);
}

/// Hands a fault to the handler that was there before, with the signal mask that the kernel would have set for it.
static void chain(int signal, siginfo_t *info, ucontext_t *context) {
  const struct sigaction *previous = &faults.previous[signal == SIGBUS];
  int sent = info->si_code <= 0;  // by kill, tgkill or sigqueue: returning will not raise it again
  if ((previous->sa_flags & SA_SIGINFO) == 0 && previous->sa_handler == SIG_IGN && sent) return;
  if ((previous->sa_flags & SA_SIGINFO) == 0 && (previous->sa_handler == SIG_DFL || previous->sa_handler == SIG_IGN)) {
    // The instruction faults again and the process dies of it, with the status and core that its parent expects. The
    // kernel treats an ignored fault so, too.
    struct sigaction fallback = {.sa_handler = SIG_DFL};
    sigaction(signal, &fallback, NULL);
    if (sent) syscall(SYS_tgkill, getpid(), apus_gettid(), signal);
    return;
  }
  uint64_t mask, added;
  memcpy(&mask, &context->uc_sigmask, sizeof mask);
  memcpy(&added, &previous->sa_mask, sizeof added);
  mask |= added;
  if ((previous->sa_flags & SA_NODEFER) == 0) mask |= bit(signal);
  set_mask(SIG_SETMASK, &mask, NULL);
  if (previous->sa_flags & SA_SIGINFO)
    previous->sa_sigaction(signal, info, context);
  else
    previous->sa_handler(signal);
}

static void on_fault(int signal, siginfo_t *info, void *data) {
  int saved_errno = errno;
  ucontext_t *context = data;
  // A fault in the report: the headline is out, and more is not to be had.
  if (atomic_load(&reporter) == apus_gettid()) apus_exit_now(APUS_FATAL_STATUS);
  apus_fault fault = {
      .signal = signal, .code = info->si_code, .address = (uintptr_t)info->si_addr, .m = apus_current_m()};
  read_context(context, &fault);
  const apus_g_head *g = fault.m != NULL ? fault.m->current : NULL;
  // The stack pointer counts, too: with it in the guard the stack has overflowed, and a function with a large frame
  // may first touch a word of it that lies beyond.
  if (info->si_code > 0 && g != NULL &&
      ((fault.address >= g->stack_lo - APUS_STACK_GUARD && fault.address < g->stack_lo) ||
       (fault.sp >= g->stack_lo - APUS_STACK_GUARD && fault.sp < g->stack_lo))) {
    claim();
    reported = fault;
    divert(context);
  } else {
    chain(signal, info, context);
  }
  errno = saved_errno;
}

int apus_signal_fault_install(uintptr_t lo, uintptr_t hi, void (*report)(const apus_fault *)) {
  if (hi < lo || hi - lo < sizeof(apus_fault_frame) + 16) return -EINVAL;
  faults.hi = hi;
  faults.report = report;
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigfillset(&action.sa_mask);
  // The previous handler is asked for before ours is in place: a fault in between must find where to go on.
  if (sigaction(SIGSEGV, NULL, &faults.previous[0]) < 0 || sigaction(SIGBUS, NULL, &faults.previous[1]) < 0 ||
      sigaction(SIGSEGV, &action, NULL) < 0 || sigaction(SIGBUS, &action, NULL) < 0)
    return -errno;
  return 0;
}

static volatile int watchdog_status;

static void on_watchdog(int signal) {
  (void)signal;
  apus_exit_now(watchdog_status);
}

// The watchdog's timer, -1 before there is one. Only the reporter's thread touches it.
static int watchdog_timer = -1;

static long arm_watchdog(int seconds) {
  struct itimerspec time = {.it_value = {.tv_sec = seconds}};
  return syscall(SYS_timer_settime, watchdog_timer, 0, &time, NULL);
}

void apus_watchdog(int seconds, int status) {
  watchdog_status = status;
  if (watchdog_timer >= 0 && arm_watchdog(seconds) == 0) return;
  struct sigaction action = {.sa_handler = on_watchdog, .sa_flags = SA_ONSTACK};
  sigfillset(&action.sa_mask);
  sigaction(SIGALRM, &action, NULL);
  // The timer sends its signal to this very thread: another one might wait for SIGALRM and swallow it.
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
  event._sigev_un._tid = apus_gettid();
  // The system calls: libc's timer_create may allocate, and the lock of malloc may be what the failed code holds.
  if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &watchdog_timer) < 0 || arm_watchdog(seconds) < 0)
    alarm((unsigned)seconds);
  uint64_t mask = bit(SIGALRM);
  set_mask(SIG_UNBLOCK, &mask, NULL);
}

void apus_abort_now(void) {
  struct sigaction action = {.sa_handler = SIG_DFL};
  sigaction(SIGABRT, &action, NULL);
  uint64_t mask = bit(SIGABRT);
  set_mask(SIG_UNBLOCK, &mask, NULL);
  syscall(SYS_tgkill, getpid(), apus_gettid(), SIGABRT);
  apus_exit_now(APUS_FATAL_STATUS);
}
