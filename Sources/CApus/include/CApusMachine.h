// System calls and libc entry points that `import Glibc` does not show, or shows with a signature Swift cannot use.
// Each returns what the kernel returned: a negative errno on failure, never through the thread's errno, since a
// goroutine may have changed its thread by the time somebody reads that.
#ifndef CAPUS_MACHINE_H
#define CAPUS_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "CApusLayout.h"

// Futex. `timeout_ns` below zero waits without a limit.
int apus_futex_wait(uint32_t *word, uint32_t expected, int64_t timeout_ns);
int apus_futex_wake(uint32_t *word, uint32_t count);

// Threads.
/// Starts a detached thread with a stack of `stack_size` bytes that runs `body(argument)`; 0 or a negative errno.
int apus_thread_start(void *(*body)(void *), void *argument, size_t stack_size);
void apus_thread_name(const char *name);
int apus_gettid(void);
int apus_getpid(void);
/// The calling thread's stack, [*lo, *hi).
int apus_thread_stack(uintptr_t *lo, uintptr_t *hi);
/// Has `body(argument)` called when the calling thread ends.
void apus_thread_end_arm(void (*body)(void *), void *argument);
void apus_sched_yield(void);
void apus_sleep_ns(int64_t ns);
int apus_sched_getaffinity(void *mask, size_t size);

// Memory.
/// Zeroed memory, or NULL. Address space only, or readable and writable.
void *apus_mmap_reserve(size_t size);
void *apus_mmap(size_t size);
int apus_mprotect_rw(void *address, size_t size);
int apus_mprotect_none(void *address, size_t size);
int apus_munmap(void *address, size_t size);
int apus_madvise(void *address, size_t size, int advice);
/// One madvise over `count` ranges given as pairs (address, size) in `ranges`; the number of bytes or a negative errno.
int64_t apus_process_madvise(const uintptr_t *ranges, size_t count, int advice);
#define APUS_MADV_DONTNEED 4
#define APUS_MADV_NOHUGEPAGE 15
#define APUS_MADV_GUARD_INSTALL 102
#define APUS_MADV_GUARD_REMOVE 103

// Clock.
typedef int (*apus_clock_gettime_fn)(int, void *);
/// The vDSO's clock_gettime, NULL until boot found one. Written once, before the second thread exists.
extern apus_clock_gettime_fn apus_vdso_clock_gettime;
static inline apus_clock_gettime_fn apus_clock_function(void) { return apus_vdso_clock_gettime; }
static inline void apus_set_clock_function(uintptr_t address) {
  apus_vdso_clock_gettime = (apus_clock_gettime_fn)address;
}
/// Nanoseconds of CLOCK_MONOTONIC by `function` (the vDSO's), or by libc when it is NULL.
int64_t apus_nanotime(apus_clock_gettime_fn function);
/// Nanoseconds since 1970.
int64_t apus_unix_time(void);
/// The CPU time of the calling thread, in nanoseconds.
int64_t apus_thread_time(void);

// Files and output: raw, so that a fatal report works whatever state libc is in.
int64_t apus_write(int fd, const void *bytes, size_t count);
int apus_open_read(const char *path);
/// Creates the file, or empties it, for writing; the descriptor or a negative errno.
int apus_open_write(const char *path);
int64_t apus_read(int fd, void *bytes, size_t count);
int apus_close(int fd);
/// Maps a whole file read-only; *size receives its length. NULL on failure.
const void *apus_map_file(const char *path, size_t *size);
void apus_exit_now(int status) __attribute__((noreturn));
/// libc's exit: runs what was registered with atexit and flushes its streams.
void apus_exit(int status) __attribute__((noreturn));
/// Calls the program's own `main`.
int apus_call_main(int count, char **arguments, char *const *environment);
/// RLIMIT_STACK's soft limit, or the value that stands for "unlimited".
uint64_t apus_stack_limit(void);
/// One thread at a time starts the runtime.
void apus_start_lock(void);
void apus_start_unlock(void);

// Loaded images.
typedef int (*apus_image_callback)(void *context, const char *path, uintptr_t base, const void *program_headers,
                                   uint16_t program_header_count, void *tls);
