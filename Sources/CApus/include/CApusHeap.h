// What the managed heap needs of C: words and bits that several threads read and write at once.
#ifndef CAPUS_HEAP_H
#define CAPUS_HEAP_H

#include <stddef.h>
#include <stdint.h>

/// 1 while the collector marks: whoever stores a link shades the object first (the write barrier). A C global, so that
/// the test is one instruction in the program's own code. Written while the world stands still.
extern uint8_t apus_marking;

static inline __attribute__((always_inline)) uint8_t apus_is_marking(void) {
  return __atomic_load_n(&apus_marking, __ATOMIC_RELAXED);
}
static inline void apus_set_marking(uint8_t on) { __atomic_store_n(&apus_marking, on, __ATOMIC_RELAXED); }

/// A link of a managed object is four bytes: how many units the object lies behind the arena's beginning, where there is
/// none (`PageHeap`), so that 0 is nil. The base is written once, before any goroutine runs.
#define APUS_LINK_UNIT 8
extern uintptr_t apus_arena_base;
static inline void apus_set_arena_base(uintptr_t base) { apus_arena_base = base; }

/// What the link at `link` holds. For the collector, which finds what it refers to by the object that it lies in.
static inline __attribute__((always_inline)) uint32_t apus_link_number(const void *link) {
  return __atomic_load_n((const uint32_t *)link, __ATOMIC_ACQUIRE);
}

/// The address of the object that the link at `link` refers to; 0 for nil. Acquire, as the store is a release: whoever
/// follows a link to a new object finds it initialised.
///
/// The thread may be stopped between the instruction that loads the number and the one that makes an address of it. Then
/// the number is the only reference that it has, and lies in the register that both use: in the registers of threads that
/// a signal has stopped the collector looks for numbers, too (`StackRoots`). Hence the assembly. The compiler might keep
/// the number anywhere, for as long as it likes.
static inline __attribute__((always_inline)) uintptr_t apus_load_link(const void *link) {
  uintptr_t base = apus_arena_base, address;
#if defined(__x86_64__)
  __asm__ volatile("movl %[link], %k[address]\n\t"
                   "leaq (%[base],%[address],%c[unit]), %[address]"
                   : [address] "=&r"(address)
                   : [link] "m"(*(const uint32_t *)link), [base] "r"(base), [unit] "i"(APUS_LINK_UNIT)
                   : "memory");
#elif defined(__aarch64__)
  __asm__ volatile("ldar %w[address], [%[link]]\n\t"
                   "add %[address], %[base], %[address], lsl %[shift]"
                   : [address] "=&r"(address)
                   : [link] "r"(link), [base] "r"(base), [shift] "i"(__builtin_ctz(APUS_LINK_UNIT))
                   : "memory");
#endif
  // So that this test and the caller's for 0 become one.
  __builtin_assume(address != 0);
  return address == base ? 0 : address;
}

/// Has the link at `link` refer to the object at `address`. The address stays in its register until the link is written.
static inline __attribute__((always_inline)) void apus_store_link(void *link, uintptr_t address) {
  uintptr_t base = apus_arena_base, number;
#if defined(__x86_64__)
  __asm__ volatile("movq %[address], %[number]\n\t"
                   "subq %[base], %[number]\n\t"
                   "shrq %[shift], %[number]\n\t"
                   "movl %k[number], %[link]"
                   : [link] "=m"(*(uint32_t *)link), [number] "=&r"(number)
                   : [address] "r"(address), [base] "r"(base), [shift] "i"(__builtin_ctz(APUS_LINK_UNIT))
                   : "cc", "memory");
#elif defined(__aarch64__)
  __asm__ volatile("sub %[number], %[address], %[base]\n\t"
                   "lsr %[number], %[number], %[shift]\n\t"
                   "stlr %w[number], [%[link]]"
                   : [number] "=&r"(number)
                   : [link] "r"(link), [address] "r"(address), [base] "r"(base),
                     [shift] "i"(__builtin_ctz(APUS_LINK_UNIT))
                   : "memory");
#endif
}

