#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
/* after sys/socket.h, which it needs */
#include <linux/vm_sockets.h>

#include "agent.h"

#define PORT_NAME "org.supermachine.agent"
#define CONSOLE_DEADLINE_MS 10000

static enum { CONSOLE, LISTENER, GIVEN } kind;

static void accept_connection(struct source *source, uint32_t events);
static void knock_answered(struct source *source, uint32_t events);
static struct source listener = {.fd = -1, .ready = accept_connection};
static struct source knock = {.fd = -1, .ready = knock_answered};

/* The virtio-console port whose name the host gave it: /sys/class/virtio-ports/vport0p1/name */
static bool find_port(char *path, size_t size) {
  DIR *ports = opendir("/sys/class/virtio-ports");
  if (!ports) return false;
  bool found = false;
  struct dirent *entry;
  while (!found && (entry = readdir(ports))) {
    char name[300], text[64] = "";
    snprintf(name, sizeof name, "/sys/class/virtio-ports/%s/name", entry->d_name);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) continue;
    text[strcspn(text, "\n")] = 0;
    found = strcmp(text, PORT_NAME) == 0;
    if (found) snprintf(path, size, "/dev/%s", entry->d_name);
  }
  closedir(ports);
  return found;
}

static void open_console(void) {
  char path[300];
  int64_t deadline = now_ms() + CONSOLE_DEADLINE_MS;
  while (!find_port(path, sizeof path)) {
    if (now_ms() > deadline) fatal("there is no virtio-console port named " PORT_NAME);
    usleep(2000);
  }
  int fd;
  while ((fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)) < 0) {
    if (now_ms() > deadline) fatal("cannot open %s: %s", path, strerror(errno));
    usleep(2000);
  }
  connection_open(fd, true);
}

/* The kernel sends no further ahead than its own buffer reaches, whatever the host could take. */
static int vsock_socket(void) {
  int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fd;
  uint64_t bytes = INITIAL_CREDIT;
  setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE, &bytes, sizeof bytes);
  setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &bytes, sizeof bytes);
  return fd;
}

static void open_vsock(unsigned port) {
  struct sockaddr_vm any = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
  listener.fd = vsock_socket();
  if (listener.fd < 0 || bind(listener.fd, (struct sockaddr *)&any, sizeof any) < 0 || listen(listener.fd, 8) < 0 ||
      watch(&listener, EPOLLIN) < 0)
    fatal("cannot listen on vsock port %u: %s", port, strerror(errno));
  struct sockaddr_vm host = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = port};
  knock.fd = vsock_socket();
  if (knock.fd < 0) return;
  int result = connect(knock.fd, (struct sockaddr *)&host, sizeof host);
  if ((result < 0 && errno != EINPROGRESS) || watch(&knock, EPOLLOUT) < 0) close_source(&knock);
}

static void open_unix(const char *path) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
  listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener.fd < 0 || bind(listener.fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener.fd, 8) < 0 ||
      watch(&listener, EPOLLIN) < 0)
    fatal("cannot listen at %s: %s", path, strerror(errno));
}

void open_transport(const char *where) {
  if (strcmp(where, "console") == 0) {
    kind = CONSOLE;
    open_console();
  } else if (strncmp(where, "vsock:", 6) == 0) {
    kind = LISTENER;
    open_vsock((unsigned)strtoul(where + 6, NULL, 10));
  } else if (strncmp(where, "unix:", 5) == 0) {
    kind = LISTENER;
    open_unix(where + 5);
  } else if (strncmp(where, "fd:", 3) == 0) {
    kind = GIVEN;
    int fd = atoi(where + 3);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    connection_open(fd, false);
  } else {
    fatal("supermachine.agent=%s is not understood", where);
  }
}

void transport_lost(void) {
  if (kind == CONSOLE) {
    /* The port stays open: the next host simply starts to talk on it. */
    connection_reset();
    return;
  }
  connection_close();
  if (kind == GIVEN) exit(0);
}

static void accept_connection(struct source *source, uint32_t events) {
  (void)events;
  int fd;
  while ((fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
    close_source(&knock);
    connection_open(fd, false);
  }
}

static void knock_answered(struct source *source, uint32_t events) {
  (void)events;
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error == 0) {
    int fd = fcntl(source->fd, F_DUPFD_CLOEXEC, 10);
    if (fd >= 0) connection_open(fd, false);
  }
  close_source(source);
}
