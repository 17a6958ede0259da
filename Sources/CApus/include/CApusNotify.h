// Signals that a program wants to be told of.
#ifndef CAPUS_NOTIFY_H
#define CAPUS_NOTIFY_H

#include <stdint.h>

/// From now on `signal` (1 to 64) sets its bit for `apus_signal_take`, and the eventfd `fd`, always the same, is written
/// to. What was to happen before is kept. 0 or a negative errno.
int apus_signal_notify(int signal, int fd);
/// `signal` does again what it did before `apus_signal_notify`. When this returns, its bit is not set any more.
void apus_signal_restore(int signal);
/// The signals that have come since the last call: bit n - 1 for signal n.
uint64_t apus_signal_take(void);

#endif
