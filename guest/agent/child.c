/* Child processes: pipes or a terminal, and a report. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"

#define PIPE_BYTES 262144

void kill_children(struct stream *s, bool command) {
  if (command) {
    if (s->group && group_kill(s->group)) return;
    if (!s->reaped) kill(-s->pid, SIGKILL);
  } else if (!s->reaped) {
    /* A file operation clears away what it has half written. */
    kill(s->pid, SIGTERM);
  }
}

struct ends {
  int child[3], ours[3]; /* input, output, error output; -1: none */
  int report_child, report_ours;
};

static void close_ends(struct ends *ends) {
  int *all = (int *)ends;
  for (size_t i = 0; i < sizeof *ends / sizeof *all; i++)
    if (all[i] >= 0) close(all[i]);
}

static int make_pipe(int *reader, int *writer, int ours_is_reader) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) < 0) return -1;
  *reader = fds[0];
  *writer = fds[1];
  fcntl(fds[0], F_SETPIPE_SZ, PIPE_BYTES);
  return fcntl(ours_is_reader ? fds[0] : fds[1], F_SETFL, O_NONBLOCK);
}

static int make_terminal(struct ends *ends, struct stream *s, const struct child_body *body) {
  int unlock = 0;
  struct winsize size = {.ws_row = body->rows, .ws_col = body->columns};
  int master = openat(agent.pts_dir, "ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (master < 0) return -1;
  ends->ours[1] = master;
  if (ioctl(master, TIOCSPTLCK, &unlock) < 0) return -1;
  ends->child[0] = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (ends->child[0] < 0) return -1;
  ioctl(master, TIOCSWINSZ, &size);
  s->terminal = fcntl(master, F_DUPFD_CLOEXEC, 0);
  if (body->input) ends->ours[0] = fcntl(master, F_DUPFD_CLOEXEC, 0);
  s->input.is_terminal = true;
  return 0;
}

static int make_ends(struct ends *ends, struct stream *s, const struct child_body *body) {
  if (make_pipe(&ends->report_ours, &ends->report_child, 1) < 0) return -1;
  if (body->terminal) return make_terminal(ends, s, body);
  if (body->input && make_pipe(&ends->child[0], &ends->ours[0], 0) < 0) return -1;
  if (make_pipe(&ends->ours[1], &ends->child[1], 1) < 0) return -1;
  return body->error_output ? make_pipe(&ends->ours[2], &ends->child[2], 1) : 0;
}

static void become_child(struct stream *s, const struct child_body *body, const struct ends *ends) {
  sigset_t none;
  sigemptyset(&none);
  signal(SIGPIPE, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (body->use_cgroup) {
    setsid();
    cgroup_enter_namespace();
  }
  for (int fd = 0; fd < 3; fd++) {
    if (fd == 2 && body->complains) continue;
    int from = body->terminal ? ends->child[0] : ends->child[fd];
    if (fd == 0 && body->file) from = body->file;
    if (dup2(from >= 0 ? from : agent.dev_null, fd) < 0) _exit(127);
  }
  if (body->terminal) ioctl(0, TIOCSCTTY, 0);
  dup2(ends->report_child, REPORT_FD);
  fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC);
  syscall(SYS_close_range, REPORT_FD + 1, ~0U, 0);
  _exit(body->run(s, body->context));
}

int start_child(struct stream *s, const struct child_body *body) {
  struct ends ends = {{-1, -1, -1}, {-1, -1, -1}, -1, -1};
  if (make_ends(&ends, s, body) < 0) {
    int error = errno;
    close_ends(&ends);
    return error;
  }
  /* No command without its group: it would run on while everything is frozen. */
  int error = body->use_cgroup ? group_take(&s->group) : 0;
  pid_t pid = error ? -1 : group_fork(s->group);
  if (pid == 0) become_child(s, body, &ends);
  if (pid < 0) {
    if (!error) error = errno;
    close_ends(&ends);
    return error;
  }
  s->pid = pid;
  s->report.fd = ends.report_ours;
  stream_attach(s, ends.ours[0], ends.ours[1], ends.ours[2]);
  watch(&s->report, EPOLLIN);
  for (int i = 0; i < 3; i++) ends.ours[i] = -1;
  ends.report_ours = -1;
  close_ends(&ends);
  return 0;
}

int report_failure(int kind, int error, const char *detail) {
  struct writer result;
  put_failure(&result, kind, error, detail);
  write_all(REPORT_FD, result.bytes, result.length);
  return 1;
}

int report_success(const struct writer *result) {
  struct writer whole = {.length = 0};
  put_u8(&whole, OUTCOME_OK);
  if (result) {
    memcpy(whole.bytes + 1, result->bytes, result->length);
    whole.length += result->length;
  }
  write_all(REPORT_FD, whole.bytes, whole.length);
  return 0;
}
