/* File operations. Each runs in a child of its own, so a slow disk or a full pipe holds up nothing else. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

#define KEEP_MODE 0xffffffffu
#define COPY_BYTES 65536

struct file_request {
  uint8_t operation;
  char *path, *other;
  uint64_t offset, length;
  uint32_t mode, uid, gid;
  bool first, second;
};

static int run_operation(struct stream *s, const void *context);

int start_file_operation(struct stream *s, struct reader *request) {
  struct file_request r = {.operation = s->operation, .path = get_string(request)};
  bool input = false;
  switch (s->operation) {
    case OP_READ_FILE:
      r.offset = get_u64(request);
      r.length = get_u64(request);
      break;
    case OP_WRITE_FILE:
      r.mode = get_u32(request);
      r.first = get_flag(request);
      input = true;
      break;
    case OP_STAT:
      r.first = get_flag(request);
      break;
    case OP_MKDIR:
      r.first = get_flag(request);
      r.mode = get_u32(request);
      break;
    case OP_REMOVE:
      r.first = get_flag(request);
      r.second = get_flag(request);
      break;
    case OP_CHMOD:
      r.mode = get_u32(request);
      break;
    case OP_CHOWN:
      r.uid = get_u32(request);
      r.gid = get_u32(request);
      break;
    case OP_RENAME:
    case OP_SYMLINK:
      r.other = get_string(request);
      break;
    case OP_WRITE_TAR:
      input = true;
      break;
    case OP_LIST:
    case OP_READ_TAR:
      break;
    default:
      return -1;
  }
  if (!reader_done(request)) return -1;
  struct child_body body = {.run = run_operation, .context = &r, .input = input};
  return start_child(s, &body);
}

bool write_all(int fd, const void *bytes, size_t length) {
  const char *at = bytes;
  while (length > 0) {
    ssize_t n = write(fd, at, length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    at += n;
    length -= (size_t)n;
  }
  return true;
}

ssize_t read_full(int fd, void *bytes, size_t length) {
  size_t done = 0;
  while (done < length) {
    ssize_t n = read(fd, (char *)bytes + done, length - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) break;
    done += (size_t)n;
  }
  return (ssize_t)done;
}

int make_directories(const char *path, mode_t mode) {
  char part[PATH_MAX];
  if (strlen(path) >= sizeof part) return ENAMETOOLONG;
  strcpy(part, path);
  for (char *slash = part + strspn(part, "/"); slash;) {
    slash = strchr(slash, '/');
    if (slash) *slash = 0;
    struct stat status;
    if (mkdir(part, mode) < 0 && (errno != EEXIST || stat(part, &status) < 0 || !S_ISDIR(status.st_mode)))
      if (part[0]) return errno == EEXIST ? ENOTDIR : errno;
    if (slash) {
      *slash++ = '/';
      slash += strspn(slash, "/");
      if (!*slash) break;
    }
  }
  return 0;
}

static int failed(const char *detail) {
  return report_failure(FAIL_SYSTEM, errno, detail);
}

/* ---- content */

static int read_file(const struct file_request *r) {
  static uint8_t buffer[COPY_BYTES];
  int fd = open(r->path, O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (fd < 0 || fstat(fd, &status) < 0) return failed("");
  if (S_ISDIR(status.st_mode)) return report_failure(FAIL_SYSTEM, EISDIR, "");
  if (r->offset > 0 && lseek(fd, (off_t)r->offset, SEEK_SET) < 0) return failed("");
  for (uint64_t left = r->length; left > 0;) {
    ssize_t got = read(fd, buffer, left < sizeof buffer ? left : sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed("");
    if (got == 0) break;
    if (!write_all(1, buffer, (size_t)got)) return failed("");
    left -= (uint64_t)got;
  }
  return report_success(NULL);
}

static bool copy_input(int to) {
  static uint8_t buffer[COPY_BYTES];
  for (;;) {
    ssize_t got = read(0, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) return true;
    if (!write_all(to, buffer, (size_t)got)) return false;
  }
}

/* A cancelled upload leaves nothing behind: SIGTERM removes what is not yet in place. */
static char temporary[PATH_MAX];

static void give_up(int signal_number) {
  (void)signal_number;
  unlink(temporary);
  _exit(1);
}

static int write_in_place(const struct file_request *r, int flags) {
  int fd = open(r->path, O_WRONLY | O_CLOEXEC | O_NOCTTY | flags, 0666);
  if (fd < 0) return failed("");
  if (!copy_input(fd)) return failed("");
  if (r->mode != KEEP_MODE && fchmod(fd, r->mode & 07777) < 0) return failed("");
  return close(fd) < 0 ? failed("") : report_success(NULL);
}

static int write_file(const struct file_request *r) {
  char target[PATH_MAX];
  struct stat before;
  bool exists = stat(r->path, &before) == 0;
  if (!exists && errno != ENOENT) return failed("");
  if (exists && S_ISDIR(before.st_mode)) return report_failure(FAIL_SYSTEM, EISDIR, "");
  if (r->first) return write_in_place(r, O_CREAT | O_APPEND);
  if (exists && (!S_ISREG(before.st_mode) || before.st_nlink > 1)) return write_in_place(r, O_TRUNC);
  /* Through links to the file itself; a link to nothing is created through, too. */
  if (exists ? !realpath(r->path, target) : readlink(r->path, target, 1) >= 0) return write_in_place(r, O_CREAT | O_TRUNC);
  if (!exists) snprintf(target, sizeof target, "%s", r->path);
  char *slash = strrchr(target, '/');
  const char *name = slash ? slash + 1 : target;
  int n = snprintf(temporary, sizeof temporary, "%.*s.%.200s.%d", (int)(name - target), target, name, (int)getpid());
  if (n < 0 || (size_t)n >= sizeof temporary) return report_failure(FAIL_SYSTEM, ENAMETOOLONG, "");
  signal(SIGTERM, give_up);
  int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd < 0) return failed("");
  bool good = copy_input(fd);
  if (good && exists) good = fchown(fd, before.st_uid, before.st_gid) == 0 && fchmod(fd, before.st_mode & 07777) == 0;
  if (good && r->mode != KEEP_MODE) good = fchmod(fd, r->mode & 07777) == 0;
  good = good && close(fd) == 0 && rename(temporary, target) == 0;
  if (good) return report_success(NULL);
  int error = errno;
  unlink(temporary);
  return report_failure(FAIL_SYSTEM, error, "");
}

/* ---- what files are */

static void put_stat(struct writer *w, const struct stat *status, const char *target) {
  static const mode_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK};
  uint8_t type = 0;
  while (type < 6 && types[type] != (status->st_mode & S_IFMT)) type++;
  put_u8(w, type);
  put_u64(w, (uint64_t)status->st_size);
  put_u32(w, status->st_mode & 07777);
  put_u32(w, status->st_uid);
  put_u32(w, status->st_gid);
  put_u64(w, (uint64_t)status->st_mtim.tv_sec);
  put_u32(w, (uint32_t)status->st_mtim.tv_nsec);
  put_string(w, target);
}

