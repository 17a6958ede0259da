// Registers that are known, and the stream that Swift prints to.
#include <stdio.h>
#include <stdlib.h>

#include "CStress.h"

/// What has to come out, of one word of each register, by general registers.
static void column(const uint64_t *words, int j, uint64_t rounds, uint64_t *out) {
  uint64_t r[16];
  for (int i = 0; i < 16; i++) r[i] = words[4 * i + j];
  for (uint64_t round = 0; round < rounds; round++)
    for (int i = 0; i < 16; i++) r[i] += r[(i + 15) & 15];
  for (int i = 0; i < 16; i++) out[4 * i + j] = r[i];
}

#if defined(__x86_64__)

/// Sixteen registers of four words. In each round each of them has the one before it added to it, in a circle, so what
/// gets lost in one spreads. By hand: in a debug build a compiler would keep them in memory.
__attribute__((noinline)) static void in_wide_registers(uint64_t *words, uint64_t rounds) {
#define EACH(do) do(0) do(1) do(2) do(3) do(4) do(5) do(6) do(7) do(8) do(9) do(10) do(11) do(12) do(13) do(14) do(15)
#define LOAD(i) "vmovdqu 32*" #i "(%0), %%ymm" #i "\n"
#define STORE(i) "vmovdqu %%ymm" #i ", 32*" #i "(%0)\n"
#define ADD(i, before) "vpaddq %%ymm" #before ", %%ymm" #i ", %%ymm" #i "\n"
#define ROUND                                                                                            \
  ADD(0, 15) ADD(1, 0) ADD(2, 1) ADD(3, 2) ADD(4, 3) ADD(5, 4) ADD(6, 5) ADD(7, 6) ADD(8, 7) ADD(9, 8)   \
  ADD(10, 9) ADD(11, 10) ADD(12, 11) ADD(13, 12) ADD(14, 13) ADD(15, 14)
  __asm__ volatile(EACH(LOAD) "1:\n" ROUND "dec %1\njnz 1b\n" EACH(STORE) "vzeroupper"
                   : "+r"(words), "+r"(rounds)
                   :
                   : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                     "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

/// Without AVX2 it is general registers only.
static void in_vectors(uint64_t *words, uint64_t rounds) {
  if (__builtin_cpu_supports("avx2")) {
    in_wide_registers(words, rounds);
  } else {
    uint64_t out[64];
    for (int j = 0; j < 4; j++) column(words, j, rounds, out);
    for (int i = 0; i < 64; i++) words[i] = out[i];
  }
}

#else

static void in_vectors(uint64_t *words, uint64_t rounds) {
  for (uint64_t round = 0; round < rounds; round++)
    for (int i = 0; i < 16; i++)
      for (int j = 0; j < 4; j++) words[4 * i + j] += words[4 * ((i + 15) & 15) + j];
}

#endif

int stress_vectors(uint64_t seed, uint64_t rounds) {
  uint64_t words[64], expected[64];
  for (int i = 0; i < 64; i++) words[i] = seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  for (int j = 0; j < 4; j++) column(words, j, rounds, expected);
  in_vectors(words, rounds);
  for (int i = 0; i < 64; i++)
    if (words[i] != expected[i]) return 0;
  return 1;
}

#if defined(__x86_64__)

#define MASK "movabsq $0x5a5aa5a55a5aa5a5, %%rax\n"
/// `*holds` = 1, and round and round until `*ends` is not 0.
#define SPIN "movl $1, (%[holds])\n1: pause\ncmpl $0, (%[ends])\nje 1b\n"
/// The word goes to its place, the other registers forget it, and it comes back.
#define HOLD(put, get, ...)                               \
  __asm__ volatile(MASK put SPIN get : [word] "+&r"(hidden) \
                   : [holds] "r"(holds), [ends] "r"(ends) \
                   : "rax", "memory", "cc", __VA_ARGS__)
#define PUT(r) "movq %[word], %%" #r "\nxorq %%rax, %%" #r "\nxorl %k[word], %k[word]\n"
#define GET(r) MASK "xorq %%" #r ", %%rax\nmovq %%rax, %[word]\nxorl %%eax, %%eax\nmovq %%rax, %%" #r "\n"

uint64_t stress_hold(uint64_t hidden, int place, int *holds, const int *ends, int file) {
  switch (place) {
    case STRESS_SAVED_REGISTER: HOLD(PUT(r12), GET(r12), "r12"); return hidden;
    case STRESS_SCRATCH_REGISTER: HOLD(PUT(r9), GET(r9), "r9"); return hidden;
    case STRESS_VECTOR:
      HOLD("xorq %%rax, %[word]\nmovq %[word], %%xmm7\nxorl %k[word], %k[word]\n",
           "movq %%xmm7, %[word]\n" MASK "xorq %%rax, %[word]\npxor %%xmm7, %%xmm7\n", "xmm7");
      return hidden;
    case STRESS_WIDE_VECTOR:
      if (!__builtin_cpu_supports("avx")) {
        *holds = 1;
        return 0;
      }
      HOLD("xorq %%rax, %[word]\nmovq %[word], %%xmm7\nxorl %k[word], %k[word]\n"
           "vinsertf128 $1, %%xmm7, %%ymm7, %%ymm7\n"
           "vpxor %%xmm6, %%xmm6, %%xmm6\nvinsertf128 $0, %%xmm6, %%ymm7, %%ymm7\n",
           "vextractf128 $1, %%ymm7, %%xmm7\nmovq %%xmm7, %[word]\n" MASK "xorq %%rax, %[word]\nvzeroall\n", "xmm0",
           "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
           "xmm14", "xmm15");
      return hidden;
    case STRESS_SLEEPING: {
      char byte;
      __asm__ volatile(MASK PUT(r12)
                       "movl $1, (%[holds])\nmovl %[file], %%edi\nmovq %[byte], %%rsi\nmovl $1, %%edx\n"
                       "xorl %%eax, %%eax\nsyscall\n" GET(r12)
                       : [word] "+&r"(hidden)
                       : [holds] "r"(holds), [file] "r"(file), [byte] "r"(&byte)
                       : "rax", "rcx", "rdx", "rsi", "rdi", "r11", "r12", "memory", "cc");
      return hidden;
    }
    default: return 0;
  }
}

#else

uint64_t stress_hold(uint64_t hidden, int place, int *holds, const int *ends, int file) {
  (void)hidden, (void)place, (void)ends, (void)file;
  *holds = 1;
  return 0;
}

#endif

__attribute__((noinline)) void stress_wipe_stack(void) {
  volatile char bytes[16384];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = 0;
}

static FILE *spoken;

void stress_silence(void) {
  fflush(stdout);
  FILE *nowhere = fopen("/dev/null", "w");
  if (nowhere == NULL) abort();
  spoken = stdout;
  stdout = nowhere;
}

void stress_speak(void) {
  FILE *nowhere = stdout;
  stdout = spoken;
  fclose(nowhere);
}
