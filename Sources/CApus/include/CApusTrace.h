// The streams of the execution trace: what every thread writes of itself while a trace is on. When a session of tracing
// begins and ends, and what becomes of the bytes, is ApusRuntime/Trace's business.
//
// This half is C because the handler of the preemption signal writes events, too, and because nothing here may allocate
// in a debug build. The form of an event is that of Go's execution traces, version 2 (internal/trace/tracev2).
//
// ## Who writes a stream
//
// Every M has a stream. It belongs to the M's thread while that has a P, or has taken one off the lists, and is in the
// runtime (or in the handler, at a point where it is not): and to whoever holds `Sched.lock` while the P is lost
// (APUS_P_LOST), since a thread without its P writes nothing before somebody who holds that lock, or the handler of a
// thread that leaves it its P, has given it another one. One more stream is nobody's: threads without a P write there,
// under `Sched.lock`, which goroutines they have made ready.
//
// A session begins, passes to the next generation, and ends while the world stands still, under `Sched.lock`: nobody is in
// the middle of an event then.
//
// ## What the reader believes
//
// The reader of a trace rejects a goroutine that runs without having been made ready, or a P in two hands. So each stream
// notes which P and which goroutine the reader has on that thread, and each goroutine and each P has a word: the
// generation in which it was mentioned last, its number in its own sequence of events, and the state in which the reader
// has it. Before something happens to a goroutine of which the reader knows too little, that is told first: a
// goroutine that a thread without a P has spawned is created in the eyes of the reader when it first runs, and one that
// such a thread made ready just when the trace began is said to be ready then.
#ifndef CAPUS_TRACE_H
#define CAPUS_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "CApusLayout.h"

/// Events of one thread in a row (a batch), or of the stream that is nobody's. From the kernel, and given back by whoever
/// writes them to the file.
typedef struct apus_trace_buffer {
  /// The one that was full before this one.
  struct apus_trace_buffer *link;
  uint64_t stream;
  uint64_t generation;
  /// From which the times of the events count, in nanoseconds.
  uint64_t time;
  size_t size;
  uint8_t bytes[];
} apus_trace_buffer;

/// The size of a buffer with its head: a batch of the format has at most as many bytes.
#define APUS_TRACE_BUFFER ((size_t)65536)

typedef struct apus_trace_stream {
  /// By which the reader knows the thread.
  uint64_t id;
  apus_trace_buffer *buffer;
  uint8_t *next;
  uint8_t *end;
  /// The time of the last event.
  uint64_t last;
  /// The P and the goroutine that the reader has on this thread, and whether it has the goroutine in the kernel.
  apus_p_head *p;
  apus_g_head *g;
  bool in_syscall;
  /// The reader has the P sweeping: since then bytes of so many blocks were looked at, and so many are free again.
  bool sweeps;
  uint64_t swept;
  uint64_t reclaimed;
  /// Memory for what events of this generation refer to.
  uint8_t *arena;
  uint8_t *arena_end;
  uint64_t arena_generation;
} apus_trace_stream;

/// A stack that events of a generation refer to.
typedef struct apus_trace_stack {
  struct apus_trace_stack *link;
  uint64_t hash;
  uint32_t id;
  uint32_t count;
  /// Addresses inside instructions, innermost first. Of a new goroutine: what it begins with, perhaps, and where it was
  /// spawned.
  uintptr_t pcs[];
} apus_trace_stack;

/// A text of the program that events of a generation refer to.
typedef struct apus_trace_text {
  struct apus_trace_text *link;
  uint64_t hash;
  uint64_t id;
  uint32_t count;
  char bytes[];
} apus_trace_text;

/// The longest text of the format.
#define APUS_TRACE_TEXT 1024

#define APUS_TRACE_DEPTH 64
#define APUS_TRACE_BUCKETS 4096

/// The states of a goroutine in the eyes of the reader; the numbers are the format's.
enum { APUS_TRACE_RUNNABLE = 1, APUS_TRACE_RUNNING = 2, APUS_TRACE_SYSCALL = 3, APUS_TRACE_WAITING = 4 };
/// Those of a P.
enum { APUS_TRACE_P_RUNNING = 1, APUS_TRACE_P_IDLE = 2, APUS_TRACE_P_SYSCALL = 3 };

