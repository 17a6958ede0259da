// Takes stacks off their pages and brings them back. Everything here may run in a signal handler: it calls nothing but
// the kernel and takes no lock. Who has a stack in hand says so in the stack's word.
//
// Other threads may touch a stack at any moment, by a pointer that they were given: what they write is not lost, and
// what they read is what is there. So a page is not accessible while it does not have its content. A stack comes back in one
// step where the system can do that (userfault.c): its page is there, filled, or its guard is. Else, and while a page is copied
// and guarded, it is in a mapping of its own that nobody may access.
// (To install a guard is two steps in the kernel, too: it drops the page first, and who reads it then reads zeros.) Whoever
// meets it faults, and waits in the handler until the word says that it is over. The content goes by way of
// /proc/self/mem, for which the protection does not count. There is one exception: where the kernel has neither a mapping
// nor a descriptor left when a stack comes back, its page is opened first and filled then (`put_back_by_steps`). The
// goroutine has to go on; who touches its stack between the two steps reads zeros, or loses what it writes.
//
// Whoever has a stack in hand (TAKING, RESTORING) takes no signal meanwhile, and waits for nobody: those who meet it wait
// for that thread, some in handlers, some with the scheduler's promise that they cannot be stopped. The handler of the
// preemption signal would stop it with the world, which would then wait for those; and any handler that touches the same
// stack would wait for its own thread.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "CApus.h"
#include "../Signals/CApusSignals.h"
#include "CApusShelfSlots.h"
#include "CApusUserfault.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define STATE ((uintptr_t)3)

static uintptr_t page_size;
static _Atomic(apus_shelf_record *) brought_back;
static _Atomic uint64_t taken, restored, filled, faults;

/// The record of a stack that is away; the word is the caller's.
static apus_shelf_record *record_in(const uintptr_t *word) {
  return (apus_shelf_record *)(apus_shelf_load(word) & ~STATE);
}

static void *bytes_of(apus_shelf_record *record) { return record + 1; }

static bool protect(uintptr_t from, uintptr_t to, int protection) {
  return syscall(SYS_mprotect, from, to - from, protection) == 0;
}

/// Makes the pages what they were. That joins mappings, so the limit of mappings does not stand against it; the kernel may
/// be short of memory for a moment.
static void open_again(uintptr_t from, uintptr_t to) {
  while (!protect(from, to, PROT_READ | PROT_WRITE)) syscall(SYS_sched_yield);
}

static bool fill(int file, uintptr_t to, const void *bytes, size_t size) {
  return syscall(SYS_pwrite64, file, bytes, size, to) == (long)size;
}

/// The memory of the calling process: opened anew each time, since a child that is forked has one of its own, and since a
/// program may close descriptors that it does not know.
static int open_memory(void) { return (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDWR | O_CLOEXEC); }

static bool read_bytes(int file, uintptr_t from, void *bytes, size_t size) {
  return syscall(SYS_pread64, file, bytes, size, from) == (long)size;
}

uint64_t apus_shelf_hold_signals(void) {
  // But those by which a thread tells of its own faults: the kernel kills who has them blocked.
  uint64_t mask = ~(apus_signal_bit(SIGSEGV) | apus_signal_bit(SIGBUS) | apus_signal_bit(SIGILL) |
                    apus_signal_bit(SIGTRAP) | apus_signal_bit(SIGFPE));
  uint64_t old = 0;
  apus_signal_mask_change(SIG_BLOCK, &mask, &old);
  return old;
}

void apus_shelf_let_signals(uint64_t mask) { apus_signal_mask_change(SIG_SETMASK, &mask, NULL); }

bool apus_shelf_fills(void) { return apus_userfault_is_open(); }

int apus_shelf_open(size_t size, bool may_fill) {
  page_size = size;
  int memory = open_memory();
  if (memory < 0) return -errno;
  void *probe = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (probe == MAP_FAILED) {
    close(memory);
    return -ENOMEM;
  }
  uintptr_t address = (uintptr_t)probe;
  const char sample = 42;
  char copy = 0;
  bool works = madvise(probe, size, APUS_MADV_GUARD_INSTALL) == 0 && madvise(probe, size, APUS_MADV_GUARD_REMOVE) == 0 &&
               fill(memory, address + size - 1, &sample, 1) && read_bytes(memory, address + size - 1, &copy, 1) &&
               copy == sample;
  munmap(probe, size);
  close(memory);
  if (!works) return -ENOSYS;
  if (may_fill) apus_userfault_open(size);
  return 0;
}

