// What the parts of CApus that handle signals have in common.
#ifndef CAPUS_SIGNALS_H
#define CAPUS_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

static inline uint64_t apus_signal_bit(int signal) { return (uint64_t)1 << (signal - 1); }

/// rt_sigprocmask(2) with the kernel's mask of 8 bytes: libc's 128 would not fit the words that callers keep, and libc
/// hides its own signals.
long apus_signal_mask_change(int how, const uint64_t *mask, uint64_t *old);

/// A preemption signal came with this: a request of another process (attach.c) is noted.
void apus_attach_note(const siginfo_t *info);

/// What a reporter blocks.
uint64_t apus_report_mask(void);
/// Whether the calling thread is the reporter.
bool apus_is_reporter(void);
/// `apus_report_claim` for a handler, whose thread has everything blocked already.
void apus_report_claim_blocked(void);
/// What a thread does that comes to the end of the process and is not to end it: nothing any more.
void apus_report_wait_for_the_end(void) __attribute__((noreturn));
/// Whether the calling thread, in a handler, notes its frames for a report (ask.c); and what it does if that faults.
bool apus_is_answering(void);
void apus_answer_failed(void) __attribute__((noreturn));
/// The report on this thread has faulted or hangs: goes on where a guarded call was made, or ends the process.
void apus_report_failed(void) __attribute__((noreturn));

#endif
