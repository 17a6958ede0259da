// The current M, and the switch between stacks.
#ifndef CAPUS_SWITCH_H
#define CAPUS_SWITCH_H

#include <stdint.h>

#include "CApusLayout.h"

/// The M of the calling thread, NULL on a thread that the runtime does not know. Initial-exec, so that one load with a
/// link-time offset finds it. Never read it by name: `apus_current_m` says why.
extern __thread apus_m_head *apus_tls_m __attribute__((tls_model("initial-exec")));

/// The M of the calling thread. The read is volatile assembly because a goroutine changes its thread at every switch:
/// a compiler that kept the thread pointer, or the value, in a register across a call would read another thread's M.
static inline __attribute__((always_inline)) apus_m_head *apus_current_m(void) {
  apus_m_head *m;
#if defined(__x86_64__)
  __asm__ volatile("movq apus_tls_m@GOTTPOFF(%%rip), %0\n\tmovq %%fs:(%0), %0" : "=r"(m));
#elif defined(__aarch64__)
  uintptr_t offset;
  __asm__ volatile(
      "mrs %0, tpidr_el0\n\t"
      "adrp %1, :gottprel:apus_tls_m\n\t"
      "ldr %1, [%1, :gottprel_lo12:apus_tls_m]\n\t"
      "ldr %0, [%0, %1]"
      : "=&r"(m), "=&r"(offset));
#else
#error "Apus runs on x86-64 and aarch64"
#endif
  return m;
}

/// Makes `m` the calling thread's M.
void apus_set_current_m(apus_m_head *m);

/// Saves the callee-saved registers on the current stack and its pointer in `*save`, then continues what was saved
/// at `to`. Returns when somebody switches back to `*save`, perhaps on another thread.
void apus_switch(uintptr_t *save, uintptr_t to);

/// Writes the first frame of a goroutine below `top` (aligned by 16) and returns the stack pointer with which
/// `apus_switch` enters `apus_goroutine_main`. Its return address is `apus_goexit`.
uintptr_t apus_make_context(uintptr_t top);

/// Calls `body(argument)` with the stack pointer at `top` and returns on the present stack. For the fatal report, which
/// must not depend on the stack that overflowed.
void apus_call_on_stack(uintptr_t top, void (*body)(void *), void *argument);

/// The return address of every goroutine's first frame. Tracebacks end in it.
void apus_goexit(void);

/// The address of the ELF entry point of this architecture.
uintptr_t apus_entry_address(void);

/// The stack pointer with which the kernel entered the process; 0 when another entry point ran (a dynamic library, a
/// linker that dropped ours).
extern uintptr_t apus_initial_sp;
/// A time stamp counter taken by the first instructions of the entry point.
extern uint64_t apus_entry_ticks;

static inline uintptr_t apus_get_initial_sp(void) { return apus_initial_sp; }
static inline uint64_t apus_get_entry_ticks(void) { return apus_entry_ticks; }

/// One word or byte of state that others change under a lock, read without it. The value may be old, never torn, and what
/// is read after it is not older: the loads acquire, which on x86-64 costs nothing.
static inline __attribute__((always_inline)) uintptr_t apus_peek_word(const void *address) {
  return __atomic_load_n((const uintptr_t *)address, __ATOMIC_ACQUIRE);
}
static inline __attribute__((always_inline)) uint8_t apus_peek_byte(const void *address) {
  return __atomic_load_n((const uint8_t *)address, __ATOMIC_ACQUIRE);
}

/// Has the processor fetch the two cache lines at `address`, which will be needed soon; any address will do.
static inline __attribute__((always_inline)) void apus_prefetch(uintptr_t address) {
  __builtin_prefetch((const void *)address, 1, 3);
  __builtin_prefetch((const void *)(address + 64), 1, 3);
}

/// The same for lines that will be written, and may lie in another processor's cache: they are its no longer.
static inline __attribute__((always_inline)) void apus_prefetch_to_write(uintptr_t address) {
#if defined(__x86_64__)
  // Not the builtin: it gives the instruction for reading where the compiler must not suppose this one, which processors
  // without it take for nothing.
  __asm__ volatile("prefetchw (%0)\n\tprefetchw 64(%0)" : : "r"(address));
#else
  apus_prefetch(address);
#endif
}

/// Tells the processor that this is a spin loop.
static inline __attribute__((always_inline)) void apus_spin_hint(void) {
#if defined(__x86_64__)
  __asm__ volatile("pause" ::: "memory");
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory");
#endif
}

static inline uint64_t apus_ticks(void) {
#if defined(__x86_64__)
  uint32_t lo, hi;
  __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
  return ((uint64_t)hi << 32) | lo;
#elif defined(__aarch64__)
  uint64_t t;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
  return t;
#endif
}

/// The caller's frame pointer.
static inline __attribute__((always_inline)) uintptr_t apus_frame_pointer(void) {
  return (uintptr_t)__builtin_frame_address(0);
}

#endif