/// The numbers of the strings that events refer to; the strings stand in ApusRuntime/Trace/TraceStrings.swift.
enum {
  /// Added to a `WaitReason`.
  APUS_TRACE_STRING_BLOCK = 1,
  APUS_TRACE_STRING_YIELD = 64,
  APUS_TRACE_STRING_PREEMPTED = 65,
  /// Added to a reason of `StopTheWorld`.
  APUS_TRACE_STRING_STOP = 80,
  /// The first that a generation gives out: to texts of the program, and the next one to names of functions and files, in
  /// turn.
  APUS_TRACE_STRING_FIRST = 128,
};

/// Not zero while a trace is on. Written while the world stands still. Hidden: one instruction compares it.
extern uint32_t apus_trace_flag __attribute__((visibility("hidden")));

/// The one test that tracing costs while it is off.
static inline __attribute__((always_inline)) bool apus_trace_is_on(void) {
  return __builtin_expect(__atomic_load_n(&apus_trace_flag, __ATOMIC_RELAXED) != 0, 0);
}

// MARK: hooks. `m` is the calling thread's and has a P, except where it says otherwise.

/// `m` has taken `p`, or lets it go.
void apus_trace_proc_start(apus_m *m, apus_p_head *p);
void apus_trace_proc_stop(apus_m *m);
/// `g` runs on `m` from now on. `creation` and `entry`: see `apus_trace_go_create`.
void apus_trace_go_start(apus_m *m, apus_g_head *g, uintptr_t creation, uintptr_t entry);
/// The current goroutine spawns `g`: `creation` is the return address there, `entry` the first word of what it is
/// to call, which may be a function.
void apus_trace_go_create(apus_m *m, apus_g_head *g, uintptr_t creation, uintptr_t entry);
/// The current goroutine waits, for what the string says; lets others run; has ended.
void apus_trace_go_block(apus_m *m, uint64_t reason);
void apus_trace_go_yield(apus_m *m);
void apus_trace_go_destroy(apus_m *m);
/// `g` waits no more.
void apus_trace_go_unblock(apus_m *m, apus_g_head *g);
/// The same by a thread without a P, under `Sched.lock`.
void apus_trace_go_unblock_by_nobody(apus_g_head *g);
/// A region that was said to block begins or ends.
void apus_trace_syscall_begin(apus_m *m);
void apus_trace_syscall_end(apus_m *m);
/// The goroutine stops the world, for what the string says, or has started it.
void apus_trace_stop_begin(apus_m *m, uint64_t reason);
void apus_trace_stop_end(apus_m *m);
/// How many Ps there are.
void apus_trace_procs_change(apus_m *m, uint64_t count);

// Of the collector (trace_collections.c).
/// A cycle begins or ends. Nobody else can stop the world meanwhile.
void apus_trace_gc_begin(apus_m *m);
void apus_trace_gc_end(apus_m *m);
/// The current goroutine begins to help the collector, or has helped.
void apus_trace_assist_begin(apus_m *m);
void apus_trace_assist_end(apus_m *m);
/// A block is about to be swept; so many bytes were looked at, and so many are free again; the P goes on to other things.
void apus_trace_sweep_begin(apus_m *m);
void apus_trace_sweep_count(apus_m *m, uint64_t swept, uint64_t reclaimed);
void apus_trace_sweep_end(apus_m *m);
/// The bytes of objects, and how many there may be when the next cycle ends.
void apus_trace_heap_alloc(apus_m *m, uint64_t bytes);
void apus_trace_heap_goal(apus_m *m, uint64_t bytes);

// Of the program itself (trace_annotations.c): the current goroutine begins or ends a task or a region of one, or says
// something. A task is known by its number, which is never used again; 0 is none.
void apus_trace_task_begin(apus_m *m, uint64_t task, uint64_t parent, const char *name, size_t length);
void apus_trace_task_end(apus_m *m, uint64_t task);
void apus_trace_region_begin(apus_m *m, uint64_t task, const char *name, size_t length);
void apus_trace_region_end(apus_m *m, uint64_t task, const char *name, size_t length);
void apus_trace_log(
    apus_m *m, uint64_t task, const char *category, size_t category_length, const char *message, size_t length);

