// The guards of a fatal report: that there is one, that it ends, and that it goes on where what it calls does not.
#define _GNU_SOURCE
#include <errno.h>
#include <link.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "CApus.h"
#include "../Signals/CApusSignals.h"

/// Everything but the signals of a fault: the kernel kills a process that faults while those are blocked, and the
/// handler is to see that the report itself has failed.
uint64_t apus_report_mask(void) {
  return ~(apus_signal_bit(SIGSEGV) | apus_signal_bit(SIGBUS) | apus_signal_bit(SIGILL) | apus_signal_bit(SIGFPE) |
           apus_signal_bit(SIGTRAP) | apus_signal_bit(SIGABRT));
}

// Who ends the process: the thread id of the reporter, or the negative one of a thread inside exit(). 0 before there is
// either; never reset, but an exiting thread may become the reporter.
static _Atomic int owner = 0;

bool apus_is_reporter(void) { return atomic_load(&owner) == apus_gettid(); }

void apus_report_wait_for_the_end(void) {
  uint64_t all = ~(uint64_t)0;
  apus_signal_mask_change(SIG_SETMASK, &all, NULL);
  for (;;) pause();
}

void apus_report_claim_blocked(void) {
  int self = apus_gettid(), before = 0;
  if (atomic_compare_exchange_strong(&owner, &before, self)) return;
  if (before == self) apus_exit_now(APUS_FATAL_STATUS);
  if (before == -self && atomic_compare_exchange_strong(&owner, &before, self)) return;
  if (before < 0) {
    // The process ends on another thread, which has but to flush its streams. One of those may be what this thread had
    // locked when it failed.
    apus_sleep_ns(1000000000);
    apus_exit_now(APUS_FATAL_STATUS);
  }
  apus_report_wait_for_the_end();
}

/// The last of the functions that exit() calls: from here on the process ends with the status given there, unless a
/// report has begun. Then that ends it.
static void claim_exit(void) {
  int self = apus_gettid(), before = 0;
  if (!atomic_compare_exchange_strong(&owner, &before, -self) && before > 0 && before != self) apus_report_wait_for_the_end();
}

int apus_report_guard_exit(void) { return atexit(claim_exit); }

void apus_report_claim(void) {
  // Blocked first: a handler that parked this thread between the claim and the block would leave a process that can
  // report nothing any more.
  uint64_t mask = apus_report_mask();
  apus_signal_mask_change(SIG_SETMASK, &mask, NULL);
  apus_report_claim_blocked();
}

// Where the reporter goes on when the call that it makes hangs or faults. Only its thread touches these.
static sigjmp_buf guarded_return;
static volatile sig_atomic_t is_guarded = 0;

void apus_report_failed(void) {
  if (!is_guarded) apus_exit_now(APUS_FATAL_STATUS);
  is_guarded = 0;
  uint64_t mask = apus_report_mask() & ~apus_signal_bit(SIGALRM);
  apus_signal_mask_change(SIG_SETMASK, &mask, NULL);
  siglongjmp(guarded_return, 1);
}

static volatile int watchdog_status;
// The watchdog's timer, -1 before there is one. Only the reporter's thread touches it.
static int watchdog_timer = -1;

// What the timer was set to, and the thread's CPU time then.
static int armed_seconds;
static int64_t armed_at;

static int64_t cpu_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/// Whether the signal has interrupted a system call: a thread that waits, for a lock perhaps that is never given back.
static bool is_waiting(const ucontext_t *context) {
#if defined(__x86_64__)
  const uint8_t *pc = (const uint8_t *)context->uc_mcontext.gregs[REG_RIP];
  // syscall
  return context->uc_mcontext.gregs[REG_RAX] == -EINTR || (pc[0] == 0x0f && pc[1] == 0x05);
#elif defined(__aarch64__)
  return (int64_t)context->uc_mcontext.regs[0] == -EINTR || *(const uint32_t *)context->uc_mcontext.pc == 0xd4000001;
#endif
}

static long set_watchdog(void) {
  struct itimerspec time = {.it_value = {.tv_sec = armed_seconds}};
  return syscall(SYS_timer_settime, watchdog_timer, 0, &time, NULL);
}

static void on_watchdog(int signal, siginfo_t *info, void *context) {
  (void)signal;
  (void)info;
  // On a machine with too much to do the time may have passed without a CPU for this thread.
  if (watchdog_timer >= 0 && !is_waiting(context) && cpu_time() - armed_at < armed_seconds * 1000000000LL) {
    set_watchdog();
    return;
  }
  if (is_guarded) apus_report_failed();
  apus_exit_now(watchdog_status);
}

