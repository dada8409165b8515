/* READ_TAR: a pax archive of a file, or of what is in a directory, to standard output. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent.h"
#include "tar_format.h"

#define COPY_BYTES 65536

static uint8_t out[COPY_BYTES + TAR_BLOCK];
static size_t out_length;

static bool flush_out(void) {
  bool good = write_all(1, out, out_length);
  out_length = 0;
  return good;
}

static bool emit(const void *bytes, size_t length) {
  for (const uint8_t *at = bytes; length > 0;) {
    size_t part = sizeof out - out_length;
    if (part > length) part = length;
    memcpy(out + out_length, at, part);
    out_length += part;
    at += part;
    length -= part;
    if (out_length == sizeof out && !flush_out()) return false;
  }
  return true;
}

static bool emit_padding(uint64_t length) {
  static const uint8_t zeros[TAR_BLOCK];
  return emit(zeros, (TAR_BLOCK - length % TAR_BLOCK) % TAR_BLOCK);
}

/* ---- pax records: what a ustar header cannot say */

static char *records;
static size_t records_length, records_capacity;

static bool add_record(const char *key, const void *value, size_t length) {
  /* "LENGTH KEY=VALUE\n", where LENGTH counts itself. */
  size_t rest = strlen(key) + length + 3, digits = 1, total;
  char number[24];
  while ((size_t)snprintf(number, sizeof number, "%zu", (total = rest + digits)) != digits) digits++;
  if (records_length + total + 1 > records_capacity) {
    size_t capacity = (records_length + total + 1) * 2;
    char *larger = realloc(records, capacity);
    if (!larger) return false;
    records = larger;
    records_capacity = capacity;
  }
  int head = sprintf(records + records_length, "%zu %s=", total, key);
  memcpy(records + records_length + head, value, length);
  records[records_length + total - 1] = '\n';
  records_length += total;
  return true;
}

static bool add_text(const char *key, const char *text) {
  return add_record(key, text, strlen(text));
}

static bool add_number(const char *key, uint64_t number) {
  char text[32];
  snprintf(text, sizeof text, "%llu", (unsigned long long)number);
  return add_text(key, text);
}

static bool add_time(const struct timespec *time) {
  char text[48];
  long long seconds = time->tv_sec;
  long ns = time->tv_nsec;
  /* -0.5 s is stored as -1 s and 500,000,000 ns, and written as "-0.5". */
  bool negative = seconds < 0;
  if (negative && ns > 0) {
    seconds++;
    ns = 1000000000 - ns;
  }
  snprintf(text, sizeof text, "%s%lld.%09ld", negative ? "-" : "", negative ? -seconds : seconds, ns);
  return add_text("mtime", text);
}

static void octal(char *field, size_t size, uint64_t value) {
  snprintf(field, size, "%0*llo", (int)size - 1, (unsigned long long)value);
}

static void finish_header(struct tar_header *header) {
  memcpy(header->magic, "ustar", 6);
  memcpy(header->version, "00", 2);
  memset(header->checksum, ' ', sizeof header->checksum);
  unsigned sum = 0;
  for (size_t i = 0; i < sizeof *header; i++) sum += ((uint8_t *)header)[i];
  snprintf(header->checksum, sizeof header->checksum, "%06o", sum);
}

static bool emit_records(void) {
  if (records_length == 0) return true;
  struct tar_header header = {.type = 'x'};
  strcpy(header.name, "pax");
  octal(header.mode, sizeof header.mode, 0644);
  octal(header.uid, sizeof header.uid, 0);
  octal(header.gid, sizeof header.gid, 0);
  octal(header.size, sizeof header.size, records_length);
  octal(header.mtime, sizeof header.mtime, 0);
  finish_header(&header);
  bool good = emit(&header, sizeof header) && emit(records, records_length) && emit_padding(records_length);
  records_length = 0;
  return good;
}

/* ---- entries */

struct entry {
  const char *name; /* in the archive */
  struct stat status;
  char type;
  const char *link;
  uint64_t size;
};

static bool put_name(char *field, size_t size, const char *key, const char *text) {
  size_t length = strlen(text);
  if (length > size) {
    length = size;
    if (!add_text(key, text)) return false;
  }
  memcpy(field, text, length);
  return true;
}

