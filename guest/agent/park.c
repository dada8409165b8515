/*
 * Parked commands: they outlive the connection that started them. Their output waits in its pipes, so they stop when
 * those are full; their end is remembered. ADOPT gives one to a stream of the connection that came after.
 */
#define _GNU_SOURCE
#include <stdlib.h>

#include "agent.h"

/* Each may hold pipes and a group for good if nobody comes for it. */
#define MAX_PARKED 64

bool may_start_parked(void) {
  return streams_parkable() < MAX_PARKED;
}

/* What the host sent and the command has not read is lost, as it would be a moment later on the wire. */
static void drop_input(struct input *in) {
  in->queued = 0;
  in->head = 0;
  if (!in->closed && in->end_asked) stream_end_input(in->stream);
}

bool park(struct stream *s) {
  /* One that nobody was told of could not be adopted. */
  if (!s->parkable || !s->start_told || s->cancelled) return false;
  s->is_parked = true;
  drop_input(&s->input);
  return true;
}

void adopt(struct stream *s, uint32_t pid) {
  struct stream *command = stream_parked(pid);
  if (!command) {
    stream_fail(s, FAIL_REFUSED, 0, "no parked command has this process id");
    return;
  }
  struct input *in = &command->input;
  command->is_parked = false;
  command->id = s->id;
  command->start_pending = true;
  in->end_asked = false;
  in->credit = INITIAL_CREDIT;
  in->consumed = 0;
  in->closed_pending = in->closed;
  for (int i = 0; i < 2; i++) command->outputs[i].credit = INITIAL_CREDIT;
  /* The request's own stream has no more to say: its number is the command's now. */
  s->is_dead = true;
  stream_wake(command);
}
