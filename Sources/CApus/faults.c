// The handlers of memory faults. What runs in a handler here calls nothing but the kernel and leaves errno as it was.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "CApus.h"
#include "CApusSignals.h"

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
  uint64_t mask = apus_report_mask();
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
  if ((previous->sa_flags & SA_NODEFER) == 0) mask |= apus_signal_bit(signal);
  apus_signal_mask_change(SIG_SETMASK, &mask, NULL);
  if (previous->sa_flags & SA_SIGINFO)
    previous->sa_sigaction(signal, info, context);
  else
    previous->sa_handler(signal);
}

static void on_fault(int signal, siginfo_t *info, void *data) {
  int saved_errno = errno;
  ucontext_t *context = data;
  // A fault in the report: the headline is out, and more is not to be had.
  if (apus_is_reporter()) apus_report_failed();
  apus_fault fault = {
      .signal = signal, .code = info->si_code, .address = (uintptr_t)info->si_addr, .m = apus_current_m()};
  read_context(context, &fault);
  const apus_g_head *g = fault.m != NULL ? fault.m->current : NULL;
  // The stack pointer counts, too: with it in the guard the stack has overflowed, and a function with a large frame
  // may first touch a word of it that lies beyond.
  if (info->si_code > 0 && g != NULL &&
      ((fault.address >= g->stack_lo - APUS_STACK_GUARD && fault.address < g->stack_lo) ||
       (fault.sp >= g->stack_lo - APUS_STACK_GUARD && fault.sp < g->stack_lo))) {
    apus_report_claim_blocked();
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
