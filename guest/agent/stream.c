/* One operation: what the host may send and is owed, from its request to its one DONE. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

#define CREDIT_STEP (INITIAL_CREDIT / 2)
/* Of the pipe of a command that writes much. */
#define FLOOD_PIPE 262144
/* How long background processes may still add to the output of a command that has ended. */
#define GRACE_MS 100
/* All requests that are still incomplete, together. */
#define MAX_PENDING_REQUESTS (4 * MAX_REQUEST)
#define END_OF_FILE_CHARACTER "\4"

static struct stream *streams, *ready_head, *ready_tail;
static size_t stream_count, pending_requests;

static void input_ready(struct source *source, uint32_t events);
static void output_ready(struct source *source, uint32_t events);
static void report_ready(struct source *source, uint32_t events);

#define OF(type, member, pointer) ((type *)((char *)(pointer) - offsetof(type, member)))

struct stream *stream_find(uint32_t id) {
  for (struct stream *s = streams; s; s = s->next)
    if (s->id == id && !s->is_dead && !s->is_detached && !s->is_parked) return s;
  return NULL;
}

struct stream *stream_parked(uint32_t pid) {
  for (struct stream *s = streams; s; s = s->next)
    if (s->is_parked && !s->is_dead && (uint32_t)s->pid == pid) return s;
  return NULL;
}

size_t streams_parkable(void) {
  size_t count = 0;
  for (struct stream *s = streams; s; s = s->next) count += s->parkable && !s->is_dead;
  return count;
}

static struct stream *stream_new(uint32_t id) {
  struct stream *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  s->id = id;
  s->terminal = -1;
  s->input.stream = s;
  s->input.source = (struct source){.fd = -1, .ready = input_ready};
  s->input.closed = true;
  s->input.credit = INITIAL_CREDIT;
  for (uint8_t i = 0; i < 2; i++) {
    struct output *o = &s->outputs[i];
    *o = (struct output){.source = {-1, output_ready}, .stream = s, .channel = (uint8_t)(i + 1), .ended = true, .credit = INITIAL_CREDIT};
  }
  s->report = (struct source){.fd = -1, .ready = report_ready};
  s->next = streams;
  streams = s;
  stream_count++;
  return s;
}

/* ---- the ready queue: streams that may have a frame to send, served in turn */

void stream_wake(struct stream *s) {
  if (s->is_ready || s->is_dead || s->is_detached || s->is_parked) return;
  s->is_ready = true;
  s->next_ready = NULL;
  if (ready_tail)
    ready_tail->next_ready = s;
  else
    ready_head = s;
  ready_tail = s;
}

bool streams_ready(void) {
  return ready_head != NULL && frame_fits(MAX_PAYLOAD);
}

struct stream *stream_next_ready(void) {
  struct stream *s = ready_head;
  if (!s) return NULL;
  ready_head = s->next_ready;
  if (!ready_head) ready_tail = NULL;
  s->is_ready = false;
  return s;
}

/* ---- requests */

static void dispatch(struct stream *s) {
  struct reader request = {s->request, s->request + s->request_length, false};
  s->operation = get_u8(&request);
  if (stream_count > MAX_STREAMS) {
    stream_fail(s, FAIL_SYSTEM, EAGAIN, "too many operations at once");
    return;
  }
  struct writer result = {.length = 0};
  int error;
  switch (s->operation) {
    case OP_SETUP:
      if (!agent.is_init || agent.is_set_up) {
        stream_fail(s, FAIL_REFUSED, 0, "the guest is set up already");
      } else {
        set_up(&request, &result);
        stream_finish(s, result.bytes, result.length);
      }
      return;
    case OP_SHUTDOWN:
      stream_succeed(s);
      power_off_asked = true;
      return;
    default:
      break;
  }
  if (!agent.is_set_up) {
    stream_fail(s, FAIL_REFUSED, 0, "the guest is not set up yet");
    return;
  }
  if (s->operation == OP_CONNECT) {
    s->port = get_u16(&request);
    error = reader_done(&request) ? start_connect(s, s->port) : -1;
  } else if (s->operation == OP_ADOPT) {
    uint32_t pid = get_u32(&request);
    error = reader_done(&request) ? 0 : -1;
    if (!error) adopt(s, pid);
  } else if (s->operation == OP_FREEZE) {
    uint32_t timeout_ms = get_u32(&request);
    error = reader_done(&request) ? 0 : -1;
    if (!error) freeze(s, timeout_ms);
  } else if (s->operation == OP_THAW) {
    error = reader_done(&request) ? thaw() : -1;
    if (!error) stream_succeed(s);
  } else if (s->operation == OP_RENEW && !agent.is_init) {
    stream_fail(s, FAIL_REFUSED, 0, "this agent is not a guest's first process");
    return;
  } else if (s->operation == OP_RENEW) {
    error = start_renew(s, &request);
  } else if (s->operation == OP_RECLAIM) {
    error = start_reclaim(s, &request);
  } else if (s->operation == OP_EXEC) {
    error = start_exec(s, &request);
  } else {
    error = start_file_operation(s, &request);
  }
  if (error < 0)
    stream_fail(s, FAIL_REFUSED, 0, "the request cannot be read");
  else if (error > 0)
    stream_fail(s, FAIL_SYSTEM, error, "starting it");
}