static void read_target(int directory, const char *name, char *target) {
  ssize_t length = readlinkat(directory, name, target, PATH_MAX - 1);
  target[length > 0 ? length : 0] = 0;
}

static int stat_file(const struct file_request *r) {
  struct stat status;
  struct writer result = {.length = 0};
  char target[PATH_MAX] = "";
  if (fstatat(AT_FDCWD, r->path, &status, r->first ? 0 : AT_SYMLINK_NOFOLLOW) < 0) return failed("");
  if (S_ISLNK(status.st_mode)) read_target(AT_FDCWD, r->path, target);
  put_stat(&result, &status, target);
  return report_success(&result);
}

static int list_directory(const struct file_request *r) {
  DIR *directory = opendir(r->path);
  FILE *output = fdopen(1, "w");
  if (!directory || !output) return failed("");
  setvbuf(output, NULL, _IOFBF, COPY_BYTES);
  for (;;) {
    errno = 0;
    struct dirent *entry = readdir(directory);
    if (!entry) break;
    struct stat status;
    char target[PATH_MAX] = "";
    uint8_t length[4];
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    /* It may have gone since; that is no failure of the listing. */
    if (fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0) continue;
    if (S_ISLNK(status.st_mode)) read_target(dirfd(directory), entry->d_name, target);
    struct writer record = {.length = 0};
    put_string(&record, entry->d_name);
    put_stat(&record, &status, target);
    store_u32(length, (uint32_t)record.length);
    if (fwrite(length, 4, 1, output) != 1 || fwrite(record.bytes, record.length, 1, output) != 1) return failed("");
  }
  if (errno || fflush(output) != 0) return failed("");
  return report_success(NULL);
}

/* ---- changes */

static int make_directory(const struct file_request *r) {
  int error = 0;
  if (r->first) {
    struct stat status;
    bool exists = stat(r->path, &status) == 0;
    error = make_directories(r->path, 0755);
    if (!error && !exists && chmod(r->path, r->mode & 07777 & ~022u) < 0) error = errno;
  } else if (mkdir(r->path, r->mode & 07777) < 0) {
    error = errno;
  }
  return error ? report_failure(FAIL_SYSTEM, error, "") : report_success(NULL);
}

/* Never through a symbolic link; 0 or errno. */
static int remove_tree(int parent, const char *name) {
  if (unlinkat(parent, name, 0) == 0) return 0;
  if (errno != EISDIR && errno != EPERM) return errno;
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno;
  DIR *directory = fdopendir(fd);
  if (!directory) return errno;
  int error = 0;
  struct dirent *entry;
  while (!error && (entry = readdir(directory))) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    error = remove_tree(fd, entry->d_name);
    if (error == ENOENT) error = 0;
  }
  closedir(directory);
  if (!error && unlinkat(parent, name, AT_REMOVEDIR) < 0) error = errno;
  return error;
}

static int remove_path(const struct file_request *r) {
  int error = 0;
  if (r->first)
    error = remove_tree(AT_FDCWD, r->path);
  else if (unlink(r->path) < 0)
    error = errno != EISDIR || rmdir(r->path) < 0 ? errno : 0;
  if (r->second && error == ENOENT) error = 0;
  return error ? report_failure(FAIL_SYSTEM, error, "") : report_success(NULL);
}

static int done(int result) {
  return result < 0 ? failed("") : report_success(NULL);
}

static int run_operation(struct stream *s, const void *context) {
  (void)s;
  const struct file_request *r = context;
  switch (r->operation) {
    case OP_READ_FILE:
      return read_file(r);
    case OP_WRITE_FILE:
      return write_file(r);
    case OP_STAT:
      return stat_file(r);
    case OP_LIST:
      return list_directory(r);
    case OP_MKDIR:
      return make_directory(r);
    case OP_REMOVE:
      return remove_path(r);
    case OP_RENAME:
      return done(rename(r->path, r->other));
    case OP_CHMOD:
      return done(chmod(r->path, r->mode & 07777));
    case OP_CHOWN:
      return done(chown(r->path, r->uid, r->gid));
    case OP_SYMLINK:
      return done(symlink(r->path, r->other));
    case OP_READ_TAR:
      return write_archive(r->path);
    default:
      return read_archive(r->path);
  }
}
