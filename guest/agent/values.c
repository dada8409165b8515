#include "values.h"

#include <stdlib.h>
#include <string.h>

#include "protocol.h"

static uint8_t *take(struct reader *r, size_t length) {
  if (r->failed || (size_t)(r->end - r->at) < length) {
    r->failed = true;
    return NULL;
  }
  uint8_t *at = r->at;
  r->at += length;
  return at;
}

uint8_t get_u8(struct reader *r) {
  uint8_t *at = take(r, 1);
  return at ? *at : 0;
}

bool get_flag(struct reader *r) {
  uint8_t value = get_u8(r);
  if (value > 1) r->failed = true;
  return value == 1;
}

uint16_t get_u16(struct reader *r) {
  uint8_t *at = take(r, 2);
  return at ? (uint16_t)(at[0] | at[1] << 8) : 0;
}

uint32_t get_u32(struct reader *r) {
  uint8_t *at = take(r, 4);
  return at ? load_u32(at) : 0;
}

uint64_t get_u64(struct reader *r) {
  uint64_t low = get_u32(r);
  return low | (uint64_t)get_u32(r) << 32;
}

uint8_t *get_bytes(struct reader *r, uint32_t *length) {
  *length = get_u32(r);
  uint8_t *at = take(r, *length);
  if (!at) *length = 0;
  return at;
}

char *get_string(struct reader *r) {
  static char empty[1];
  uint32_t length;
  uint8_t *at = get_bytes(r, &length);
  if (!at) return empty;
  if (memchr(at, 0, length)) {
    r->failed = true;
    return empty;
  }
  /* The last byte of the length has been read; moving the text over it makes room for the terminator. */
  char *text = memmove(at - 1, at, length);
  text[length] = 0;
  return text;
}

struct string_list get_strings(struct reader *r) {
  struct string_list list = {NULL, get_u32(r)};
  if (list.count > (size_t)(r->end - r->at) / 4) {
    r->failed = true;
    list.count = 0;
  }
  list.items = calloc((size_t)list.count + 1, sizeof *list.items);
  if (!list.items) {
    r->failed = true;
    list.count = 0;
    return list;
  }
  for (uint32_t i = 0; i < list.count; i++) list.items[i] = get_string(r);
  return list;
}

bool reader_done(const struct reader *r) {
  return !r->failed && r->at == r->end;
}

void put_u8(struct writer *w, uint8_t value) {
  if (w->length < sizeof w->bytes) w->bytes[w->length++] = value;
}

void put_u16(struct writer *w, uint16_t value) {
  put_u8(w, (uint8_t)value);
  put_u8(w, (uint8_t)(value >> 8));
}

void put_u32(struct writer *w, uint32_t value) {
  put_u16(w, (uint16_t)value);
  put_u16(w, (uint16_t)(value >> 16));
}

void put_u64(struct writer *w, uint64_t value) {
  put_u32(w, (uint32_t)value);
  put_u32(w, (uint32_t)(value >> 32));
}

void put_string(struct writer *w, const char *text) {
  size_t length = strlen(text), room = sizeof w->bytes - w->length;
  if (room < 4) return;
  if (length > room - 4) length = room - 4;
  put_u32(w, (uint32_t)length);
  memcpy(w->bytes + w->length, text, length);
  w->length += length;
}

void put_failure(struct writer *w, int kind, int error, const char *detail) {
  w->length = 0;
  put_u8(w, OUTCOME_FAILED);
  put_u8(w, (uint8_t)kind);
  put_u32(w, (uint32_t)error);
  put_string(w, detail);
}

void store_u32(uint8_t *at, uint32_t value) {
  for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}

uint32_t load_u32(const uint8_t *at) {
  return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}