static bool put_number(char *field, size_t size, const char *key, uint64_t value) {
  uint64_t max = (1ULL << (3 * (size - 1))) - 1;
  octal(field, size, value <= max ? value : 0);
  return value <= max || add_number(key, value);
}

static bool emit_header(const struct entry *e) {
  struct tar_header header = {.type = e->type};
  bool good = put_name(header.name, sizeof header.name, "path", e->name) &&
              put_name(header.link, sizeof header.link, "linkpath", e->link) &&
              put_number(header.uid, sizeof header.uid, "uid", e->status.st_uid) &&
              put_number(header.gid, sizeof header.gid, "gid", e->status.st_gid) &&
              put_number(header.size, sizeof header.size, "size", e->size);
  int64_t seconds = e->status.st_mtim.tv_sec;
  bool plain_time = seconds >= 0 && seconds < 1LL << 33 && e->status.st_mtim.tv_nsec == 0;
  octal(header.mtime, sizeof header.mtime, seconds >= 0 && seconds < 1LL << 33 ? (uint64_t)seconds : 0);
  octal(header.mode, sizeof header.mode, e->status.st_mode & 07777);
  if (!plain_time) good = good && add_time(&e->status.st_mtim);
  if (e->type == '3' || e->type == '4') {
    octal(header.major, sizeof header.major, major(e->status.st_rdev));
    octal(header.minor, sizeof header.minor, minor(e->status.st_rdev));
  }
  finish_header(&header);
  return good && emit_records() && emit(&header, sizeof header);
}

/* By descriptor where there is one; what cannot be opened (links, devices) is reached by path, if there is a /proc. */
static bool add_xattrs(int directory, const char *name, int fd) {
  static char path[PATH_MAX], names[65536], value[65536];
  snprintf(path, sizeof path, "/proc/self/fd/%d/%s", directory, name);
  ssize_t length = fd >= 0 ? flistxattr(fd, names, sizeof names) : llistxattr(path, names, sizeof names);
  for (ssize_t at = 0; at < length; at += (ssize_t)strlen(names + at) + 1) {
    char key[300];
    ssize_t size = fd >= 0 ? fgetxattr(fd, names + at, value, sizeof value) : lgetxattr(path, names + at, value, sizeof value);
    if (size < 0) continue;
    snprintf(key, sizeof key, XATTR_RECORD "%s", names + at);
    if (!add_record(key, value, (size_t)size)) return false;
  }
  return true;
}

/* ---- hard links: the first name of an inode in the stream is the file, later ones refer to it */

struct known_inode {
  dev_t device;
  ino_t inode;
  char *name;
};

static struct known_inode *inodes;
static size_t inode_count, inode_capacity;

static struct known_inode *inode_slot(const struct stat *status) {
  size_t at = (size_t)(status->st_ino * 0x9e3779b97f4a7c15ULL ^ status->st_dev) & (inode_capacity - 1);
  while (inodes[at].name && (inodes[at].inode != status->st_ino || inodes[at].device != status->st_dev))
    at = (at + 1) & (inode_capacity - 1);
  return &inodes[at];
}

static bool grow_inodes(void) {
  struct known_inode *old = inodes;
  size_t old_capacity = inode_capacity;
  inode_capacity = old_capacity ? old_capacity * 2 : 1024;
  if (!(inodes = calloc(inode_capacity, sizeof *inodes))) return false;
  for (size_t i = 0; i < old_capacity; i++) {
    struct stat status = {.st_dev = old[i].device, .st_ino = old[i].inode};
    if (old[i].name) *inode_slot(&status) = old[i];
  }
  free(old);
  return true;
}

/* The earlier name of this inode; NULL when this is its first. */
static const char *earlier_name(const struct stat *status, const char *name) {
  if (status->st_nlink < 2 || S_ISDIR(status->st_mode)) return NULL;
  if (inode_count * 2 >= inode_capacity && !grow_inodes()) return NULL;
  struct known_inode *slot = inode_slot(status);
  if (slot->name) return slot->name;
  *slot = (struct known_inode){status->st_dev, status->st_ino, strdup(name)};
  if (slot->name) inode_count++;
  return NULL;
}

