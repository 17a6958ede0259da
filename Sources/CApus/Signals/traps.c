// The handlers of traps, and of signals that ask for a report. What runs in a handler here calls nothing but the kernel
// and leaves errno as it was.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "CApus.h"
#include "CApusSignals.h"

// What a thread raises by what it does. SIGABRT is among them for the sake of abort(), which Swift's runtime calls.
static const int trapped[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGABRT};
#define TRAPPED (sizeof trapped / sizeof trapped[0])

static struct {
  uintptr_t hi;
  void (*report)(const apus_fault *);
  bool is_guest;
  // The process that the handlers were installed in: a child that it forks has but one thread.
  pid_t process;
  struct sigaction previous[TRAPPED];
} traps;

// Written by the handler after its thread has claimed the report, so once; read by that same thread.
static apus_fault reported;

void apus_fault_main(void) {
  traps.report(&reported);
  apus_exit_now(APUS_FATAL_STATUS);
}

static void on_trap(int signal, siginfo_t *info, void *data);

static uintptr_t pc_of(const ucontext_t *context) {
#if defined(__x86_64__)
  return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
  return context->uc_mcontext.pc;
#endif
}

static void read_context(const ucontext_t *context, apus_fault *fault) {
  fault->pc = pc_of(context);
#if defined(__x86_64__)
  fault->sp = (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
  fault->fp = (uintptr_t)context->uc_mcontext.gregs[REG_RBP];
#elif defined(__aarch64__)
  fault->sp = context->uc_mcontext.sp;
  fault->fp = context->uc_mcontext.regs[29];
#endif
  fault->frame_pc = fault->pc;
}

/// A call through a bad pointer faults at its target, where no function is: the fault is the caller's then, in the call.
static void leave_bad_call(ucontext_t *context, apus_fault *fault) {
  if ((fault->signal != SIGSEGV && fault->signal != SIGBUS) || fault->pc != fault->address) return;
#if defined(__x86_64__)
  const apus_g_head *g = fault->m != NULL ? fault->m->current : NULL;
  // Only where the stack pointer surely points to a stack: it may be what is bad.
  if (g == NULL || g->stack_hi == 0 || fault->sp < g->stack_lo || fault->sp > g->stack_hi - sizeof(uintptr_t)) return;
  fault->frame_pc = *(const uintptr_t *)fault->sp - 1;
  context->uc_mcontext.gregs[REG_RIP] = (greg_t)fault->frame_pc;
  context->uc_mcontext.gregs[REG_RSP] += (greg_t)sizeof(uintptr_t);
#elif defined(__aarch64__)
  fault->frame_pc = context->uc_mcontext.regs[30] - 1;
  context->uc_mcontext.pc = fault->frame_pc;
#endif
}

/// Makes the thread continue in `apus_fault_entry` on the fatal stack when the handler returns: the report then runs
/// in no handler, on a stack of its own, where it may call whatever the failed code did not leave locked.
static void divert(ucontext_t *context, apus_fault *fault) {
  leave_bad_call(context, fault);
  uintptr_t top = (traps.hi & ~(uintptr_t)15) - sizeof(apus_fault_frame);
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

static const struct sigaction *previous_of(int signal) {
  for (size_t i = 0; i < TRAPPED; i++)
    if (trapped[i] == signal) return &traps.previous[i];
  return NULL;
}

static bool is_default(const struct sigaction *action) {
  return action == NULL ||
         ((action->sa_flags & SA_SIGINFO) == 0 && (action->sa_handler == SIG_DFL || action->sa_handler == SIG_IGN));
}

/// Has the process die of the signal, with the status and core that its parent expects: the instruction faults again, or
/// the signal is sent again. The kernel treats an ignored fault so, too.
static void take_default(int signal, bool was_sent) {
  struct sigaction fallback = {.sa_handler = SIG_DFL};
  sigaction(signal, &fallback, NULL);
  if (was_sent) syscall(SYS_tgkill, getpid(), apus_gettid(), signal);
}

/// Hands a signal to the handler that was there before, with the signal mask that the kernel would have set for it.
static void chain(int signal, siginfo_t *info, ucontext_t *context) {
  const struct sigaction *previous = previous_of(signal);
  if (is_default(previous)) {
    take_default(signal, info->si_code <= 0);
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

// The signal that is to be reported. The first handler that takes `is_asked` writes `asked`, once, and then `is_ready`.
static _Atomic bool is_served = false;
static _Atomic bool is_asked = false;
static _Atomic bool is_ready = false;
static apus_fault asked;

void apus_requests_are_served(void) { atomic_store(&is_served, true); }

const apus_fault *apus_request(void) { return atomic_load(&is_ready) ? &asked : NULL; }

/// Somebody has sent a signal that ends in a report: asks sysmon for it, and goes on.
static void ask(const apus_fault *fault) {
  if (!is_served || getpid() != traps.process) {
    take_default(fault->signal, true);
    return;
  }
  if (atomic_exchange(&is_asked, true)) return;
  asked = *fault;
  atomic_store(&is_ready, true);
  apus_wake_sysmon();
}

bool apus_is_null_pointer(const apus_fault *fault) {
  // SEGV_MAPERR and SEGV_ACCERR, BUS_ADRERR. An address that the processor does not have comes with another code and as 0.
  return (fault->signal == SIGSEGV || fault->signal == SIGBUS) && fault->address < 4096 &&
         (fault->code == 1 || fault->code == 2);
}

/// Whether the fault is an overflow of the current goroutine's stack. The stack pointer counts, too: with it below the stack
/// that has overflowed, though a function with a large frame may first touch a word of it that lies beyond the guard. How far
/// below is bounded by the largest stack that there is, and the thread's own stacks may lie there, too.
static bool is_overflow(const apus_fault *fault) {
  const apus_m_head *m = fault->m;
  const apus_g_head *g = m != NULL ? m->current : NULL;
  if (g == NULL || (fault->signal != SIGSEGV && fault->signal != SIGBUS)) return false;
  uintptr_t guard = g->stack_lo - APUS_STACK_GUARD, sp = fault->sp;
  if (fault->address >= guard && fault->address < g->stack_lo) return true;
  return sp < g->stack_lo && g->stack_lo - sp <= (uintptr_t)1 << 30 && !apus_is_on_stack(m->g0, sp) &&
         sp - m->signal_stack >= m->signal_stack_size;
}

/// Whether the program may go on after this trap: a check of its own has failed, or it has used a null pointer. After an
/// access to a bad address nothing is known of the memory any more. abort() without a word of Swift's is libc's or somebody
/// else's, and an overflow is as often as not noticed in the middle of malloc: who may hold what is never given back.
static bool is_survivable(const apus_fault *fault) {
  switch (fault->signal) {
  case SIGILL:
  case SIGTRAP:
  case SIGFPE:
    return true;
  case SIGABRT:
    return fault->message != NULL;
  default:
    return !fault->is_overflow && apus_is_null_pointer(fault);
  }
}

/// When the goroutine is inside an isolated call, makes it return from that. The runtime's own sections and stacks are no
/// goroutine's to leave.
static bool leave_isolated(ucontext_t *context, apus_fault *fault) {
  apus_m_head *m = fault->m;
  if (m == NULL || m->current == m->g0 || m->locks != 0) return false;
  const apus_g_head *g = m->current;
  if (fault->sp < g->stack_lo || fault->sp >= g->stack_hi) return false;
  apus_isolation *isolation = apus_isolation_get(g->stack_hi);
  if (isolation == NULL || !is_survivable(fault)) return false;
  leave_bad_call(context, fault);
  isolation->fault = *fault;
  // libc keeps no frame pointers. In abort(), which Swift's runtime has called, no lock of the loader's is held that the
  // tables would ask for.
  if (fault->signal == SIGABRT)
    apus_unwind(fault->frame_pc, &isolation->frames);
  else
    apus_unwind_frames(fault->frame_pc + 1, fault->fp, fault->sp, g->stack_hi, &isolation->frames);
  apus_isolation_set(g->stack_hi, isolation->outer);
#if defined(__x86_64__)
  greg_t *registers = context->uc_mcontext.gregs;
  registers[REG_RIP] = (greg_t)(uintptr_t)apus_isolation_landing;
  registers[REG_RSP] = (greg_t)isolation->sp;
  registers[REG_EFL] &= ~(greg_t)0x400;
#elif defined(__aarch64__)
  context->uc_mcontext.pc = (uintptr_t)apus_isolation_landing;
  context->uc_mcontext.sp = isolation->sp;
  context->uc_mcontext.pstate &= ~(uint64_t)0xc00;
#endif
  return true;
}

bool apus_shelf_is_guarded(void) {
  struct sigaction now;
  return sigaction(SIGSEGV, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_trap;
}

static void on_trap(int signal, siginfo_t *info, void *data) {
  int saved_errno = errno;
  ucontext_t *context = data;
  // SEGV_MAPERR and SEGV_ACCERR. Before all else: a report, too, may look at a stack that is away.
  if (signal == SIGSEGV && (info->si_code == 1 || info->si_code == 2) &&
      apus_shelf_handle_fault((uintptr_t)info->si_addr, pc_of(context))) {
    errno = saved_errno;
    return;
  }
  // A fault in the report: the headline is out, and more is perhaps not to be had.
  if (apus_is_reporter()) apus_report_failed();
  if (apus_is_answering()) apus_answer_failed();
  // What abort() and raise() send comes from the very thread.
  bool is_own = info->si_code > 0 || (info->si_code == SI_TKILL && info->si_pid == getpid());
  apus_fault fault = {.signal = signal, .code = info->si_code, .m = apus_current_m()};
  if (info->si_code > 0) fault.address = (uintptr_t)info->si_addr;
  read_context(context, &fault);
  fault.is_overflow = info->si_code > 0 && is_overflow(&fault);
  // A thread of somebody else has no stack that is known.
  bool is_ours = fault.m != NULL && fault.m->current->stack_hi != 0;
  if (traps.is_guest && (!is_ours || !is_own)) {
    chain(signal, info, context);
  } else if (!is_own) {
    ask(&fault);
  } else {
    // At once: as long as it is there, another thread that traps finds it before its own.
    fault.message = apus_take_fatal_message_of(signal, fault.pc);
    if (!leave_isolated(context, &fault)) {
      apus_report_claim_blocked();
      divert(context, &fault);
      reported = fault;
    }
  }
  errno = saved_errno;
}

static void on_request(int signal, siginfo_t *info, void *data) {
  int saved_errno = errno;
  apus_fault fault = {.signal = signal, .code = info->si_code, .m = apus_current_m()};
  read_context(data, &fault);
  ask(&fault);
  errno = saved_errno;
}

static struct sigaction action_of(void (*handler)(int, siginfo_t *, void *)) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigfillset(&action.sa_mask);
  return action;
}

int apus_signal_traps_install(uintptr_t lo, uintptr_t hi, void (*report)(const apus_fault *), bool is_guest) {
  if (hi < lo || hi - lo < sizeof(apus_fault_frame) + 16) return -EINVAL;
  traps.hi = hi;
  traps.report = report;
  traps.is_guest = is_guest;
  traps.process = getpid();
  apus_find_fatal_messages();
  struct sigaction action = action_of(on_trap);
  for (size_t i = 0; i < TRAPPED; i++) {
    // The previous handler is asked for before ours is in place: a fault in between must find where to go on.
    if (sigaction(trapped[i], NULL, &traps.previous[i]) < 0 || sigaction(trapped[i], &action, NULL) < 0) return -errno;
  }
  return 0;
}

int apus_signal_request_install(int signal) {
  struct sigaction action = action_of(on_request);
  // Calls that the signal interrupts go on: the process may have a second to live.
  action.sa_flags |= SA_RESTART;
  return sigaction(signal, &action, NULL) < 0 ? -errno : 0;
}