/// Makes the page of `top`, on which there is a guard or a part of one, an ordinary page; so far it is empty.
static void take_guard(uintptr_t top) {
  while (apus_madvise((void *)(top - page_size), page_size, APUS_MADV_GUARD_REMOVE) != 0) syscall(SYS_sched_yield);
}

/// One advice for the same part of many stacks. False where the kernel did not do all of it in one call.
static bool advise_all(const uintptr_t *ranges, size_t count, int advice) {
  uintptr_t sum = 0;
  for (size_t i = 0; i < count; i++) sum += ranges[2 * i + 1];
  return apus_process_madvise(ranges, count, advice) == (int64_t)sum;
}

static void push(apus_shelf_record *record) {
  apus_shelf_record *first = atomic_load_explicit(&brought_back, memory_order_relaxed);
  do record->next = first;
  while (!atomic_compare_exchange_weak_explicit(&brought_back, &first, record, memory_order_release,
                                                memory_order_relaxed));
}

apus_shelf_record *apus_shelf_take_records(void) {
  return atomic_exchange_explicit(&brought_back, NULL, memory_order_acquire);
}

size_t apus_shelf_take(apus_shelf_entry *entries, size_t count) {
  uintptr_t tops[APUS_SHELF_BATCH], ranges[2 * APUS_SHELF_BATCH];
  bool is_closed[APUS_SHELF_BATCH];
  for (size_t i = 0; i < count; i++) tops[i] = entries[i].top;
  int memory = open_memory();
  for (size_t i = 0, n; i < count; i += n) {
    n = apus_shelf_neighbours(tops + i, count - i);
    bool closed = memory >= 0 && protect(tops[i] - page_size, tops[i + n - 1], PROT_NONE);
    for (size_t j = i; j < i + n; j++) is_closed[j] = closed;
  }
  // What lies deeper is in no frame any more: it goes back to the kernel.
  for (size_t i = 0; i < count; i++) {
    ranges[2 * i] = apus_shelf_bottom(tops[i]);
    ranges[2 * i + 1] = tops[i] - page_size - ranges[2 * i];
  }
  (void)apus_process_madvise(ranges, count, APUS_MADV_DONTNEED);
  size_t closed = 0;
  for (size_t i = 0; i < count; i++) {
    apus_shelf_record *record = entries[i].record;
    is_closed[i] = is_closed[i] && read_bytes(memory, record->sp, bytes_of(record), record->size);
    if (!is_closed[i]) continue;
    ranges[2 * closed] = tops[i] - page_size;
    ranges[2 * closed + 1] = page_size;
    closed++;
  }
  bool all = advise_all(ranges, closed, APUS_MADV_GUARD_INSTALL);
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    if (is_closed[i] && !all &&
        apus_madvise((void *)(tops[i] - page_size), page_size, APUS_MADV_GUARD_INSTALL) != 0) {
      // It may have dropped the page before it failed, whether there is a guard by now or not.
      apus_shelf_record *record = entries[i].record;
      take_guard(tops[i]);
      while (!fill(memory, record->sp, bytes_of(record), record->size)) syscall(SYS_sched_yield);
      is_closed[i] = false;
    }
    kept += is_closed[i];
  }
  for (size_t i = 0, n; i < count; i += n) {
    n = apus_shelf_neighbours(tops + i, count - i);
    open_again(tops[i] - page_size, tops[i + n - 1]);
  }
  if (memory >= 0) syscall(SYS_close, memory);
  for (size_t i = 0; i < count; i++) {
    if (!is_closed[i]) entries[i].top = 0;
    apus_shelf_store(entries[i].word, is_closed[i] ? (uintptr_t)entries[i].record | APUS_SHELF_KEPT : APUS_SHELF_NONE);
  }
  atomic_fetch_add_explicit(&taken, kept, memory_order_relaxed);
  return kept;
}

/// The stack with this word is where it belongs.
static void finish(uintptr_t *word) {
  apus_shelf_record *record = record_in(word);
  apus_shelf_store(word, APUS_SHELF_NONE);
  push(record);
}

