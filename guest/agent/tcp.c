#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent.h"

static int begin(struct stream *s, int family) {
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(s->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(s->port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
  if (fd < 0) return errno;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  int result = family == AF_INET ? connect(fd, (struct sockaddr *)&v4, sizeof v4)
                                 : connect(fd, (struct sockaddr *)&v6, sizeof v6);
  if (result < 0 && errno != EINPROGRESS) {
    int error = errno;
    close(fd);
    return error;
  }
  s->connecting = true;
  s->input.is_socket = true;
  stream_attach(s, fd, -1, -1);
  return 0;
}

int start_connect(struct stream *s, uint16_t port) {
  s->port = port;
  int error = begin(s, AF_INET);
  return error == ECONNREFUSED ? begin(s, AF_INET6) : error;
}

/* The kernel has decided about the connection. */
void tcp_connected(struct stream *s, uint32_t events) {
  int error = 0, family = AF_INET;
  socklen_t size = sizeof error;
  if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) return;
  getsockopt(s->input.source.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  getsockopt(s->input.source.fd, SOL_SOCKET, SO_DOMAIN, &family, &size);
  s->connecting = false;
  if (error == ECONNREFUSED && family == AF_INET) {
    close_source(&s->input.source);
    if (begin(s, AF_INET6) == 0) return;
  }
  int output = error == 0 ? fcntl(s->input.source.fd, F_DUPFD_CLOEXEC, 0) : -1;
  if (output < 0) {
    stream_fail(s, FAIL_SYSTEM, error ? error : errno, "");
    return;
  }
  s->start_pending = true;
  stream_attach(s, -1, output, -1);
  s->outputs[0].readable = true;
  s->input.source.ready(&s->input.source, EPOLLOUT);
  stream_wake(s);
}
