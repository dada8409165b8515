/* The host's byte stream: preamble, frames in, frames out. Both buffers are fixed; what does not fit waits in the
 * streams, whose credit bounds it. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "agent.h"

#define IN_BYTES (2 * (HEADER_BYTES + MAX_PAYLOAD))
#define OUT_BYTES (4 * (HEADER_BYTES + MAX_PAYLOAD))
/* Fillings of a buffer before signals and timers get their turn again. */
#define ROUNDS 4

static void ready(struct source *source, uint32_t events);
static struct source connection = {.fd = -1, .ready = ready};

static uint8_t in[IN_BYTES], out[OUT_BYTES];
static size_t in_length, out_head, out_tail;
static bool in_session, readable, writable, hung_up, connection_is_shared;
/*
 * A console port reads as ended while no host has it open. That counts once: the first bytes of the next host can
 * arrive before the kernel has been told that there is one.
 */
static bool host_is_away;

void connection_open(int fd, bool shared) {
  connection_close();
  connection_is_shared = shared;
  connection.fd = fd;
  readable = writable = host_is_away = true;
  if (watch(&connection, EPOLLIN | EPOLLOUT | EPOLLRDHUP) < 0) transport_lost();
}

void connection_reset(void) {
  streams_detach_all();
  in_session = false;
  in_length = out_head = out_tail = 0;
}

void connection_close(void) {
  connection_reset();
  close_source(&connection);
}

static void ready(struct source *source, uint32_t events) {
  (void)source;
  if (events & EPOLLIN) readable = true;
  if (events & EPOLLOUT) writable = true;
  if (!(events & EPOLLHUP)) host_is_away = false;
  if (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) hung_up = true;
}

bool frame_fits(size_t length) {
  if (!in_session) return false;
  if (out_tail + HEADER_BYTES + length <= OUT_BYTES) return true;
  if (out_head == 0) return false;
  memmove(out, out + out_head, out_tail - out_head);
  out_tail -= out_head;
  out_head = 0;
  return out_tail + HEADER_BYTES + length <= OUT_BYTES;
}

uint8_t *frame_space(void) {
  return out + out_tail + HEADER_BYTES;
}

void frame_commit(uint32_t stream, enum frame_type type, uint8_t channel, size_t length) {
  uint8_t *header = out + out_tail;
  store_u32(header, (uint32_t)length);
  store_u32(header + 4, stream);
  header[8] = (uint8_t)type;
  header[9] = channel;
  header[10] = header[11] = 0;
  out_tail += HEADER_BYTES + length;
}

/* Every frame the host may send: false for anything else. */
static bool accept_frame(const uint8_t *header, uint8_t *payload, size_t length) {
  uint32_t id = load_u32(header + 4);
  uint8_t type = header[8], channel = header[9];
  if (id == 0) return false;
  if (type == FRAME_REQUEST) return channel <= 1 && length > 0 && stream_request(id, payload, length, channel == 1);
  struct stream *s = stream_find(id); /* NULL: it ended while this frame was under way */
  switch (type) {
    case FRAME_DATA:
      return channel == CHANNEL_INPUT && length > 0 && (!s || stream_input(s, payload, length));
    case FRAME_EOF:
      return channel == CHANNEL_INPUT && length == 0 && (!s || stream_input_end(s));
    case FRAME_CREDIT:
      return (channel == CHANNEL_OUTPUT || channel == CHANNEL_ERROR) && length == 4 &&
             (!s || stream_credit(s, channel, load_u32(payload)));
    case FRAME_SIGNAL:
      if (channel != 0 || length != 4) return false;
      if (s) stream_signal(s, load_u32(payload));
      return true;
    case FRAME_RESIZE:
      if (channel != 0 || length != 4) return false;
      if (s) stream_resize(s, (uint16_t)(payload[0] | payload[1] << 8), (uint16_t)(payload[2] | payload[3] << 8));
      return true;
    case FRAME_CANCEL:
      if (channel != 0 || length != 0) return false;
      if (s) stream_cancel(s);
      return true;
    default:
      return false;
  }
}