bool stream_request(uint32_t id, const uint8_t *bytes, size_t length, bool last) {
  struct stream *s = stream_find(id);
  if (s && s->request_complete) return false;
  if (!s && !(s = stream_new(id))) return false;
  if (s->request_length + length > MAX_REQUEST || pending_requests + length > MAX_PENDING_REQUESTS) return false;
  uint8_t *request = realloc(s->request, s->request_length + length);
  if (!request) return false;
  s->request = request;
  memcpy(request + s->request_length, bytes, length);
  s->request_length += length;
  pending_requests += length;
  if (!last) return true;
  s->request_complete = true;
  pending_requests -= s->request_length;
  dispatch(s);
  free(s->request);
  s->request = NULL;
  return true;
}

/* ---- input: host to guest */

void stream_attach(struct stream *s, int input, int output, int error) {
  int fds[] = {output, error};
  for (int i = 0; i < 2; i++) {
    if (fds[i] < 0) continue;
    s->outputs[i].source.fd = fds[i];
    s->outputs[i].ended = false;
    if (watch(&s->outputs[i].source, EPOLLIN) < 0) s->outputs[i].readable = true;
  }
  if (input < 0) return;
  s->input.source.fd = input;
  s->input.closed = false;
  watch(&s->input.source, EPOLLOUT);
}

void input_gone(struct stream *s) {
  struct input *in = &s->input;
  close_source(&in->source);
  if (in->closed) return;
  in->closed = true;
  in->queued = 0;
  in->closed_pending = !in->end_asked;
  stream_wake(s);
}

void stream_end_input(struct stream *s) {
  struct input *in = &s->input;
  if (in->is_socket) {
    shutdown(in->source.fd, SHUT_WR);
  } else if (in->is_terminal) {
    if (write(in->source.fd, END_OF_FILE_CHARACTER, 1) < 0 && errno == EAGAIN) {
      in->writable = false;
      return;
    }
  }
  close_source(&in->source);
  in->closed = true;
  stream_wake(s);
}

static void input_used(struct input *in, size_t length) {
  in->consumed += (uint32_t)length;
  if (in->consumed >= CREDIT_STEP) stream_wake(in->stream);
}

/* How many bytes the reader took; 0 when it takes none now or never again. */
static size_t write_input(struct input *in, const uint8_t *bytes, size_t length) {
  size_t done = 0;
  while (done < length && in->writable && !in->closed) {
    ssize_t n = write(in->source.fd, bytes + done, length - done);
    if (n > 0) {
      done += (size_t)n;
    } else if (errno == EAGAIN) {
      in->writable = false;
    } else if (errno != EINTR) {
      input_gone(in->stream);
    }
  }
  input_used(in, done);
  return done;
}

static void flush_input(struct stream *s) {
  struct input *in = &s->input;
  while (in->queued > 0 && in->writable && !in->closed) {
    size_t run = INITIAL_CREDIT - in->head;
    size_t done = write_input(in, in->queue + in->head, run < in->queued ? run : in->queued);
    if (in->closed) return;
    in->head = (in->head + (uint32_t)done) % INITIAL_CREDIT;
    in->queued -= (uint32_t)done;
  }
  if (in->queued == 0 && in->end_asked && !in->closed && in->writable) stream_end_input(s);
}

