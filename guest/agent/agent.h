/*
 * The agent's parts and what each may ask of the others. One process, one epoll loop, nothing in it ever waits for a
 * stream: whatever can block (commands, file operations, archives) is a child process with pipes.
 *
 *   main        start, loop, timers
 *   boot        mounts, modules and the command line of process 1
 *   setup       SETUP: root, overlay, /dev, /etc, network
 *   transport   where the host's byte stream is, and opening it again
 *   connection  preamble, frames in, frames out
 *   stream      one operation: credit, queues, life and end
 *   park        commands that outlive their connection
 *   child       child processes with pipes
 *   cgroup      the control groups that commands live in
 *   group       the one of each command
 *   freeze      FREEZE and THAW
 *   identity    clock, entropy, names and ids: of SETUP, and RENEW
 *   reclaim     RECLAIM
 *   exec, user  what a command's child does before it becomes the command
 *   files, tar_reader, tar_writer   what a file operation's child does
 *   tcp         CONNECT
 *   power       SHUTDOWN
 */
#ifndef AGENT_H
#define AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol.h"
#include "values.h"

/* ---- main: something the loop watches. Edge-triggered: `ready` must remember what it did not use up. */
struct source {
  int fd; /* -1: closed */
  void (*ready)(struct source *source, uint32_t events);
  uint64_t watched_in; /* the round of the event loop that began to watch it */
};

int watch(struct source *source, uint32_t events); /* 0, or -1 with errno */
int watch_level(struct source *source, uint32_t events); /* the same, but reports again and again */
void close_source(struct source *source);
int64_t now_ms(void); /* monotonic */

/* What only process 1 in a real guest has; all false or -1 in test mode. */
struct agent_state {
  bool is_init;
  bool is_set_up;
  int dev_null;    /* opened before any image is mounted */
  int pts_dir;     /* the devpts that terminals come from */
  int modules_dir; /* /modules of the initramfs, or -1 */
  int cgroup_dir;  /* where the groups of commands are, or -1 */
  int cgroup_namespace; /* in which that is the root, or -1 */
};
extern struct agent_state agent;

