/* Values in requests and results. A reader works in place: strings become C strings inside the request itself. */
#ifndef VALUES_H
#define VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
  uint8_t *at, *end;
  bool failed; /* sticky: a reader that failed returns zeros and empty strings */
};

struct string_list {
  char **items; /* count + 1 pointers, the last one NULL; malloc'ed */
  uint32_t count;
};

uint8_t get_u8(struct reader *r);
bool get_flag(struct reader *r);
uint16_t get_u16(struct reader *r);
uint32_t get_u32(struct reader *r);
uint64_t get_u64(struct reader *r);
/* Never NULL. Fails on a NUL inside. */
char *get_string(struct reader *r);
uint8_t *get_bytes(struct reader *r, uint32_t *length);
struct string_list get_strings(struct reader *r);
/* True when everything was read, nothing is left and nothing failed. */
bool reader_done(const struct reader *r);

/* A result of bounded size, built on the stack. What does not fit is cut off at the end of a string. */
struct writer {
  uint8_t bytes[8192];
  size_t length;
};

void put_u8(struct writer *w, uint8_t value);
void put_u16(struct writer *w, uint16_t value);
void put_u32(struct writer *w, uint32_t value);
void put_u64(struct writer *w, uint64_t value);
void put_string(struct writer *w, const char *text);

/* A whole DONE payload for a failure. */
void put_failure(struct writer *w, int kind, int error, const char *detail);

void store_u32(uint8_t *at, uint32_t value);
uint32_t load_u32(const uint8_t *at);

#endif