bool stream_input(struct stream *s, const uint8_t *bytes, size_t length) {
  struct input *in = &s->input;
  if (!s->request_complete || in->end_asked || length > in->credit) return false;
  in->credit -= (uint32_t)length;
  if (in->closed) return true;
  size_t done = in->queued == 0 ? write_input(in, bytes, length) : 0;
  if (in->closed || done == length) return true;
  if (!in->queue && !(in->queue = malloc(INITIAL_CREDIT))) {
    input_gone(s);
    return true;
  }
  /* It fits: queued and unused credit together are never more than INITIAL_CREDIT. */
  for (size_t at = done; at < length;) {
    size_t tail = (in->head + in->queued) % INITIAL_CREDIT, run = INITIAL_CREDIT - tail;
    if (run > length - at) run = length - at;
    memcpy(in->queue + tail, bytes + at, run);
    in->queued += (uint32_t)run;
    at += run;
  }
  return true;
}

bool stream_input_end(struct stream *s) {
  if (!s->request_complete || s->input.end_asked) return false;
  s->input.end_asked = true;
  if (!s->input.closed) flush_input(s);
  return true;
}

static void input_ready(struct source *source, uint32_t events) {
  struct input *in = OF(struct input, source, source);
  struct stream *s = in->stream;
  if (s->connecting) {
    tcp_connected(s, events);
    return;
  }
  if (events & EPOLLOUT) in->writable = true;
  /* EPOLLERR on the writing end of a pipe: nobody holds the reading end any more. */
  if ((events & EPOLLERR) && !in->is_socket && !in->is_terminal)
    input_gone(s);
  else
    flush_input(s);
}

/* ---- output: guest to host */

bool stream_credit(struct stream *s, uint8_t channel, uint32_t bytes) {
  struct output *o = &s->outputs[channel - 1];
  if (bytes == 0 || bytes > INITIAL_CREDIT - o->credit) return false;
  o->credit += bytes;
  stream_wake(s);
  return true;
}

static void output_ready(struct source *source, uint32_t events) {
  (void)events;
  struct output *o = OF(struct output, source, source);
  o->readable = true;
  stream_wake(o->stream);
}

/* Sends one frame of an output if there is one. */
static bool emit_output(struct output *o) {
  struct stream *s = o->stream;
  if (o->ended || !o->readable || o->credit == 0) return false;
  size_t room = o->credit < MAX_PAYLOAD ? o->credit : MAX_PAYLOAD;
  ssize_t got = read(o->source.fd, frame_space(), room);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    o->readable = errno == EINTR;
    return false;
  }
  if (got <= 0) {
    /* EIO is how a terminal ends, ECONNRESET how a connection may. */
    o->ended = true;
    close_source(&o->source);
    frame_commit(s->id, FRAME_EOF, o->channel, 0);
    return true;
  }
  if (got == MAX_PAYLOAD && !o->is_flood) {
    /* A writer that fills its pipe would take turns with us. What is no pipe refuses. */
    o->is_flood = true;
    fcntl(o->source.fd, F_SETPIPE_SZ, FLOOD_PIPE);
  }
  o->credit -= (uint32_t)got;
  o->sent += (uint64_t)got;
  frame_commit(s->id, FRAME_DATA, o->channel, (size_t)got);
  return true;
}

/* ---- what the child reports, and how it ends */