/* ---- the walk */

static int archive_directory(int fd, const char *prefix);

static bool emit_content(int fd, uint64_t size) {
  uint64_t left = size;
  while (left > 0) {
    if (out_length > COPY_BYTES / 2 && !flush_out()) return false;
    size_t room = sizeof out - out_length;
    ssize_t got = read(fd, out + out_length, left < room ? left : room);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    out_length += (size_t)got;
    left -= (uint64_t)got;
    if (out_length == sizeof out && !flush_out()) return false;
  }
  /* A file that shrank meanwhile: the header has promised its old size. */
  static const uint8_t zeros[TAR_BLOCK];
  for (; left > 0; left -= left < TAR_BLOCK ? left : TAR_BLOCK)
    if (!emit(zeros, left < TAR_BLOCK ? left : TAR_BLOCK)) return false;
  return emit_padding(size);
}

/* 0 or errno */
static int archive_entry(int directory, const char *name, const char *archive_name) {
  struct entry e = {.name = archive_name, .link = "", .type = '0'};
  char target[PATH_MAX] = "";
  if (fstatat(directory, name, &e.status, AT_SYMLINK_NOFOLLOW) < 0) return errno == ENOENT ? 0 : errno;
  if (S_ISSOCK(e.status.st_mode)) return 0; /* means nothing without its process */
  int fd = -1;
  if (S_ISREG(e.status.st_mode) || S_ISDIR(e.status.st_mode)) {
    fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &e.status) < 0) return errno == ENOENT ? 0 : errno;
  }
  const char *earlier = earlier_name(&e.status, archive_name);
  char directory_name[PATH_MAX];
  if (earlier) {
    e.type = '1';
    e.link = earlier;
  } else if (S_ISREG(e.status.st_mode)) {
    e.size = (uint64_t)e.status.st_size;
  } else if (S_ISDIR(e.status.st_mode)) {
    e.type = '5';
    snprintf(directory_name, sizeof directory_name, "%s/", archive_name);
    e.name = directory_name;
  } else if (S_ISLNK(e.status.st_mode)) {
    e.type = '2';
    ssize_t length = readlinkat(directory, name, target, sizeof target - 1);
    if (length < 0) return errno;
    e.link = target;
  } else {
    e.type = S_ISCHR(e.status.st_mode) ? '3' : S_ISBLK(e.status.st_mode) ? '4' : '6';
  }
  int error = 0;
  bool good = (earlier || add_xattrs(directory, name, fd)) && emit_header(&e);
  if (good && e.type == '0') good = emit_content(fd, e.size);
  if (!good) error = errno ? errno : ENOMEM;
  if (!error && e.type == '5') error = archive_directory(fd, directory_name);
  if (fd >= 0) close(fd);
  return error;
}

static int archive_directory(int fd, const char *prefix) {
  int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *directory = again < 0 ? NULL : fdopendir(again);
  if (!directory) return errno;
  int error = 0;
  struct dirent *entry;
  while (!error && (errno = 0, entry = readdir(directory))) {
    char name[PATH_MAX];
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    int length = snprintf(name, sizeof name, "%s%s", prefix, entry->d_name);
    error = length >= (int)sizeof name - 1 ? ENAMETOOLONG : archive_entry(fd, entry->d_name, name);
  }
  if (!error && !entry) error = errno;
  closedir(directory);
  return error;
}

int write_archive(const char *path) {
  char copy[PATH_MAX];
  snprintf(copy, sizeof copy, "%s", path);
  int error = 0;
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    error = archive_directory(fd, "");
  } else if (errno == ENOTDIR) {
    char *slash = strrchr(copy, '/');
    const char *name = slash ? slash + 1 : copy;
    if (slash) *slash = 0;
    int parent = open(slash ? (copy[0] ? copy : "/") : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    error = parent < 0 ? errno : archive_entry(parent, name, name);
  } else {
    error = errno;
  }
  static const uint8_t end[2 * TAR_BLOCK];
  if (!error && (!emit(end, sizeof end) || !flush_out())) error = errno;
  return error ? report_failure(FAIL_SYSTEM, error, "") : report_success(NULL);
}
