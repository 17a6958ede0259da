// System calls that the signal has interrupted and that the kernel does not begin again by itself: sleeps, polls and waits
// with a timeout, whatever SA_RESTART says. They are begun again here, so that user code sees no EINTR which the runtime
// is to blame for.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "CApus.h"

#if defined(__x86_64__)

/// Whether a signal is on its way for which the call has to return: one with a handler of the program's. Those that the
/// process ignores are pending, too, when they came while their thread had them blocked.
static _Bool awaits_signal(const ucontext_t *context) {
  uint64_t pending = 0, mask = 0;
  memcpy(&mask, &context->uc_sigmask, sizeof mask);
  if (syscall(SYS_rt_sigpending, &pending, sizeof pending) != 0) return 0;
  pending &= ~mask & ~((uint64_t)1 << (APUS_PREEMPT_SIGNAL - 1));
  for (int signal = 1; pending != 0; signal++, pending >>= 1) {
    if ((pending & 1) == 0) continue;
    // As the kernel has it: libc's sigaction takes locks that are not for a handler.
    struct {
      uintptr_t handler, flags, restorer;
      uint64_t mask;
    } action = {0};
    if (syscall(SYS_rt_sigaction, signal, NULL, &action, sizeof action.mask) == 0 && action.handler > (uintptr_t)SIG_IGN)
      return 1;
  }
  return 0;
}