static void report_ready(struct source *source, uint32_t events) {
  (void)events;
  struct stream *s = OF(struct stream, report, source);
  uint8_t bytes[4096];
  ssize_t got;
  while ((got = read(source->fd, bytes, sizeof bytes)) > 0) {
    uint8_t *result = s->result_length + (size_t)got > MAX_PAYLOAD ? NULL : realloc(s->result, s->result_length + (size_t)got);
    if (!result) break;
    s->result = result;
    memcpy(result + s->result_length, bytes, (size_t)got);
    s->result_length += (size_t)got;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  close_source(source);
  s->report_ended = true;
  if (s->operation == OP_EXEC && s->result_length == 0) {
    s->start_pending = true;
    s->start_value = (uint32_t)s->pid;
  }
  stream_wake(s);
}

void stream_exited(pid_t pid, int status) {
  struct stream *s = streams;
  while (s && (s->pid != pid || s->reaped)) s = s->next;
  if (!s) return; /* an orphan of some command: reaping it was all */
  s->reaped = true;
  s->wait_status = status;
  s->timeout_at = 0;
  if (s->group) s->out_of_memory = group_had_oom_kill(s->group);
  if (s->is_detached) {
    s->is_dead = true;
    return;
  }
  /* Cancelled, it may be half done, and whoever takes over does it again. */
  if (s->operation == OP_RENEW && !s->cancelled) {
    renew_ended(s);
    return;
  }
  if (s->operation == OP_EXEC) s->grace_at = now_ms() + GRACE_MS;
  for (int i = 0; i < 2; i++) {
    struct output *o = &s->outputs[i];
    int waiting = 0;
    if (!o->ended) ioctl(o->source.fd, FIONREAD, &waiting);
    o->due = o->sent + (uint64_t)waiting;
    o->readable = true;
  }
  stream_wake(s);
}

static bool output_settled(const struct stream *s, const struct output *o) {
  if (o->ended) return true;
  return s->grace_at != 0 && o->sent >= o->due && now_ms() >= s->grace_at;
}

static bool may_finish(const struct stream *s) {
  if (s->finish_asked) return true;
  if (s->operation == OP_CONNECT) return !s->connecting && s->outputs[0].ended && s->input.closed;
  if (s->pid == 0 || !s->reaped) return false;
  if (s->cancelled) return true;
  return s->report_ended && output_settled(s, &s->outputs[0]) && output_settled(s, &s->outputs[1]);
}

static void put_exit(const struct stream *s, struct writer *result) {
  bool by_signal = WIFSIGNALED(s->wait_status);
  put_u8(result, OUTCOME_OK);
  put_u8(result, by_signal);
  put_u8(result, (uint8_t)(by_signal ? WTERMSIG(s->wait_status) : WEXITSTATUS(s->wait_status)));
  put_u8(result, s->timed_out);
  put_u8(result, s->out_of_memory);
}

static void decide_result(struct stream *s) {
  struct writer result = {.length = 0};
  if (s->cancelled)
    put_failure(&result, FAIL_CANCELLED, 0, "");
  else if (s->result_length > 0)
    return; /* what the child reported, or stream_finish was given */
  else if (s->operation == OP_EXEC)
    put_exit(s, &result);
  else if (s->operation == OP_CONNECT)
    put_u8(&result, OUTCOME_OK);
  else
    put_failure(&result, FAIL_SYSTEM, EIO, "the operation was killed");
  free(s->result);
  s->result = malloc(result.length);
  s->result_length = s->result ? result.length : 0;
  if (s->result) memcpy(s->result, result.bytes, result.length);
}

/* Output that background processes still hold open: read and dropped, so that they neither block nor get SIGPIPE. */
#define MAX_DRAINS 512

static void drain(struct source *source, uint32_t events) {
  (void)events;
  static uint8_t nowhere[65536];
  ssize_t got = read(source->fd, nowhere, sizeof nowhere);
  if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) return;
  close_source(source);
}

static void drain_output(struct output *o) {
  static struct source pool[MAX_DRAINS];
  struct source *slot = NULL;
  for (size_t i = 0; i < MAX_DRAINS && !slot; i++)
    if (!pool[i].ready || pool[i].fd < 0) slot = &pool[i];
  int fd = slot ? dup(o->source.fd) : -1;
  close_source(&o->source);
  if (fd < 0) return;
  *slot = (struct source){.fd = fd, .ready = drain};
  watch_level(slot, EPOLLIN);
}

static void close_all(struct stream *s, bool keep_outputs_flowing) {
  close_source(&s->input.source);
  s->input.closed = true;
  for (int i = 0; i < 2; i++) {
    if (keep_outputs_flowing && !s->outputs[i].ended)
      drain_output(&s->outputs[i]);
    else
      close_source(&s->outputs[i].source);
    s->outputs[i].ended = true;
  }
  close_source(&s->report);
  if (s->terminal >= 0) close(s->terminal);
  s->terminal = -1;
}

