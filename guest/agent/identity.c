/*
 * What tells one machine from its copies: clock, entropy, names and ids. Given at SETUP, and given anew by RENEW to a
 * copy that was taken while everything was frozen. What cannot be done is reported and the rest goes on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#define MAX_HOSTNAME 64 /* Linux: __NEW_UTS_LEN */
#define MIN_ENTROPY 32
#define MAX_ENTROPY 512
#define MAX_HOSTS (64u << 10)
#define LOCAL_HOSTS "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
#define BOOT_ID "/proc/sys/kernel/random/boot_id"
/* A file system of the guest's own whose program is frozen never answers: RENEW must not wait for it. */
#define RENEW_MS 2000

/* What /etc/hosts says of this machine, to find that line again. */
static char own_address[64] = "127.0.1.1", own_name[MAX_HOSTNAME + 1];

/* Shown at BOOT_ID: a file that only we can reach. Its content changes, so every view of it does. */
static int boot_id_file = -1;

/* ---- the record */

static bool is_hostname(const char *text) {
  size_t length = strlen(text);
  for (const char *at = text; *at; at++)
    if ((unsigned char)*at <= ' ' || *at == '/' || *at == 0x7f) return false;
  return length > 0 && length <= MAX_HOSTNAME;
}

/* `pattern` has an x for each hexadecimal digit. */
static bool matches(const char *text, const char *pattern) {
  for (; *text && *pattern; text++, pattern++)
    if (*pattern == 'x' ? !strchr("0123456789abcdef", *text) : *text != *pattern) return false;
  return !*text && !*pattern;
}