/// The registers by their numbers in the machine code.
static const uint8_t places[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                   REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

/// An instruction: its length, 0 for one that is not known here, and the register that it writes, -1 for memory.
typedef struct instruction {
  int length;
  int written;
  /// It makes rax this number, or what this register holds; -1 for neither.
  int64_t number;
  int source;
} instruction;

/// How long the operand in memory or a register at `p` is, the byte ModRM first.
static int operand_length(const uint8_t *p) {
  int mode = p[0] >> 6, rm = p[0] & 7;
  if (mode == 3) return 1;
  int length = 1;
  if (rm == 4) {
    if (mode == 0 && (p[1] & 7) == 5) length += 4;
    length += 1;
  } else if (mode == 0 && rm == 5) {
    length += 4;
  }
  return length + (mode == 1 ? 1 : mode == 2 ? 4 : 0);
}

/// The instruction at `p`, if it is one of those by which compilers bring arguments to their registers. 16 bytes can be
/// read there.
static instruction decode(const uint8_t *p) {
  instruction result = {.length = 0, .written = -1, .number = -1, .source = -1};
  const uint8_t *start = p;
  uint8_t rex = (*p & 0xf0) == 0x40 ? *p++ : 0;
  uint8_t opcode = *p++;
  int reg = (*p >> 3 & 7) | (rex & 4) << 1, rm = (*p & 7) | (rex & 1) << 3;
  _Bool in_register = *p >> 6 == 3;
  if (opcode >= 0xb8 && opcode <= 0xbf && (rex & 8) == 0) {
    // mov $number, %register
    uint32_t number;
    memcpy(&number, p, sizeof number);
    result.written = (opcode & 7) | (rex & 1) << 3;
    result.number = number;
    result.length = (int)(p - start) + 4;
    return result;
  }
  int immediate = 0;
  switch (opcode) {
    case 0x8b:  // mov, lea and xor, to a register
    case 0x8d:
    case 0x33:
      result.written = reg;
      break;
    case 0x89:  // mov and xor from a register
    case 0x31:
      result.written = in_register ? rm : -1;
      if (opcode == 0x89 && in_register) result.source = reg;
      break;
    case 0xc7:  // mov $number
      immediate = 4;
      result.written = in_register ? rm : -1;
      break;
    case 0x80:  // arithmetic with a small number
    case 0x83:
      immediate = 1;
      result.written = in_register ? rm : -1;
      break;
    default: return result;
  }
  if ((opcode == 0x31 || opcode == 0x33) && in_register && reg == rm) result.number = 0;
  int operand = operand_length(p);
  if (opcode == 0xc7 && in_register) {
    int32_t number;
    memcpy(&number, p + operand, sizeof number);
    result.number = number;
  }
  result.length = (int)(p - start) + operand + immediate;
  return result;
}

enum { WINDOW = 40, PADDING = 16 };

/// The number of the system call whose instruction begins at `end`, -1 if it cannot be told. The kernel has put the result
/// into rax, where it was; but the instruction that put it there is one of the last before.
///
/// `code` is a copy of `count` bytes up to there, and some more.
///
/// `source`: the register that it came from, by its number in the machine code; -1 when it stood in the instruction.
static int64_t call_number(const uint8_t *code, int count, const greg_t *registers, int *source) {
  int64_t found = -1;
  // Each place from which instructions lead to the end, of which the first and no other sets rax.
  for (int start = 0; start < count; start++) {
    instruction setter = decode(code + start);
    if (setter.length == 0 || setter.written != 0 || (setter.number < 0 && setter.source < 0)) continue;
    int place = start + setter.length;
    while (place < count) {
      instruction next = decode(code + place);
      if (next.length == 0 || next.written == 0 || (setter.number < 0 && next.written == setter.source)) break;
      place += next.length;
    }
    if (place != count) continue;
    // What a call leaves of rcx and r11 is not what was there before.
    if (setter.number < 0 && (setter.source == 0 || setter.source == 1 || setter.source == 11)) return -1;
    int64_t number = setter.number >= 0 ? setter.number : (int64_t)(uint32_t)registers[places[setter.source]];
    if (number >= 1024 || (found >= 0 && found != number)) return -1;
    found = number;
    *source = setter.number >= 0 ? -1 : setter.source;
    // Not from within the same instruction, behind its prefix.
    start += setter.length - 1;
  }
  return found;
}

/// Copies the `count` bytes before `end`, as many of them as are there; how many.
static int copy_code(uint8_t *code, uintptr_t end, int count) {
  int same_page = (int)(end & 4095);
  if (same_page < count) {
    // The page before need not be mapped.
    struct iovec here = {.iov_base = code, .iov_len = (size_t)count};
    struct iovec there = {.iov_base = (void *)(end - (uintptr_t)count), .iov_len = (size_t)count};
    if (syscall(SYS_process_vm_readv, getpid(), &here, 1, &there, 1, 0) == count) return count;
    count = same_page;
  }
  memcpy(code, (const void *)(end - (uintptr_t)count), (size_t)count);
  return count;
}

// MARK: what is left of a time

/// The kernel has epoll_pwait2 (Linux 5.11).
static _Bool has_epoll_pwait2;

void apus_restart_prepare(void) {
  int saved_errno = errno;
  has_epoll_pwait2 = syscall(SYS_epoll_pwait2, -1, NULL, 0, NULL, NULL, 0) < 0 && (errno == EBADF || errno == EINVAL);
  errno = saved_errno;
}

static int64_t now(void) { return apus_nanotime(apus_clock_function()); }

static struct timespec in_ns(int64_t ns) {
  return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

/// The nanoseconds of `time`, -1 for more than can be counted and for none.
static int64_t nanoseconds(const struct timespec *time) {
  if (time == NULL || time->tv_sec < 0 || time->tv_sec > INT32_MAX) return -1;
  return time->tv_sec * INT64_C(1000000000) + time->tv_nsec;
}

_Static_assert(sizeof(struct timespec) == sizeof(((apus_m_head *)0)->restart_time), "a time is two words");

static struct timespec *own_time(apus_m *m) { return (struct timespec *)m->head.restart_time; }

/// Has the call wait for `left` ns from now, or, where its time is the one that was left here before, for the rest of it:
/// where the time lies. NULL when it is to begin as it is.
static struct timespec *set_time(apus_m *m, greg_t *argument, int64_t left) {
  if (*argument == (greg_t)own_time(m)) {
    left = m->head.restart_end - now();
    if (left < 0) left = 0;
  } else {
    if (left < 0) return NULL;
    m->head.restart_end = now() + left;
  }
  *own_time(m) = in_ns(left);
  *argument = (greg_t)own_time(m);
  return own_time(m);
}

/// The same for a time in memory: what was left in `rest`, where the kernel has just written it, or else the whole.
static struct timespec *set_time_of(apus_m *m, greg_t *argument, const struct timespec *rest) {
  return set_time(m, argument, nanoseconds(rest != NULL ? rest : (const struct timespec *)*argument));
}

/// A time that a call has in memory of its own, near the stack pointer. Elsewhere it may be read-only.
static struct timespec *near_time(const greg_t *registers, int argument) {
  struct timespec *time = (struct timespec *)registers[argument];
  return (uintptr_t)time - (uintptr_t)registers[REG_RSP] > 4096 ? NULL : time;
}

/// A call whose own argument, libc's copy, the kernel has just made what is left.
static struct timespec *keep_time(apus_m *m, const greg_t *registers, int argument) {
  struct timespec *time = near_time(registers, argument);
  int64_t left = nanoseconds(time);
  if (left < 0) return NULL;
  m->head.restart_end = now() + left;
  return time;
}

/// A call with a relative time, `*number`: where what is left of the time lies from now on, in the M or in the call's own
/// argument. The call may get another argument, or become its newer form. NULL when it begins as it is.
///
/// Nobody knows when the call began that is interrupted for the first time, unless the kernel tells what is left. So it
/// may last twice as long at the most, if it is interrupted shortly before its end; from then on its end is known, however
/// often it is interrupted.
static struct timespec *set_rest(apus_m *m, greg_t *registers, int64_t *number) {
  greg_t *second = &registers[REG_RSI], *third = &registers[REG_RDX], *fourth = &registers[REG_R10];
  const greg_t own = (greg_t)own_time(m);
  switch (*number) {
    case SYS_nanosleep: return set_time_of(m, &registers[REG_RDI], (const struct timespec *)*second);
    case SYS_clock_nanosleep: {
      greg_t clock = registers[REG_RDI];
      _Bool passes = clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME || clock == CLOCK_TAI;
      if (!passes || (*second & TIMER_ABSTIME) != 0) return NULL;
      return set_time_of(m, third, (const struct timespec *)*fourth);
    }
    case SYS_poll: {
      // Once it has a time here it is ppoll; the code still shows the other number.
      if (*third != own && (int)*third <= 0) return NULL;
      *fourth = 0;
      registers[REG_R8] = sizeof(uint64_t);
      *number = SYS_ppoll;
      return set_time(m, third, (int)*third * INT64_C(1000000));
    }
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
      if (!has_epoll_pwait2 || (*fourth != own && (int)*fourth <= 0)) return NULL;
      if (*number == SYS_epoll_wait) registers[REG_R8] = registers[REG_R9] = 0;
      *number = SYS_epoll_pwait2;
      return set_time(m, fourth, (int)*fourth * INT64_C(1000000));
    case SYS_epoll_pwait2: return *fourth == 0 ? NULL : set_time_of(m, fourth, NULL);
    case SYS_futex:
      // To an absolute time, which the next interruption leaves as it is.
      if ((*second & ~(greg_t)FUTEX_PRIVATE_FLAG) == FUTEX_WAIT && *fourth != 0 && set_time_of(m, fourth, NULL)) {
        *own_time(m) = in_ns(m->head.restart_end);
        *second = FUTEX_WAIT_BITSET | (*second & FUTEX_PRIVATE_FLAG);
        registers[REG_R9] = FUTEX_BITSET_MATCH_ANY;
      }
      return NULL;
    case SYS_ppoll: return keep_time(m, registers, REG_RDX);
    // Of select itself, too, which libc makes of it.
    case SYS_pselect6: return keep_time(m, registers, REG_R8);
    default: return NULL;
  }
}

/// Where the time lies of a call that was to begin again and has not yet, since the next signal came before: the thread
/// stands at its instruction. NULL for no such call. Where collections follow each other closely, a thread can be stopped so
/// again and again; if that did not count, the call would wait for as long as they go on.
///
/// A call's own argument is told from that of a new call, of which nothing is known, by where it lies and by what
/// `apus_restart_update` has left there.
static struct timespec *time_not_begun(apus_m *m, const greg_t *registers) {
  int argument;
  switch (registers[REG_RAX]) {
    case SYS_nanosleep: argument = REG_RDI; break;
    case SYS_clock_nanosleep:
    case SYS_ppoll: argument = REG_RDX; break;
    case SYS_epoll_pwait2: argument = REG_R10; break;
    case SYS_pselect6: argument = REG_R8; break;
    default: return NULL;
  }
  const uint8_t *code = (const uint8_t *)registers[REG_RIP];
  if (code[0] != 0x0f || code[1] != 0x05) return NULL;
  if (registers[argument] == (greg_t)own_time(m)) return own_time(m);
  if (registers[REG_RAX] != SYS_ppoll && registers[REG_RAX] != SYS_pselect6) return NULL;
  struct timespec *time = near_time(registers, argument);
  if (time == NULL || time != m->head.restart_place) return NULL;
  return memcmp(time, m->head.restart_left, sizeof *time) == 0 ? time : NULL;
}

void apus_restart_update(apus_m *m, void *time) {
  if (time == NULL) return;
  int64_t left = m->head.restart_end - now();
  struct timespec rest = in_ns(left < 0 ? 0 : left);
  *(struct timespec *)time = rest;
  if (time == own_time(m)) return;
  // When nothing is left, nothing is to be brought up to date either.
  m->head.restart_place = left > 0 ? time : NULL;
  memcpy(m->head.restart_left, &rest, sizeof rest);
}

/// The context shows it: rax is -EINTR, and the instruction before is `syscall`. The registers of the arguments are those
/// of the call.
///
/// A call with a timeout that is not in `set_rest` (of a socket, a semaphore, sigtimedwait) begins anew, so it may last
/// longer: allowed by its contract. A handler of the program's that has just returned there is not seen: its EINTR is lost.
void *apus_restart_call(apus_m *m, void *data) {
  ucontext_t *context = data;
  greg_t *registers = context->uc_mcontext.gregs;
  if (registers[REG_RAX] != -EINTR) return time_not_begun(m, registers);
  uint8_t code[WINDOW + PADDING] = {0};
  uintptr_t pc = (uintptr_t)registers[REG_RIP];
  int count = copy_code(code, pc, WINDOW) - 2;
  if (count <= 0 || code[count] != 0x0f || code[count + 1] != 0x05) return NULL;
  int source = -1;
  int64_t number = call_number(code, count, registers, &source);
  if (number < 0 || awaits_signal(context)) return NULL;
  if (number == SYS_close) {
    // The descriptor is free all the same, and may be somebody else's by now.
    registers[REG_RAX] = 0;
    return NULL;
  }
  // The number must not be in one of the registers that change: it is looked for there the next time.
  _Bool is_kept = source < 0 || places[source] == REG_RBX || places[source] == REG_RBP || source >= 12;
  struct timespec *rest = is_kept ? set_rest(m, registers, &number) : NULL;
  registers[REG_RAX] = number;
  registers[REG_RIP] -= 2;
  return rest;
}

#else

// On aarch64 the first argument's register holds the result by now: such a call returns EINTR, as it may for any signal.
void *apus_restart_call(apus_m *m, void *context) {
  (void)m;
  (void)context;
  return NULL;
}

void apus_restart_update(apus_m *m, void *time) {
  (void)m;
  (void)time;
}

void apus_restart_prepare(void) {}

#endif
