// What the command needs of the kernel to ask a running program, and Swift does not have: the other half of what
// CApusAttach.h says.
#ifndef CATTACH_H
#define CATTACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../../Sources/CApus/include/CApusAttach.h"

/// Listens at the name that belongs to `number`: a descriptor, or a negative errno.
int attach_listen(uint64_t number);
/// Sends the request to the thread that takes it: 0 or a negative errno.
int attach_request(int32_t process, int32_t thread, uint64_t number);
/// Waits for `process` to connect, and nobody else: a descriptor, -EAGAIN when the time has passed, or another negative
/// errno.
int attach_accept(int listener, int32_t process, int milliseconds);
/// Sends a message, with the descriptor `passed` unless that is -1: 0 or a negative errno.
int attach_send(int connection, const void *bytes, size_t count, int passed);
/// Waits for a message: its length; 0 when the other side has hung up, -EAGAIN when the time has passed, or another
/// negative errno.
ptrdiff_t attach_receive(int connection, void *bytes, size_t size, int milliseconds);
/// Says that nothing more will be sent.
void attach_finish(int connection);

#endif