void read_identity(struct reader *r, struct guest_identity *identity) {
  identity->hostname = get_string(r);
  identity->clock_ns = get_u64(r);
  identity->entropy = get_bytes(r, &identity->entropy_length);
  identity->machine_id = get_string(r);
  identity->boot_id = get_string(r);
  if (identity->entropy_length < MIN_ENTROPY || identity->entropy_length > MAX_ENTROPY || !is_hostname(identity->hostname) ||
      !matches(identity->machine_id, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") ||
      !matches(identity->boot_id, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"))
    r->failed = true;
}

/* ---- what the kernel is told; never waits */

static void set_clock(uint64_t ns) {
  struct timespec time = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
  if (clock_settime(CLOCK_REALTIME, &time) < 0) report("cannot set the clock: %s", strerror(errno));
}

static void add_entropy(const uint8_t *bytes, uint32_t length) {
  /* Opened for SETUP: later, /dev is the guest's. */
  static int fd = -1;
  struct rand_pool_info *info = calloc(1, sizeof *info + MAX_ENTROPY);
  if (fd < 0) fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
  if (info && fd >= 0) {
    info->entropy_count = (int)length * 8;
    info->buf_size = (int)length;
    memcpy(info->buf, bytes, length);
    /* The second makes the generator use it now, and not a minute later. */
    if (ioctl(fd, RNDADDENTROPY, info) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
      report("cannot add entropy: %s", strerror(errno));
  } else {
    report("cannot add entropy: %s", strerror(errno));
  }
  free(info);
}

void set_identity(const struct guest_identity *identity) {
  set_clock(identity->clock_ns);
  add_entropy(identity->entropy, identity->entropy_length);
  if (sethostname(identity->hostname, strlen(identity->hostname)) < 0)
    report("cannot set the host name: %s", strerror(errno));
}

/* ---- what programs read */

void open_boot_id(const char *path) {
  boot_id_file = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
  if (boot_id_file < 0) report("cannot make %s: %s", path, strerror(errno));
}

static void set_boot_id(const char *id) {
  char line[64];
  int length = snprintf(line, sizeof line, "%.40s\n", id);
  if (boot_id_file >= 0 && pwrite(boot_id_file, line, (size_t)length, 0) != length)
    report("cannot keep the boot id: %s", strerror(errno));
}

/* After the first time there is something to do only when somebody in the guest took it away. */
static void show_boot_id(void) {
  char source[64];
  struct stat ours, shown;
  if (boot_id_file < 0) return;
  /* By its path, for a child of ours, which no longer has it open. */
  snprintf(source, sizeof source, "/proc/1/fd/%d", boot_id_file);
  if (stat(source, &ours) == 0 && stat(BOOT_ID, &shown) == 0 && ours.st_dev == shown.st_dev &&
      ours.st_ino == shown.st_ino)
    return;
  if (mount(source, BOOT_ID, NULL, MS_BIND, NULL) < 0 ||
      mount(NULL, BOOT_ID, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
    report("cannot show the boot id: %s", strerror(errno));
}

/* Replaces what is there, links included: nothing is written through one. */
void write_etc(const char *name, const char *text, mode_t mode) {
  char path[64];
  snprintf(path, sizeof path, "/etc/%s", name);
  unlink(path);
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
  if (fd < 0 || !write_all(fd, text, strlen(text))) report("cannot write %s: %s", path, strerror(errno));
  if (fd >= 0) close(fd);
}

/* /etc/hosts as it is, NULL when it is not one that we would keep; malloc'ed, with `spare` bytes after it. */
static char *read_hosts(size_t spare) {
  struct stat status;
  int fd = open("/etc/hosts", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  char *text = NULL;
  if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size < MAX_HOSTS)
    text = calloc(1, MAX_HOSTS + spare);
  if (text && read_full(fd, text, MAX_HOSTS - 1) < 0) {
    free(text);
    text = NULL;
  }
  if (fd >= 0) close(fd);
  return text;
}

/* Our line of /etc/hosts gets the new name; the others are the guest's own. */
static void rename_in_hosts(const char *name) {
  char old[256], new[256], *text = read_hosts(sizeof new + 1), *at = text, *result;
  int old_length = snprintf(old, sizeof old, "%s\t%s\n", own_address, own_name);
  snprintf(new, sizeof new, "%s\t%s\n", own_address, name);
  while (at && (at = strstr(at, old)) && at != text && at[-1] != '\n') at++;
  if (at) {
    if (asprintf(&result, "%.*s%s%s", (int)(at - text), text, new, at + old_length) < 0) result = NULL;
  } else {
    const char *kept = text ? text : LOCAL_HOSTS;
    const char *gap = *kept && kept[strlen(kept) - 1] != '\n' ? "\n" : "";
    if (asprintf(&result, "%s%s%s", kept, gap, new) < 0) result = NULL;
  }
  if (result) write_etc("hosts", result, 0644);
  free(result);
  free(text);
}

static void write_names(const struct guest_identity *identity) {
  char text[64];
  snprintf(text, sizeof text, "%.40s\n", identity->machine_id);
  write_etc("machine-id", text, 0444);
  char name[MAX_HOSTNAME + 2];
  snprintf(name, sizeof name, "%s\n", identity->hostname);
  write_etc("hostname", name, 0644);
}

static void remember_name(const struct guest_identity *identity) {
  snprintf(own_name, sizeof own_name, "%s", identity->hostname);
}

void write_identity(const struct guest_identity *identity, const char *address) {
  char hosts[512];
  if (address) snprintf(own_address, sizeof own_address, "%.*s", (int)strcspn(address, "/"), address);
  remember_name(identity);
  set_boot_id(identity->boot_id);
  show_boot_id();
  write_names(identity);
  snprintf(hosts, sizeof hosts, LOCAL_HOSTS "%s\t%s\n", own_address, own_name);
  write_etc("hosts", hosts, 0644);
}

/* ---- RENEW */

static int rewrite_identity(struct stream *s, const void *context) {
  (void)s;
  const struct guest_identity *identity = context;
  show_boot_id();
  write_names(identity);
  rename_in_hosts(identity->hostname);
  return report_success(NULL);
}

int start_renew(struct stream *s, struct reader *request) {
  struct guest_identity identity;
  read_identity(request, &identity);
  if (!reader_done(request)) return -1;
  set_identity(&identity);
  set_boot_id(identity.boot_id);
  struct child_body body = {.run = rewrite_identity, .context = &identity, .complains = true};
  int error = start_child(s, &body);
  if (error) return error;
  remember_name(&identity);
  s->timeout_at = now_ms() + RENEW_MS;
  return 0;
}

void renew_ended(struct stream *s) {
  if (s->timed_out) report("the names of the machine could not be written in time");
  int error = thaw();
  if (error)
    stream_fail(s, FAIL_SYSTEM, error, "thawing the control group");
  else
    stream_succeed(s);
}
