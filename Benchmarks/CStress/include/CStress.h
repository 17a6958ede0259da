// What the stresses need of C: every system call that may sleep, each in a form that ends by itself, and registers that
// are known to hold what was put into them.
#ifndef CSTRESS_H
#define CSTRESS_H

#include <stdint.h>

// MARK: calls that sleep

/// What one goroutine needs for its calls: descriptors, semaphores, a lock with a condition. NULL with errno set where the
/// system refuses some of it.
typedef struct stress_caller stress_caller;
stress_caller *stress_caller_make(void);
void stress_caller_free(stress_caller *caller);

/// How many calls there are, and what each is called.
int stress_call_count(void);
const char *stress_call_name(int call);

/// The one that starts a process and waits for its end. The signal that this sends is ignored, but not where it comes while
/// the starting thread has signals blocked, as posix_spawn does: then some thread is woken to drop it. Calls that are weak
/// return EINTR for that, in any program.
int stress_child_call(void);
int stress_call_is_weak(int call);

enum {
  /// The call did what it should have done.
  STRESS_DONE = 0,
  /// It came back before its time.
  STRESS_EARLY = -1,
  /// Another result than the one that was due.
  STRESS_WRONG = -2,
  /// The system has no such call, or does not allow it here.
  STRESS_MISSING = -3,
};

/// Does the call number `call` once; it sleeps for about `microseconds`, from 1 to 999,999. The result is one of those
/// above, or the errno with which a call failed that had to succeed.
int stress_call_once(stress_caller *caller, int call, int microseconds);

// MARK: CPUs

/// The one on which the calling thread runs.
int stress_cpu(void);
/// Those on which the thread `tid`, or the calling one for 0, may run, a bit each; 0 where that can't be asked, or more than
/// the first 64 are among them.
uint64_t stress_affinity(int32_t tid);
/// Changes that; below 0 with errno set on failure.
int stress_affinity_set(int32_t tid, uint64_t cpus);

// MARK: pages

/// 1 where the system lets this process fill pages by userfaultfd.
int stress_can_userfault(void);

// MARK: registers

/// Fills the vector registers with what follows from `seed`, computes for `rounds` rounds with all of them at once and
/// without memory, and checks the result: 0 when a register lost a bit.
int stress_vectors(uint64_t seed, uint64_t rounds);

/// Where `stress_hold` has a word.
enum {
  /// In a general register that a callee would save, and in one that it would not.
  STRESS_SAVED_REGISTER = 0,
  STRESS_SCRATCH_REGISTER = 1,
  /// In the lower and in the upper half of a vector register.
  STRESS_VECTOR = 2,
  STRESS_WIDE_VECTOR = 3,
  /// In a register that a callee would save, while the thread sleeps in read(2) of one byte.
  STRESS_SLEEPING = 4,
};

/// What `stress_hold` wants and returns in the place of `word`, so that the word itself is nowhere.
static inline __attribute__((always_inline)) uint64_t stress_hidden(uint64_t word) {
  return word ^ UINT64_C(0x5a5aa5a55a5aa5a5);
}

/// Has the word that `hidden` stands for in one place of the thread, `place`, and in no other: sets `*holds`, computes until
/// `*ends` is set (or reads a byte from `file`), and returns the hidden word again. 0 where the machine has no such place.
uint64_t stress_hold(uint64_t hidden, int place, int *holds, const int *ends, int file);

/// Has a handler of a signal run on the thread of that number, on the stack that it is on or on its signal stack, until
/// `stress_resume`. It uses all registers that it is free to use, and one that it has to save. Whether it has begun, says
/// `stress_is_interrupted`.
enum { STRESS_ON_ITS_STACK = 0, STRESS_ON_THE_SIGNAL_STACK = 1 };
void stress_interrupt(int thread, int stack);
int stress_is_interrupted(void);
void stress_resume(void);

/// Writes zeros over so much of the stack as calls before may have used.
void stress_wipe_stack(void);

// MARK: the rest

/// Makes C's `stdout`, to which Swift prints, another stream than standard output: one that is thrown away; and back.
void stress_silence(void);
void stress_speak(void);

/// From now on the kernel refuses membarrier(2) to all threads: by an error, or by ending the process with SIGSYS. Negative
/// errno where filters are not to be had.
int stress_refuse_barriers(int is_deadly);

/// From now on every other page that any thread wants guarded (MADV_GUARD_INSTALL) loses its content and is not guarded, as
/// where the kernel runs out of memory halfway. Negative errno where filters are not to be had.
int stress_break_guards(void);
/// How many pages have fared so.
uint64_t stress_broken_guards(void);

#endif
