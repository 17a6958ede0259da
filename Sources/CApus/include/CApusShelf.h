// Stacks of goroutines that have waited for long, kept elsewhere (ApusRuntime/Stacks/Shelf.swift).
#ifndef CAPUS_SHELF_H
#define CAPUS_SHELF_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// What a word of `apus_shelf_word` says in its lowest bits; above them is the address of the record.
enum {
  /// The stack is where it belongs.
  APUS_SHELF_NONE = 0,
  /// The shelver works on it: it may still change its mind.
  APUS_SHELF_TAKING = 1,
  /// The stack's topmost page is guarded, and what was in use of it is in the record.
  APUS_SHELF_KEPT = 2,
  /// Somebody brings it back.
  APUS_SHELF_RESTORING = 3,
};

/// How many stacks are taken or brought back at once at the most.
#define APUS_SHELF_BATCH 128
/// The most bytes in use that a stack may have to be taken: they lie in one page, and with more there is little to be had.
#define APUS_SHELF_LIMIT 3072

/// What was in use of a stack: `size` bytes follow, from `sp` up to the stack's top. Aligned by 64.
typedef struct apus_shelf_record {
  /// The next in the list that holds it: brought back, or free.
  struct apus_shelf_record *next;
  uintptr_t sp;
  uint64_t size;
} apus_shelf_record;

/// A stack that is to be taken: the word says so already.
typedef struct apus_shelf_entry {
  uintptr_t top;
  uintptr_t *word;
  apus_shelf_record *record;
} apus_shelf_entry;

/// Tries out whether the kernel can do what is needed, on a page of its own; 0 or a negative errno. Once, before anything
/// else here. Stacks are brought back in one step each (userfaultfd) where `may_fill` and the system allow it.
int apus_shelf_open(size_t page_size, bool may_fill);
/// Whether stacks are brought back in one step each, by several threads at once; else in some steps, for which two threads
/// take longer than one, and neighbours together half as long as one by one.
bool apus_shelf_fills(void);
/// Whether a fault in a stack would come to us: nobody has put another handler in place of ours.
bool apus_shelf_is_guarded(void);
/// Makes a reservation of stacks known: `capacity` slots of `slot_size` bytes, each with its stack at its end. Not two
/// calls at a time. False when there is no room or no memory.
bool apus_shelf_add_region(uintptr_t base, uintptr_t slot_size, uintptr_t capacity);
/// The word of the slot in which `address` lies, NULL where there is none.
uintptr_t *apus_shelf_word(uintptr_t address);

/// Takes the stacks of `entries`, which are in ascending order, off their pages; the number of those that it has taken. The
/// word of each says KEPT then, until somebody brings it back. Where the kernel would not it says NONE, and the entry has no
/// `top` any more.
size_t apus_shelf_take(apus_shelf_entry *entries, size_t count);
/// Brings back, of the stacks with these tops, those that are kept, and waits for those that others have in hand: all are
/// where they belong then. `tops` is sorted on the way.
void apus_shelf_restore(uintptr_t *tops, size_t count);

/// What `apus_shelf_restore_range` has found.
typedef enum apus_shelf_presence {
  /// Stacks are elsewhere.
  APUS_SHELF_NO_STACK,
  /// All are where they belong; maybe since a moment ago, by another thread.
  APUS_SHELF_IS_THERE,
  /// There was one that was not, and is now.
  APUS_SHELF_WAS_AWAY,
} apus_shelf_presence;

/// The same for every stack that `size` bytes at `address` touch.
apus_shelf_presence apus_shelf_restore_range(const void *address, size_t size);
/// Whether a system call that was refused its memory, where this was found, is to be made again. Where all is there
/// another thread may have brought it back after the refusal; or the address is a bad one, like a stack's guard, and so the
/// next refusal counts. `refusals` is 0 at first.
bool apus_shelf_call_again(apus_shelf_presence found, int *refusals);
/// Has the calling thread take no signal, but those of its own faults, until `apus_shelf_let_signals` is given what this
/// returns. Around everything between a claim and its end.
uint64_t apus_shelf_hold_signals(void);
void apus_shelf_let_signals(uint64_t mask);
/// Whether a fault at `address`, by the instruction at `pc`, was due to a stack that was away, and is no more.
bool apus_shelf_handle_fault(uintptr_t address, uintptr_t pc);

/// The record of the stack with top `top` while it is kept or being brought back, else NULL. It stays as it is until the
/// shelver reuses it.
const apus_shelf_record *apus_shelf_peek(uintptr_t top);
/// For whoever changes something on a stack while its goroutine waits, in one place or another: where the stack with top `top`
/// is kept elsewhere, what has to be added to its addresses; nobody brings it back until `apus_shelf_give_back`. 0 where it
/// is where it belongs, and nothing has to be given back. The caller holds signals (`apus_shelf_hold_signals`).
uintptr_t apus_shelf_borrow(uintptr_t top);
void apus_shelf_give_back(uintptr_t top);
/// Takes the records of all stacks that were brought back, linked by `next`.
apus_shelf_record *apus_shelf_take_records(void);

/// How many stacks were taken so far, how many brought back, how many of these in one step, and how many by the handler.
uint64_t apus_shelf_taken(void);
uint64_t apus_shelf_restored(void);
uint64_t apus_shelf_filled(void);
uint64_t apus_shelf_faults(void);

/// What the system call `call` has returned, below zero with `errno` if it has failed. While that is EFAULT, `restore` brings
/// back the stacks on which the call's memory lies, and the call is made again where that may help (`apus_shelf_call_again`).
#define APUS_SHELF_REPEATED(call, restore)                                                              \
  ({                                                                                                    \
    long result_;                                                                                       \
    int refusals_ = 0;                                                                                  \
    do result_ = (call);                                                                                \
    while (result_ < 0 && errno == EFAULT && apus_shelf_call_again((restore), &refusals_));             \
    result_;                                                                                            \
  })

/// A word of `apus_shelf_word`, by the shelver.
static inline uintptr_t apus_shelf_load(const uintptr_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline void apus_shelf_store(uintptr_t *word, uintptr_t value) {
  __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

#endif
