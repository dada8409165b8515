/* Users and groups from the root's own /etc/passwd and /etc/group: a static program cannot ask the image's libc. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

#define MAX_DATABASE (4 << 20)

/* The file as a string; empty when it is missing. For a child that is about to become a command: never freed. */
static char *read_database(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status = {.st_size = 0};
  if (fd < 0 || fstat(fd, &status) < 0 || status.st_size > MAX_DATABASE) status.st_size = 0;
  char *text = malloc((size_t)status.st_size + 1);
  if (!text) _exit(127);
  ssize_t length = fd < 0 ? 0 : read_full(fd, text, (size_t)status.st_size);
  text[length > 0 ? length : 0] = 0;
  if (fd >= 0) close(fd);
  return text;
}

/* Splits the next line at its colons; the text is used up. Short lines get empty fields. */
static bool next_entry(char **text, char **fields, size_t count) {
  if (!**text) return false;
  char *line = strsep(text, "\n");
  static char end[1];
  if (!*text) *text = end;
  for (size_t i = 0; i < count; i++) {
    char *field = i + 1 < count ? strsep(&line, ":") : line;
    fields[i] = field ? field : end;
  }
  return true;
}

static bool as_number(const char *text, uint32_t *number) {
  if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 10) return false;
  unsigned long long value = strtoull(text, NULL, 10);
  *number = (uint32_t)value;
  return value < 0xffffffffULL; /* the highest means "no change" to the kernel */
}

static bool find_group(const char *name, gid_t *gid) {
  char *groups = read_database("/etc/group"), *fields[4];
  while (next_entry(&groups, fields, 4))
    if (strcmp(fields[0], name) == 0 && as_number(fields[2], gid)) return true;
  return as_number(name, gid);
}

static bool lists(char *members, const char *name) {
  char *member;
  while ((member = strsep(&members, ",")))
    if (strcmp(member, name) == 0) return true;
  return false;
}

static void add_supplementary(const char *name, struct identity *identity) {
  char *groups = read_database("/etc/group"), *fields[4];
  size_t max = sizeof identity->groups / sizeof *identity->groups;
  gid_t gid;
  while (identity->group_count < max && next_entry(&groups, fields, 4))
    if (as_number(fields[2], &gid) && lists(fields[3], name)) identity->groups[identity->group_count++] = gid;
}

int find_identity(const char *user, struct identity *identity, char *missing, size_t size) {
  char name[256], *fields[7], found[256] = "";
  size_t length = strcspn(user, ":");
  const char *group = user[length] ? user + length + 1 : NULL;
  snprintf(name, sizeof name, "%.*s", (int)(length < 255 ? length : 255), user);
  if (!name[0]) strcpy(name, "0");
  uint32_t number = 0;
  bool numeric = as_number(name, &number);
  *identity = (struct identity){.home = "/"};

  bool known = false;
  char *users = read_database("/etc/passwd");
  while (!known && next_entry(&users, fields, 7)) {
    uint32_t uid, gid;
    if (!as_number(fields[2], &uid)) continue;
    /* A name wins over a number, also when the name is made of digits. */
    if (strcmp(fields[0], name) != 0 && !(numeric && uid == number)) continue;
    known = true;
    identity->uid = uid;
    identity->gid = as_number(fields[3], &gid) ? gid : 0;
    snprintf(found, sizeof found, "%s", fields[0]);
    if (fields[5][0] == '/') snprintf(identity->home, sizeof identity->home, "%s", fields[5]);
  }
  if (!known && !numeric) {
    snprintf(missing, size, "%s", name);
    return -1;
  }
  if (!known) identity->uid = number;
  if (group && *group) {
    if (find_group(group, &identity->gid)) return 0;
    snprintf(missing, size, "%s", group);
    return -1;
  }
  if (known) add_supplementary(found, identity);
  return 0;
}