/* Takes whole frames from the buffer. */
static bool accept_frames(void) {
  size_t at = 0;
  while (in_session && in_length - at >= HEADER_BYTES) {
    const uint8_t *header = in + at;
    uint32_t length = load_u32(header);
    if (length > MAX_PAYLOAD || header[10] != 0 || header[11] != 0) return false;
    if (in_length - at < HEADER_BYTES + length) break;
    if (!accept_frame(header, in + at + HEADER_BYTES, length)) return false;
    at += HEADER_BYTES + length;
  }
  memmove(in, in + at, in_length - at);
  in_length -= at;
  return true;
}

/* Skips what an earlier connection left behind until a preamble; answers it. False: wrong version. */
static bool find_preamble(void) {
  size_t at = 0;
  for (; in_length - at >= PREAMBLE_BYTES; at++) {
    if (memcmp(in + at, PREAMBLE_MAGIC, 8) != 0 || load_u32(in + at + 12) != 0) continue;
    bool same = load_u32(in + at + 8) == PROTOCOL_VERSION;
    uint8_t answer[PREAMBLE_BYTES];
    memcpy(answer, in + at, sizeof answer);
    store_u32(answer + 8, PROTOCOL_VERSION);
    memcpy(out, answer, sizeof answer);
    out_head = 0;
    out_tail = sizeof answer;
    at += PREAMBLE_BYTES;
    in_session = same;
    if (!same) {
      ssize_t written = write(connection.fd, out, out_tail);
      (void)written;
      return false;
    }
    break;
  }
  memmove(in, in + at, in_length - at);
  in_length -= at;
  return true;
}

/*
 * On a virtio-console port a host may go and the next one come before we have looked: then the only sign is a
 * preamble in the middle of the session. A new host's first bytes start a new buffer, and so a new read.
 */
static bool starts_anew(const uint8_t *bytes, size_t length) {
  return connection_is_shared && length >= PREAMBLE_BYTES && memcmp(bytes, PREAMBLE_MAGIC, 8) == 0 &&
         load_u32(bytes + 8) == PROTOCOL_VERSION && load_u32(bytes + 12) == 0;
}

static bool receive(void) {
  for (int round = 0; round < ROUNDS && readable && connection.fd >= 0; round++) {
    ssize_t got = read(connection.fd, in + in_length, IN_BYTES - in_length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) {
      readable = false;
      return true;
    }
    if (got <= 0) {
      readable = false;
      if (got == 0 && connection_is_shared && host_is_away) return true;
      host_is_away = true;
      return false;
    }
    if (in_session && starts_anew(in + in_length, (size_t)got)) {
      memmove(in, in + in_length, (size_t)got);
      connection_reset();
    }
    in_length += (size_t)got;
    if (!in_session && !find_preamble()) return false;
    if (in_session && !accept_frames()) {
      report("the host broke the protocol");
      return false;
    }
  }
  return true;
}

static bool flush(void) {
  while (writable && out_head < out_tail) {
    ssize_t sent = write(connection.fd, out + out_head, out_tail - out_head);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) {
      writable = false;
      return true;
    }
    if (sent <= 0) return false;
    out_head += (size_t)sent;
  }
  if (out_head == out_tail) out_head = out_tail = 0;
  return true;
}

bool pump(void) {
  if (connection.fd < 0) return false;
  if (hung_up) {
    /* What can be read or written tells whether it is still so. */
    hung_up = false;
    readable = true;
  }
  if (!receive()) {
    transport_lost();
    return false;
  }
  for (int round = 0; in_session && round < ROUNDS; round++) {
    bool idle = false;
    while (!idle && frame_fits(MAX_PAYLOAD)) {
      struct stream *s = stream_next_ready();
      if (s)
        stream_emit(s);
      else
        idle = true;
    }
    if (!flush()) {
      transport_lost();
      return false;
    }
    if (out_head < out_tail) return readable; /* the host's pipe is full */
    if (idle) return readable;
  }
  return in_session || readable;
}
