#define _GNU_SOURCE
#include "CAttach.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int attach_listen(uint64_t number) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int length = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, APUS_ATTACH_NAME,
                        (unsigned long long)number);
  int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener < 0) return -errno;
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
  if (bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 8) == 0) return listener;
  int error = errno;
  close(listener);
  return -error;
}

int attach_request(int32_t process, int32_t thread, uint64_t number) {
  siginfo_t info = {.si_signo = SIGURG, .si_code = SI_QUEUE};
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_ptr = (void *)(uintptr_t)number;
  return syscall(SYS_rt_tgsigqueueinfo, process, thread, SIGURG, &info) < 0 ? -errno : 0;
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

/// Waits until there is something to read, at `end` at the latest; 0 or a negative errno.
static int await(int fd, int64_t end) {
  for (;;) {
    int64_t left = end - now();
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    int count = poll(&wanted, 1, left < 0 ? 0 : left > 1000000 ? 1000000 : (int)left);
    if (count > 0) return 0;
    if (count < 0 && errno != EINTR) return -errno;
    if (now() >= end) return -EAGAIN;
  }
}

int attach_accept(int listener, int32_t process, int milliseconds) {
  int64_t end = now() + milliseconds;
  for (;;) {
    int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (connection >= 0) {
      struct ucred peer = {.pid = 0};
      socklen_t length = sizeof peer;
      if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid == process) return connection;
      close(connection);
      continue;
    }
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) return -errno;
    int error = await(listener, end);
    if (error != 0) return error;
  }
}

int attach_send(int connection, const void *bytes, size_t count, int passed) {
  struct iovec part = {(void *)bytes, count};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (passed >= 0) {
    memcpy(CMSG_DATA(&control.header), &passed, sizeof passed);
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
  }
  return sendmsg(connection, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

ptrdiff_t attach_receive(int connection, void *bytes, size_t size, int milliseconds) {
  int error = await(connection, now() + milliseconds);
  if (error != 0) return error;
  ssize_t count = recv(connection, bytes, size, 0);
  return count < 0 ? -errno : count;
}

void attach_finish(int connection) { shutdown(connection, SHUT_WR); }