/* ---- boot */
void boot(void);                          /* process 1 only; does not return without /proc, /sys and /dev */
/* The last value of `name=value` on the kernel command line; false, and `value` as it was, when it is not there. */
bool boot_option(const char *name, char *value, size_t size);
int load_modules(const char *group, char *failed, size_t size); /* 0, or errno with the file's name in `failed` */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));
void fatal(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* ---- setup */
void await_root_device(void); /* process 1 only, as is: */
void prepare_setup(void);     /* what no host is needed for */
void set_up(struct reader *request, struct writer *result);
int wait_for_path(const char *path, int64_t deadline); /* 0 or errno */
int bring_up_loopback(void);
int configure_network(const char *interface, const char *address, const char *gateway);

/* ---- transport */
void open_transport(const char *where); /* "console", "vsock:PORT", "fd:N", "unix:PATH" */
void transport_lost(void);              /* the connection at hand is of no more use */

/* ---- connection */
/* A new byte stream, which replaces the one before; `shared`: one host after another may talk on it. */
void connection_open(int fd, bool shared);
void connection_reset(void);    /* end the session, keep the byte stream, look for a preamble */
void connection_close(void);
bool pump(void);                /* moves what can be moved now; true: call again soon */
/* Space for a frame of `length` payload bytes; the caller has checked `frame_fits`. */
bool frame_fits(size_t length);
uint8_t *frame_space(void);
void frame_commit(uint32_t stream, enum frame_type type, uint8_t channel, size_t length);

/* ---- stream */
struct output {
  struct source source;
  struct stream *stream;
  uint8_t channel;
  bool readable; /* the loop said so, and no read has found it empty since */
  bool ended;
  bool is_flood; /* it has filled a whole frame */
  uint32_t credit;
  uint64_t sent;
  uint64_t due; /* `sent` must reach this before the stream may end: what was in the pipe when the process ended */
};

struct input {
  struct source source;
  struct stream *stream;
  bool writable, closed, closed_pending, end_asked;
  bool is_terminal, is_socket;
  uint8_t *queue; /* ring of INITIAL_CREDIT bytes, made when first needed */
  uint32_t head, queued;
  uint32_t credit;  /* what the host may still send */
  uint32_t consumed; /* to be granted again */
};

struct stream {
  uint32_t id;
  struct stream *next, *next_ready;
  bool is_ready, is_dead, error_first;
  bool is_detached; /* its session is over: no frames any more */
  bool parkable, is_parked; /* may outlive its session; its session is over, and it waits for the next */
  uint8_t operation;

  uint8_t *request;
  size_t request_length;
  bool request_complete;

  struct input input;
  struct output outputs[2];
  int terminal; /* master side, for window sizes; -1 without; same file as outputs[0] */

  pid_t pid;
  bool reaped, timed_out, cancelled, out_of_memory;
  int wait_status;
  struct group *group; /* its control group, or NULL */
  struct source report; /* the child's report: a DONE payload, or for a command nothing = started */
  uint8_t *result;
  size_t result_length;
  bool report_ended, start_pending, start_told, finish_asked;
  uint32_t start_value;
  int64_t timeout_at, grace_at; /* 0: none */
  bool connecting;              /* CONNECT */
  uint16_t port;
};

struct stream *stream_find(uint32_t id);
/* These return false when the host broke the protocol. */
bool stream_request(uint32_t id, const uint8_t *bytes, size_t length, bool last);
bool stream_input(struct stream *s, const uint8_t *bytes, size_t length);
bool stream_input_end(struct stream *s);
bool stream_credit(struct stream *s, uint8_t channel, uint32_t bytes);
void stream_signal(struct stream *s, uint32_t number);
void stream_resize(struct stream *s, uint16_t columns, uint16_t rows);
void stream_cancel(struct stream *s);
void stream_wake(struct stream *s);
struct stream *stream_next_ready(void);
bool streams_ready(void); /* some stream waits, and there is room for its frame */
/* Emits at most one frame; the connection has room for it. */
void stream_emit(struct stream *s);
void stream_exited(pid_t pid, int status);
void streams_detach_all(void);
void streams_free_dead(void);
int64_t streams_timers(int64_t now); /* runs what is due; when to come back, or -1 */
void stream_fail(struct stream *s, int kind, int error, const char *detail);
void stream_succeed(struct stream *s);
void stream_finish(struct stream *s, const uint8_t *payload, size_t length);
void stream_attach(struct stream *s, int input, int output, int error);
void input_gone(struct stream *s);
void stream_end_input(struct stream *s);
struct stream *stream_parked(uint32_t pid); /* NULL: none */
size_t streams_parkable(void);

/* ---- park */
bool may_start_parked(void);                  /* one more */
bool park(struct stream *s);                  /* its session is over; false: it ends with it */
void adopt(struct stream *s, uint32_t pid);   /* `s` asks for it */

/* ---- child */
struct child_body {
  /* Runs in the child with 0 = input, 1 = output, 2 = error output, 3 = report; its return value is the exit code. */
  int (*run)(struct stream *s, const void *context);
  const void *context;
  bool input, error_output, use_cgroup;
  int file; /* one of ours that is its 0, where the host gives it no input; 0: none */
  bool complains; /* its error output is the agent's own */
  bool terminal;
  uint16_t columns, rows;
};
int start_child(struct stream *s, const struct child_body *body); /* 0 or errno */
void kill_children(struct stream *s, bool command);
#define REPORT_FD 3
int report_failure(int kind, int error, const char *detail); /* in a child; returns 1 */
int report_success(const struct writer *result);             /* in a child; returns 0 */

/* ---- cgroup */
void cgroups_mount(void);           /* process 1 only; without them where the kernel has none */
void cgroups_use(int root);         /* the directory of a cgroup2; closes it */
int cgroups_show(const char *at);   /* to the guest, as its control groups: 0, or -1 with errno */
void cgroup_enter_namespace(void); /* in a child */
pid_t cgroup_clone(int directory, uint64_t flags); /* a fork whose child lives in that group */

/* ---- group: NULL where there are no control groups */
struct group;
void group_prepare(void);                /* one, for the first command */
int group_take(struct group **taken);    /* 0 or errno */
pid_t group_fork(struct group *group);
bool group_had_oom_kill(struct group *group); /* since the last time */
bool group_kill(const struct group *group);
void group_release(struct group *group);
void groups_retry(void);

/* ---- freeze */
void freeze(struct stream *s, uint32_t timeout_ms);
void freeze_given_up(struct stream *s); /* this stream is cancelled, or its host is gone */
bool is_frozen(void);
int thaw(void); /* 0 or errno */
int64_t freeze_timers(int64_t now); /* as streams_timers */

/* ---- identity */
struct guest_identity {
  char *hostname, *machine_id, *boot_id;
  uint64_t clock_ns;
  uint8_t *entropy;
  uint32_t entropy_length;
};
void read_identity(struct reader *r, struct guest_identity *identity); /* what is not valid makes the reader fail */
void set_identity(const struct guest_identity *identity); /* in the kernel: clock, entropy, host name */
/* In files. `address`: of this machine, with or without prefix length; NULL: none. */
void write_identity(const struct guest_identity *identity, const char *address);
void open_boot_id(const char *path); /* a new file where nobody but us can reach it */
void write_etc(const char *name, const char *text, mode_t mode);
int start_renew(struct stream *s, struct reader *request); /* as start_exec */
void renew_ended(struct stream *s);

/* ---- reclaim */
void open_reclaim(void); /* process 1 only, before the image is entered: its /proc is the guest's to mount over */
int start_reclaim(struct stream *s, struct reader *request); /* as start_exec */

/* ---- exec */
int start_exec(struct stream *s, struct reader *request); /* 0, errno, or -1: malformed */

/* ---- user */
struct identity {
  uid_t uid;
  gid_t gid;
  gid_t groups[256];
  size_t group_count;
  char home[1024];
};
/* 0, or -1 with the part of the text that names nobody in `missing` */
int find_identity(const char *user, struct identity *identity, char *missing, size_t size);

/* ---- files; in a child */
int start_file_operation(struct stream *s, struct reader *request); /* as start_exec */
int make_directories(const char *path, mode_t mode);                /* 0 or errno */
int write_archive(const char *path);
int read_archive(const char *path);
bool write_all(int fd, const void *bytes, size_t length);
/* Fills the buffer unless the end comes first; -1 with errno. */
ssize_t read_full(int fd, void *bytes, size_t length);

/* ---- tcp */
int start_connect(struct stream *s, uint16_t port); /* 0 or errno */
void tcp_connected(struct stream *s, uint32_t events);

/* ---- power */
void power_off(void) __attribute__((noreturn));
extern bool power_off_asked;

#endif
