// System calls and libc entry points for ApusRuntime/Machine. Each function is one call and its errno.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "CApus.h"

void *apus_sched_state = NULL;
_Bool apus_started = 0;
uint8_t apus_marking = 0;
uint64_t apus_empty_heap_entries[256];

__thread apus_m_head *apus_tls_m __attribute__((tls_model("initial-exec"))) = NULL;

void apus_set_current_m(apus_m_head *m) { apus_tls_m = m; }

static struct timespec to_timespec(int64_t ns) {
  struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
  return t;
}

int apus_futex_wait(uint32_t *word, uint32_t expected, int64_t timeout_ns) {
  struct timespec t = to_timespec(timeout_ns < 0 ? 0 : timeout_ns);
  long r = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout_ns < 0 ? NULL : &t, NULL, 0);
  return r < 0 ? -errno : 0;
}

int apus_futex_wake(uint32_t *word, uint32_t count) {
  long r = syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
  return r < 0 ? -errno : (int)r;
}

int apus_thread_start(void *(*body)(void *), void *argument, size_t stack_size) {
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, stack_size);
  int r = pthread_create(&thread, &attributes, body, argument);
  pthread_attr_destroy(&attributes);
  return -r;
}

void apus_thread_name(const char *name) { pthread_setname_np(pthread_self(), name); }

int apus_getpid(void) { return getpid(); }
int apus_gettid(void) { return (int)syscall(SYS_gettid); }

int apus_thread_stack(uintptr_t *lo, uintptr_t *hi) {
  pthread_attr_t attributes;
  void *address;
  size_t size;
  int r = pthread_getattr_np(pthread_self(), &attributes);
  if (r != 0) return -r;
  r = pthread_attr_getstack(&attributes, &address, &size);
  pthread_attr_destroy(&attributes);
  *lo = (uintptr_t)address;
  *hi = (uintptr_t)address + size;
  return -r;
}

typedef struct {
  void (*body)(void *);
  void *argument;
} thread_end;

static pthread_key_t end_key;
static pthread_once_t end_key_once = PTHREAD_ONCE_INIT;
static __thread thread_end end_of_this_thread;

static void run_thread_end(void *p) {
  thread_end *end = p;
  end->body(end->argument);
}

static void make_end_key(void) { pthread_key_create(&end_key, run_thread_end); }

void apus_thread_end_arm(void (*body)(void *), void *argument) {
  pthread_once(&end_key_once, make_end_key);
  end_of_this_thread.body = body;
  end_of_this_thread.argument = argument;
  pthread_setspecific(end_key, &end_of_this_thread);
}

void apus_sched_yield(void) { sched_yield(); }

void apus_sleep_ns(int64_t ns) {
  struct timespec t = to_timespec(ns);
  nanosleep(&t, NULL);
}

int apus_sched_getaffinity(void *mask, size_t size) {
  // The system call, not libc's wrapper: it returns the number of bytes that the kernel wrote.
  long r = syscall(SYS_sched_getaffinity, 0, size, mask);
  return r < 0 ? -errno : (int)r;
}