/// Brings back stacks by filling their pages, one by one. Those that could not be are left in `tops`; how many.
static size_t put_back_filled(uintptr_t *tops, size_t count) {
  size_t left = 0;
  for (size_t i = 0; i < count; i++) {
    uintptr_t *word = apus_shelf_word(tops[i] - 1);
    apus_shelf_record *record = record_in(word);
    if (apus_userfault_fill(tops[i], bytes_of(record), record->size))
      finish(word);
    else
      tops[left++] = tops[i];
  }
  atomic_fetch_add_explicit(&filled, count - left, memory_order_relaxed);
  return left;
}

/// The same where pages cannot be filled in one step: all at once, while nobody may access them.
static void put_back_by_steps(const uintptr_t *tops, size_t count) {
  uintptr_t ranges[2 * APUS_SHELF_BATCH];
  bool is_closed[APUS_SHELF_BATCH];
  for (size_t i = 0; i < count; i++) {
    ranges[2 * i] = tops[i] - page_size;
    ranges[2 * i + 1] = page_size;
  }
  int memory = open_memory();
  for (size_t i = 0, n; i < count; i += n) {
    n = apus_shelf_neighbours(tops + i, count - i);
    bool closed = protect(tops[i] - page_size, tops[i + n - 1], PROT_NONE);
    for (size_t j = i; j < i + n; j++) is_closed[j] = closed;
  }
  if (!advise_all(ranges, count, APUS_MADV_GUARD_REMOVE)) {
    for (size_t i = 0; i < count; i++) take_guard(tops[i]);
  }
  for (size_t i = 0, n; i < count; i += n) {
    n = apus_shelf_neighbours(tops + i, count - i);
    bool filled = is_closed[i];
    for (size_t j = i; j < i + n && filled; j++) {
      apus_shelf_record *record = record_in(apus_shelf_word(tops[j] - 1));
      filled = fill(memory, record->sp, bytes_of(record), record->size);
    }
    if (is_closed[i]) open_again(tops[i] - page_size, tops[i + n - 1]);
    // No mapping, descriptor or memory was to be had for it: a thread that touches the stack at this very moment is not kept out.
    for (size_t j = i; j < i + n && !filled; j++) {
      apus_shelf_record *record = record_in(apus_shelf_word(tops[j] - 1));
      memcpy((void *)record->sp, bytes_of(record), record->size);
    }
  }
  if (memory >= 0) syscall(SYS_close, memory);
  for (size_t i = 0; i < count; i++) finish(apus_shelf_word(tops[i] - 1));
}

/// Brings back stacks whose words are the caller's: RESTORING. `tops`, in ascending order, is used up.
static void put_back(uintptr_t *tops, size_t count) {
  // First: who finds a stack back finds it counted.
  atomic_fetch_add_explicit(&restored, count, memory_order_relaxed);
  size_t left = put_back_filled(tops, count);
  if (left > 0) put_back_by_steps(tops, left);
}

static bool claim(uintptr_t *word) {
  uintptr_t value = apus_shelf_load(word);
  return (value & STATE) == APUS_SHELF_KEPT &&
         __atomic_compare_exchange_n(word, &value, (value & ~STATE) | APUS_SHELF_RESTORING, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE);
}

static bool is_in_hand(const uintptr_t *word) {
  uintptr_t state = apus_shelf_load(word) & STATE;
  return state == APUS_SHELF_TAKING || state == APUS_SHELF_RESTORING;
}

/// Waits until nobody has the stack in hand. The caller has none in hand itself; whoever has it waits for nobody.
static void wait_for(const uintptr_t *word) {
  for (int i = 0; is_in_hand(word); i++) {
    if (i < 64)
      apus_spin_hint();
    else
      syscall(SYS_sched_yield);
  }
}

/// Claims of the stacks those that are kept, and brings them back; `tops` is in ascending order.
static void put_back_kept(const uintptr_t *tops, size_t count) {
  uintptr_t claimed[APUS_SHELF_BATCH];
  size_t n = 0;
  uint64_t mask = apus_shelf_hold_signals();
  for (size_t i = 0; i < count; i++)
    if (claim(apus_shelf_word(tops[i] - 1))) claimed[n++] = tops[i];
  if (n > 0) put_back(claimed, n);
  apus_shelf_let_signals(mask);
}