void stream_emit(struct stream *s) {
  struct input *in = &s->input;
  if (s->is_dead || s->is_detached || s->is_parked) return;
  if (s->start_pending) {
    s->start_pending = false;
    s->start_told = true;
    store_u32(frame_space(), s->start_value);
    frame_commit(s->id, FRAME_STARTED, 0, 4);
  } else if (in->closed_pending) {
    in->closed_pending = false;
    frame_commit(s->id, FRAME_INPUT_CLOSED, 0, 0);
  } else if (in->consumed >= CREDIT_STEP && !in->closed) {
    store_u32(frame_space(), in->consumed);
    in->credit += in->consumed;
    in->consumed = 0;
    frame_commit(s->id, FRAME_CREDIT, CHANNEL_INPUT, 4);
  } else {
    struct output *first = &s->outputs[s->error_first], *second = &s->outputs[!s->error_first];
    s->error_first = !s->error_first;
    if (!emit_output(first) && !emit_output(second)) {
      if (!may_finish(s)) return;
      decide_result(s);
      memcpy(frame_space(), s->result, s->result_length);
      frame_commit(s->id, FRAME_DONE, 0, s->result_length);
      close_all(s, !s->cancelled && s->operation == OP_EXEC);
      s->is_dead = true;
      return;
    }
  }
  stream_wake(s);
}

void stream_finish(struct stream *s, const uint8_t *payload, size_t length) {
  free(s->result);
  s->result = malloc(length);
  s->result_length = s->result ? length : 0;
  if (s->result) memcpy(s->result, payload, length);
  s->finish_asked = true;
  close_all(s, false);
  stream_wake(s);
}

void stream_fail(struct stream *s, int kind, int error, const char *detail) {
  struct writer result = {.length = 0};
  put_failure(&result, kind, error, detail);
  stream_finish(s, result.bytes, result.length);
}

void stream_succeed(struct stream *s) {
  const uint8_t ok = OUTCOME_OK;
  stream_finish(s, &ok, 1);
}

/* ---- signals, sizes, the end */

void stream_signal(struct stream *s, uint32_t number) {
  if (s->operation == OP_EXEC && s->pid > 0 && !s->reaped && number > 0 && number <= 64) kill(-s->pid, (int)number);
}

void stream_resize(struct stream *s, uint16_t columns, uint16_t rows) {
  struct winsize size = {.ws_row = rows, .ws_col = columns};
  if (s->terminal >= 0) ioctl(s->terminal, TIOCSWINSZ, &size);
}

void stream_cancel(struct stream *s) {
  if (s->cancelled || s->finish_asked) return;
  s->cancelled = true;
  if (!s->request_complete) pending_requests -= s->request_length;
  s->request_complete = true;
  /* Before its input is closed: an upload must not take that for the end of the content. */
  if (s->pid > 0) kill_children(s, s->operation == OP_EXEC);
  if (s->operation == OP_FREEZE) freeze_given_up(s);
  close_all(s, false);
  if (s->pid == 0 || s->reaped) s->finish_asked = true;
  stream_wake(s);
}

void streams_detach_all(void) {
  for (struct stream *s = streams; s; s = s->next) {
    if (s->is_dead || s->is_detached || s->is_parked || park(s)) continue;
    stream_cancel(s);
    s->is_detached = true;
    if (s->pid == 0 || s->reaped) s->is_dead = true;
  }
}

void streams_free_dead(void) {
  for (struct stream **link = &streams; *link;) {
    struct stream *s = *link;
    /* One that is still queued is dropped from the queue when its turn comes. */
    if (!s->is_dead || s->is_ready) {
      link = &s->next;
      continue;
    }
    *link = s->next;
    if (s->group) group_release(s->group);
    free(s->request);
    free(s->result);
    free(s->input.queue);
    free(s);
    stream_count--;
  }
}

int64_t streams_timers(int64_t now) {
  int64_t next = -1;
  for (struct stream *s = streams; s; s = s->next) {
    if (s->timeout_at && now >= s->timeout_at) {
      s->timeout_at = 0;
      s->timed_out = true;
      kill_children(s, s->operation == OP_EXEC);
    }
    if (s->grace_at > 1 && now >= s->grace_at) {
      s->grace_at = 1; /* long ago */
      stream_wake(s);
    }
    int64_t times[] = {s->timeout_at, s->grace_at > 1 ? s->grace_at : 0};
    for (int i = 0; i < 2; i++)
      if (times[i] && (next < 0 || times[i] < next)) next = times[i];
  }
  return next;
}
