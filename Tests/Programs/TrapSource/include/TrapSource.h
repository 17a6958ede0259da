// Traps that Swift cannot cause, or not without a check before them.
#ifndef TRAP_SOURCE_H
#define TRAP_SOURCE_H

/// SIGFPE when `b` is 0.
int trap_divide(int a, int b);
/// SIGBUS: reads a page of a file's mapping that lies behind the file's end.
void trap_bus(void);
/// SIGABRT, without a word of Swift's.
void trap_abort(void);
/// SIGSEGV at an address that does not exist on this processor; the kernel does not tell it.
void trap_wild(void);
/// SIGSEGV by calling NULL.
void trap_call_null(void);
/// From now on every call of malloc sleeps for ever, as if somebody held its lock.
void trap_block_malloc(void);
/// From now on every call of malloc by this thread faults, as if it had destroyed the heap. Others would fault by themselves, and
/// which failure comes first, and is reported, would be chance: the runtime's preparations beside `main` may still run.
void trap_break_malloc(void);
/// Until `trap_release_malloc`, calls of malloc in other threads wait, as if the calling thread held its lock.
void trap_hold_malloc(void);
void trap_release_malloc(void);
/// Whether anybody has ever done so.
int trap_malloc_was_held(void);
/// Starts a thread that holds the dynamic linker's lock for ever.
void trap_hold_loader(void);
/// Computes for so many milliseconds of the calling thread's CPU time.
void trap_compute(int milliseconds);
/// Computes for ever with a frame pointer that leads nowhere, and unwind tables that believe in it.
void trap_mislead(void);
/// Computes for ever in a function that no unwind tables know.
void trap_without_tables(void);
/// Has `signal` fault in its handler, on the signal stack, and raises it.
void trap_in_handler(int signal);
/// fork(); the child waits for a signal. Returns the child's id.
int trap_fork(void);
/// Makes standard error a pipe, and returns when the report of a trap has begun to come out of it. What came is copied
/// to the old one.
void trap_await_report(void);
/// Creates the pipe; before `trap_await_report`.
void trap_pipe_report(void);

#endif