void apus_shelf_restore(uintptr_t *tops, size_t count) {
  for (size_t i = 1; i < count; i++) {
    uintptr_t top = tops[i];
    size_t j = i;
    for (; j > 0 && tops[j - 1] > top; j--) tops[j] = tops[j - 1];
    tops[j] = top;
  }
  put_back_kept(tops, count);
  for (size_t i = 0; i < count; i++) {
    uintptr_t *word = apus_shelf_word(tops[i] - 1);
    // One that the shelver had in hand may be kept now.
    while (apus_shelf_load(word) != APUS_SHELF_NONE) {
      put_back_kept(&tops[i], 1);
      wait_for(word);
    }
  }
}

apus_shelf_presence apus_shelf_restore_range(const void *address, size_t size) {
  apus_shelf_presence found = APUS_SHELF_NO_STACK;
  uintptr_t place = (uintptr_t)address, end = place + size, top;
  for (uintptr_t *word; place < end && (word = apus_shelf_slot(place, &top)) != NULL; place = top) {
    if (found == APUS_SHELF_NO_STACK) found = APUS_SHELF_IS_THERE;
    if (apus_shelf_load(word) == APUS_SHELF_NONE) continue;
    found = APUS_SHELF_WAS_AWAY;
    apus_shelf_restore((uintptr_t[]){top}, 1);
  }
  return found;
}

bool apus_shelf_call_again(apus_shelf_presence found, int *refusals) {
  switch (found) {
  case APUS_SHELF_NO_STACK:
    return false;
  case APUS_SHELF_IS_THERE:
    return (*refusals)++ == 0;
  case APUS_SHELF_WAS_AWAY:
    return true;
  }
  return false;
}

bool apus_shelf_handle_fault(uintptr_t address, uintptr_t pc) {
  uintptr_t top;
  uintptr_t *word = apus_shelf_slot(address, &top);
  if (word == NULL || page_size == 0) return false;
  if (is_in_hand(word)) {
    wait_for(word);
    return true;
  }
  if (address < top - page_size || address == pc) return false;
  // In the handler all signals are blocked, the preemption signal too (`apus_shelf_hold_signals`).
  if (claim(word)) {
    atomic_fetch_add_explicit(&faults, 1, memory_order_relaxed);
    put_back(&top, 1);
    return true;
  }
  if (apus_shelf_load(word) != APUS_SHELF_NONE) return true;
  // It was brought back between the fault and here, or that was not why. To touch it tells, unless it is taken again
  // meanwhile.
  for (int i = 0; i < 3; i++)
    if (apus_madvise((void *)(top - page_size), page_size, MADV_POPULATE_WRITE) == 0 ||
        apus_shelf_load(word) != APUS_SHELF_NONE)
      return true;
  return false;
}

const apus_shelf_record *apus_shelf_peek(uintptr_t top) {
  const uintptr_t *word = apus_shelf_word(top - 1);
  if (word == NULL) return NULL;
  uintptr_t value = apus_shelf_load(word);
  return (value & STATE) >= APUS_SHELF_KEPT ? (const apus_shelf_record *)(value & ~STATE) : NULL;
}

uintptr_t apus_shelf_borrow(uintptr_t top) {
  uintptr_t *word = apus_shelf_word(top - 1);
  if (word == NULL) return 0;
  while (!claim(word)) {
    if (apus_shelf_load(word) == APUS_SHELF_NONE) return 0;
    wait_for(word);
  }
  apus_shelf_record *record = record_in(word);
  return (uintptr_t)bytes_of(record) - record->sp;
}

void apus_shelf_give_back(uintptr_t top) {
  uintptr_t *word = apus_shelf_word(top - 1);
  apus_shelf_store(word, (apus_shelf_load(word) & ~STATE) | APUS_SHELF_KEPT);
}

uint64_t apus_shelf_taken(void) { return atomic_load_explicit(&taken, memory_order_relaxed); }
uint64_t apus_shelf_restored(void) { return atomic_load_explicit(&restored, memory_order_relaxed); }
uint64_t apus_shelf_filled(void) { return atomic_load_explicit(&filled, memory_order_relaxed); }
uint64_t apus_shelf_faults(void) { return atomic_load_explicit(&faults, memory_order_relaxed); }