void *apus_mmap_reserve(size_t size) {
  void *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

void *apus_mmap(size_t size) {
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

int apus_mprotect_rw(void *address, size_t size) {
  return mprotect(address, size, PROT_READ | PROT_WRITE) < 0 ? -errno : 0;
}

int apus_mprotect_none(void *address, size_t size) { return mprotect(address, size, PROT_NONE) < 0 ? -errno : 0; }

int apus_munmap(void *address, size_t size) { return munmap(address, size) < 0 ? -errno : 0; }

int apus_madvise(void *address, size_t size, int advice) { return madvise(address, size, advice) < 0 ? -errno : 0; }

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
// Since Linux 6.13 process_madvise on oneself takes every advice and this constant in place of a descriptor (6.15).
#define PIDFD_SELF_THREAD_GROUP_VALUE (-10001)

int64_t apus_process_madvise(const uintptr_t *ranges, size_t count, int advice) {
  long r = syscall(SYS_process_madvise, PIDFD_SELF_THREAD_GROUP_VALUE, (const struct iovec *)ranges, count, advice, 0);
  return r < 0 ? -errno : r;
}

apus_clock_gettime_fn apus_vdso_clock_gettime = NULL;

int64_t apus_nanotime(apus_clock_gettime_fn function) {
  struct timespec t;
  if (function != NULL)
    function(CLOCK_MONOTONIC, &t);
  else
    clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t apus_unix_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int64_t apus_thread_time(void) {
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

int64_t apus_write(int fd, const void *bytes, size_t count) {
  ssize_t r = write(fd, bytes, count);
  return r < 0 ? -errno : r;
}

int apus_open_read(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int apus_open_write(const char *path) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  return fd < 0 ? -errno : fd;
}

int64_t apus_read(int fd, void *bytes, size_t count) {
  ssize_t r = APUS_SHELF_REPEATED(read(fd, bytes, count), apus_shelf_restore_range(bytes, count));
  return r < 0 ? -errno : r;
}

int apus_close(int fd) { return close(fd) < 0 ? -errno : 0; }

const void *apus_map_file(const char *path, size_t *size) {
  struct stat status;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return NULL;
  void *p = MAP_FAILED;
  if (fstat(fd, &status) == 0 && status.st_size > 0)
    p = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (p == MAP_FAILED) return NULL;
  *size = (size_t)status.st_size;
  return p;
}

void apus_exit_now(int status) {
  for (;;) syscall(SYS_exit_group, status);
}

void apus_exit(int status) { exit(status); }

// Weak: a dynamic library has no main, and is never started by our entry point.
extern int main(int, char **, char **) __attribute__((weak));

int apus_call_main(int count, char **arguments, char *const *environment) {
  return main(count, arguments, (char **)environment);
}

uint64_t apus_stack_limit(void) {
  struct rlimit limit;
  return getrlimit(RLIMIT_STACK, &limit) == 0 ? limit.rlim_cur : 0;
}

static pthread_mutex_t start_mutex = PTHREAD_MUTEX_INITIALIZER;
void apus_start_lock(void) { pthread_mutex_lock(&start_mutex); }
void apus_start_unlock(void) { pthread_mutex_unlock(&start_mutex); }

typedef struct {
  apus_image_callback callback;
  void *context;
} image_walk;

/// The calling thread's thread-local block of an image; NULL where there is none, or libc does not say.
static void *tls_of(const struct dl_phdr_info *info, size_t size) {
  return size >= offsetof(struct dl_phdr_info, dlpi_tls_data) + sizeof info->dlpi_tls_data ? info->dlpi_tls_data : NULL;
}

static int image_visit(struct dl_phdr_info *info, size_t size, void *data) {
  image_walk *walk = data;
  return walk->callback(walk->context, info->dlpi_name, info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum,
                        tls_of(info, size));
}

int apus_each_image(apus_image_callback callback, void *context) {
  image_walk walk = {callback, context};
  return dl_iterate_phdr(image_visit, &walk);
}

typedef struct {
  uintptr_t address;
  apus_image *image;
} image_search;

static int image_holds(struct dl_phdr_info *info, size_t size, void *data) {
  image_search *search = data;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *header = &info->dlpi_phdr[i];
    if (header->p_type != PT_LOAD || search->address - (info->dlpi_addr + header->p_vaddr) >= header->p_memsz) continue;
    // The main program has no name in the dynamic linker's list.
    bool is_main = info->dlpi_name == NULL || info->dlpi_name[0] == 0;
    *search->image = (apus_image){.path = is_main ? (const char *)getauxval(AT_EXECFN) : info->dlpi_name,
                                  .base = info->dlpi_addr,
                                  .headers = info->dlpi_phdr,
                                  .header_count = info->dlpi_phnum,
                                  .tls = tls_of(info, size),
                                  .is_main = is_main};
    return 1;
  }
  return 0;
}

bool apus_find_image(uintptr_t address, apus_image *image) {
  image_search search = {address, image};
  return dl_iterate_phdr(image_holds, &search) == 1;
}

void apus_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
  out[0] = out[1] = out[2] = out[3] = 0;
#if defined(__x86_64__)
  __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
#else
  (void)leaf;
  (void)subleaf;
#endif
}


unsigned long apus_getauxval(unsigned long type) { return getauxval(type); }

extern char **environ;
char **apus_environ(void) { return environ; }

// libswiftCore's own functions, by the names that it exports for its concurrency library.
extern void swift_beginAccess(void *pointer, void *buffer, uintptr_t flags, void *pc);
extern void swift_endAccess(void *buffer);
extern void swift_task_enterThreadLocalContext(char *state) __attribute__((weak));
extern void swift_task_exitThreadLocalContext(char *state) __attribute__((weak));

void apus_begin_access(void *pointer, void *node) {
  // A tracked (0x20) modification (0x1): what an `inout` access to a class property does.
  swift_beginAccess(pointer, node, 0x21, NULL);
}

void apus_end_access(void *node) { swift_endAccess(node); }

void apus_exit_thread_local_context(uintptr_t state[2]) { swift_task_exitThreadLocalContext((char *)state); }

void apus_enter_thread_local_context(uintptr_t state[2]) { swift_task_enterThreadLocalContext((char *)state); }

size_t apus_tls_segment_size(const void *program_headers, uint16_t count) {
  const ElfW(Phdr) *headers = program_headers;
  for (uint16_t i = 0; i < count; i++)
    if (headers[i].p_type == PT_TLS) return headers[i].p_memsz;
  return 0;
}