static long arm_watchdog(int seconds) {
  armed_seconds = seconds;
  armed_at = cpu_time();
  return set_watchdog();
}

void apus_watchdog(int seconds, int status) {
  watchdog_status = status;
  if (watchdog_timer >= 0 && arm_watchdog(seconds) == 0) return;
  struct sigaction action = {.sa_sigaction = on_watchdog, .sa_flags = SA_ONSTACK | SA_SIGINFO};
  sigfillset(&action.sa_mask);
  sigaction(SIGALRM, &action, NULL);
  // The timer sends its signal to this very thread: another one might wait for SIGALRM and swallow it.
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
  event._sigev_un._tid = apus_gettid();
  // The system calls: libc's timer_create may allocate, and the lock of malloc may be what the failed code holds.
  if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &watchdog_timer) < 0 || arm_watchdog(seconds) < 0)
    alarm((unsigned)seconds);
  uint64_t mask = apus_signal_bit(SIGALRM);
  apus_signal_mask_change(SIG_UNBLOCK, &mask, NULL);
}

void apus_abort_now(void) {
  struct sigaction action = {.sa_handler = SIG_DFL};
  sigaction(SIGABRT, &action, NULL);
  uint64_t mask = apus_signal_bit(SIGABRT);
  apus_signal_mask_change(SIG_UNBLOCK, &mask, NULL);
  syscall(SYS_tgkill, getpid(), apus_gettid(), SIGABRT);
  apus_exit_now(APUS_FATAL_STATUS);
}

// libswiftCore's own, for its backtraces: names without types and modules. Like swift_demangle it allocates.
extern char *_swift_backtrace_demangle(const char *name, size_t length, char *output, size_t *output_length)
    __attribute__((weak));
extern char *swift_demangle(const char *name, size_t length, char *output, size_t *output_length, uint32_t flags);

ptrdiff_t apus_demangle(const char *name, size_t length, char *buffer, size_t size) {
  size_t used = size;
  char *result = _swift_backtrace_demangle != NULL ? _swift_backtrace_demangle(name, length, buffer, &used)
                                                   : swift_demangle(name, length, buffer, &used, 0);
  return result == buffer ? (ptrdiff_t)strnlen(buffer, size) : -1;
}

bool apus_report_try(void (*body)(void *), void *argument) {
  if (!apus_is_reporter()) {
    body(argument);
    return true;
  }
  // One second for what takes milliseconds at the worst, within the time that the report has.
  if (watchdog_timer >= 0) arm_watchdog(1);
  bool is_done = false;
  if (sigsetjmp(guarded_return, 0) == 0) {
    is_guarded = 1;
    body(argument);
    is_guarded = 0;
    is_done = true;
  }
  if (watchdog_timer >= 0) apus_watchdog(APUS_WATCHDOG_SECONDS, watchdog_status);
  return is_done;
}

// libswiftCore keeps what it has last written of a fatal error here. Weak: an older one has no such function.
extern char *_Atomic *swift_getFatalErrorMessageBuffer(void) __attribute__((weak));

char *apus_take_fatal_message(void) {
  return swift_getFatalErrorMessageBuffer != NULL ? atomic_exchange(swift_getFatalErrorMessageBuffer(), NULL) : NULL;
}

// The image that libswiftCore is in: its code and what lies between. Set before there are handlers; empty without it.
static uintptr_t core_start, core_end;

void apus_find_fatal_messages(void) {
  apus_image image;
  if (swift_getFatalErrorMessageBuffer == NULL || !apus_find_image((uintptr_t)swift_getFatalErrorMessageBuffer, &image))
    return;
  const ElfW(Phdr) *headers = image.headers;
  uintptr_t start = UINTPTR_MAX, end = 0;
  for (int i = 0; i < image.header_count; i++) {
    if (headers[i].p_type != PT_LOAD) continue;
    uintptr_t segment = image.base + headers[i].p_vaddr;
    if (segment < start) start = segment;
    if (segment + headers[i].p_memsz > end) end = segment + headers[i].p_memsz;
  }
  core_start = start;
  core_end = end;
}

char *apus_take_fatal_message_of(int signal, uintptr_t pc) {
  // abort() is libc's, whoever calls it.
  bool may_have_one =
      signal == SIGABRT || ((signal == SIGILL || signal == SIGTRAP) && pc >= core_start && pc < core_end);
  return may_have_one ? apus_take_fatal_message() : NULL;
}

void apus_free(void *memory) { free(memory); }