// Under `Sched.lock`, of another thread or the caller: one that has lost its P.
/// The P of `m` has just been taken, while its thread slept in the kernel.
void apus_trace_robbed(apus_m *m);
/// The thread of `m`, which has a goroutine and no P, waits for one from now on.
void apus_trace_queued(apus_m *m);
/// `m` is given `p`, and goes on with its goroutine. Also of itself, when it has the P from a handler.
void apus_trace_given(apus_m *m, apus_p_head *p);
/// `m` is stopped with its P while the world stands still, and loses it.
void apus_trace_detached(apus_m *m);

// In the handler.
/// The goroutine is stopped where `ucontext` says, or, where that is NULL, where it has left the runtime, by the `frame` of
/// `apus_preempt_pending`'s callee; its P goes to somebody else.
void apus_trace_preempted(apus_m *m, uintptr_t frame, const void *ucontext);

/// The trace's word of `g` moves from its record, where it lies while there is no stack, to the top of the stack that it
/// is about to be bound to; or to the one that it takes over.
void apus_trace_bind(apus_g_head *g, uintptr_t stack_hi);

// MARK: sessions. While the world stands still, under `Sched.lock`.

/// Begins a session: a new generation, in which nothing is known. It has no events: what is adopted in it is told in the
/// next.
void apus_trace_begin(void);
/// What is left in the stream of `m` of an earlier session is forgotten.
void apus_trace_forget(apus_m *m);
/// What the reader is told of a goroutine that was there before the session: `g` has the state.
void apus_trace_adopt(apus_g_head *g, uint32_t state);
/// The same of what `m` has: `p` may be NULL, then the goroutine is in the kernel.
void apus_trace_adopt_running(apus_m *m, apus_p_head *p, apus_g_head *g);
/// Begins the next generation.
void apus_trace_advance(void);
/// Says in the new generation what `m` has, if anything. `caller`: the calling thread's.
void apus_trace_status_of_thread(apus_m *m, const apus_m *caller);
/// Says that of a P that nobody has, and of a goroutine that is on no thread, if the reader knows it.
void apus_trace_status_of_p(apus_p_head *p);
void apus_trace_status_of_g(apus_g_head *g);
/// Whether the reader has a goroutine running on `m`.
bool apus_trace_has_running(const apus_m *m);
/// What the reader is told of the collector when a session begins: whether a cycle is on.
void apus_trace_adopt_collection(bool is_on);
/// Whether the reader has a cycle under way: then a generation has to say so, on a thread that has a goroutine running.
bool apus_trace_has_collection(void);
/// Says so, in the stream of `m`. NULL: in nobody's, which is possible in a session's first generation only.
void apus_trace_status_of_collection(apus_m *m);
/// Hands the unfinished buffer of `m`, or of nobody's stream, to those that are full.
void apus_trace_flush(apus_m *m);
void apus_trace_flush_nobodys(void);

/// Tracing is on or off from now on.
void apus_trace_switch(bool is_on);

/// The generation.
uint64_t apus_trace_generation(void);
/// Whether an event was lost, since the kernel gave no memory.
bool apus_trace_has_lost(void);

// MARK: the thread that writes the file.

/// The buffers that are full, oldest first, which are the caller's now.
apus_trace_buffer *apus_trace_take_full(void);
/// Gives a buffer back.
void apus_trace_free(apus_trace_buffer *buffer);
/// Sleeps until there may be a full buffer, or `apus_trace_wake_writer`; for so many nanoseconds at most, if not below zero.
void apus_trace_wait(int64_t nanoseconds);
void apus_trace_wake_writer(void);
/// A bucket of a generation's table of stacks, or of texts.
apus_trace_stack *apus_trace_stacks(uint64_t generation, size_t bucket);
apus_trace_text *apus_trace_texts(uint64_t generation, size_t bucket);
static inline uintptr_t *apus_trace_stack_pcs(apus_trace_stack *stack) { return stack->pcs; }
static inline const char *apus_trace_text_bytes(const apus_trace_text *text) { return text->bytes; }
static inline uint8_t *apus_trace_buffer_bytes(apus_trace_buffer *buffer) { return buffer->bytes; }
/// Has `end` called by `exit`; once, however often it is asked for. For whoever has begun a session.
void apus_trace_end_at_exit(void (*end)(void));
/// Empties a generation's tables when it is over and nobody can refer to them: before the next but one begins.
void apus_trace_drop_tables(uint64_t generation);

#endif