int apus_each_image(apus_image_callback callback, void *context);
/// The image that holds an address.
typedef struct apus_image {
  /// As the dynamic linker knows it; of the program itself, as it was given to execve.
  const char *path;
  /// What to add to an address in the image's file to get one of this process.
  uintptr_t base;
  /// Its program headers in memory: its identity.
  const void *headers;
  uint16_t header_count;
  /// The calling thread's thread-local block of it; NULL for none.
  void *tls;
  bool is_main;
} apus_image;
/// An image from what a callback of `apus_each_image` is given.
apus_image apus_make_image(const char *path, uintptr_t base, const void *program_headers, uint16_t program_header_count,
                           void *tls);
/// Finds it; false when no image holds `address`. Takes the dynamic linker's lock.
bool apus_find_image(uintptr_t address, apus_image *image);

// Processor.
/// cpuid with `leaf` and `subleaf`; zeros where there is no such instruction.
void apus_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
unsigned long apus_getauxval(unsigned long type);
char **apus_environ(void);

// Swift's exclusivity checking (libswiftCore). A node is four words, the state of a task two.
void apus_begin_access(void *pointer, void *node);
void apus_end_access(void *node);
void apus_exit_thread_local_context(uintptr_t state[2]);
void apus_enter_thread_local_context(uintptr_t state[2]);
/// The size of an image's thread-local block.
size_t apus_tls_segment_size(const void *program_headers, uint16_t count);
/// The current Swift Concurrency task, NULL outside one or when the concurrency library is not linked.
void *apus_current_task(void);
/// The calling thread's words of the concurrency library; NULL for one that cannot be found.
typedef struct apus_task_words {
  /// Holds the current task: what `swift_task_getCurrent` returns. Found by putting a mark into each word of that library's
  /// block that is zero.
  const uintptr_t *current;
  /// Leads to the task-local values that are bound outside of tasks, 0 while there are none. Found by binding one.
  uintptr_t *locals;
} apus_task_words;
/// Finds them; not inside a task. To be called where the thread begins, when no value is bound; takes a few microseconds.
apus_task_words apus_find_task_words(void);

// Signals.
/// The handler's view of a trap, or of a signal that somebody has sent.
typedef struct apus_fault {
  int signal;
  /// Zero or below: somebody has sent it.
  int code;
  uintptr_t address;
  uintptr_t pc;
  uintptr_t sp;
  uintptr_t fp;
  /// Where the frames begin: `pc`, or the call that led to a bad one.
  uintptr_t frame_pc;
  apus_m_head *m;
  /// The current goroutine's stack has overflowed.
  bool is_overflow;
  /// What libswiftCore has written of it; NULL for nothing. It is the receiver's, of malloc.
  char *message;
} apus_fault;
/// Whether the fault is an access to the first page, that nothing is mapped at: a null pointer, as Go sees it.
bool apus_is_null_pointer(const apus_fault *fault);
/// Gives the calling thread the signal stack in `m`.
int apus_signal_stack_install(const apus_m_head *m);
int apus_signal_stack_remove(void);
/// Handlers of SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE and SIGABRT. What a thread raises itself ends in `report(fault)` on
/// the fatal stack [lo, hi), and with it the process; what somebody sends is as by `apus_signal_request_install`.
///
/// `is_guest`: the process is somebody else's. Then what does not happen on a stack of the runtime, and what is sent, goes
/// to the handlers that were there before.
int apus_signal_traps_install(uintptr_t lo, uintptr_t hi, void (*report)(const apus_fault *), bool is_guest);
/// A handler of `signal` that asks sysmon for a report and returns. Without that thread, and in a forked child, the signal
/// has its default effect.
int apus_signal_request_install(int signal);
/// There will be a sysmon, or no process: what is asked for from now on waits for it.
void apus_requests_are_served(void);
/// The signal that asks for a report, NULL while none does.
const apus_fault *apus_request(void);
/// Copies the calling thread's signal mask to `mask` (8 bytes), or sets it.
int apus_signal_mask_save(uint64_t *mask);
int apus_signal_mask_set(const uint64_t *mask);

#endif