static inline __attribute__((always_inline)) void apus_clear_link(void *link) {
  __atomic_store_n((uint32_t *)link, 0, __ATOMIC_RELEASE);
}

/// A word that the collector reads while others write it: a root, the number of an array's elements. Acquire and release,
/// as links.
static inline __attribute__((always_inline)) uintptr_t apus_load_word(const void *word) {
  return __atomic_load_n((const uintptr_t *)word, __ATOMIC_ACQUIRE);
}
static inline __attribute__((always_inline)) void apus_store_word(void *word, uintptr_t value) {
  __atomic_store_n((uintptr_t *)word, value, __ATOMIC_RELEASE);
}

/// Words of the heap's bitmaps. `or` and `and` return what was there before.
static inline __attribute__((always_inline)) uint64_t apus_bits_load(const uint64_t *word) {
  return __atomic_load_n(word, __ATOMIC_RELAXED);
}
static inline __attribute__((always_inline)) void apus_bits_store(uint64_t *word, uint64_t bits) {
  __atomic_store_n(word, bits, __ATOMIC_RELAXED);
}
static inline __attribute__((always_inline)) uint64_t apus_bits_or(uint64_t *word, uint64_t bits) {
  return __atomic_fetch_or(word, bits, __ATOMIC_RELAXED);
}
static inline __attribute__((always_inline)) uint64_t apus_bits_and(uint64_t *word, uint64_t bits) {
  return __atomic_fetch_and(word, bits, __ATOMIC_RELAXED);
}

/// The mark of an object. Whoever finds it 0 sets it and scans the object. Two who find it 0 at once both do so, and both
/// find the same there: it costs time, and the object's bytes count twice; an atomic operation costs more, each time.
static inline __attribute__((always_inline)) uint8_t apus_mark_load(const uint8_t *mark) {
  return __atomic_load_n(mark, __ATOMIC_RELAXED);
}
static inline __attribute__((always_inline)) void apus_mark_set(uint8_t *mark) {
  __atomic_store_n(mark, 1, __ATOMIC_RELAXED);
}

/// Has the processor fetch a mark that is looked at soon.
static inline __attribute__((always_inline)) void apus_prefetch_mark(const uint8_t *mark) {
  __builtin_prefetch(mark, 0, 3);
}

/// 64 marks as a word of bits.
static inline __attribute__((always_inline)) uint64_t apus_marks_bits(const uint8_t *marks) {
  uint64_t bits = 0;
  for (int part = 0; part < 8; part++) {
    uint64_t eight;
    __builtin_memcpy(&eight, marks + 8 * part, 8);
    // Byte i is 0 or 1, and comes out as bit i of the topmost byte.
    bits |= (eight * 0x0102040810204080) >> 56 << (8 * part);
  }
  return bits;
}

/// The same, and clears them.
static inline __attribute__((always_inline)) uint64_t apus_marks_take(uint8_t *marks) {
  uint64_t bits = apus_marks_bits(marks);
  __builtin_memset(marks, 0, 64);
  return bits;
}

static inline void apus_marks_fill(uint8_t *marks, intptr_t count, uint8_t value) {
  __builtin_memset(marks, value, (size_t)count);
}

/// A table of zeros that Ps share until they allocate managed objects: 64 entries of 32 bytes.
extern uint64_t apus_empty_heap_entries[256];
static inline void *apus_no_heap_entries(void) { return apus_empty_heap_entries; }

/// Calls `body(argument)` with the stack pointer at `top`, after all registers that a callee would save were pushed on
/// the present stack and its pointer was stored in `*save`: what is in use of the present stack then lies above it.
void apus_system_stack(uintptr_t *save, uintptr_t top, void (*body)(void *), void *argument);

#endif
