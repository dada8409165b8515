/* The agent protocol's numbers; docs/agent-protocol.md is the specification, src/agent/protocol.ts the other side. */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#define PROTOCOL_VERSION 1
#define PREAMBLE_MAGIC "SMAGENT\xf7"
#define PREAMBLE_BYTES 32
#define HEADER_BYTES 12
#define MAX_PAYLOAD 65536u
#define MAX_REQUEST (4u << 20)
#define INITIAL_CREDIT 262144u
#define MAX_STREAMS 1024

enum frame_type {
  FRAME_REQUEST = 1,
  FRAME_DATA = 2,
  FRAME_EOF = 3,
  FRAME_CREDIT = 4,
  FRAME_SIGNAL = 5,
  FRAME_RESIZE = 6,
  FRAME_CANCEL = 7,
  FRAME_STARTED = 16,
  FRAME_DONE = 17,
  FRAME_INPUT_CLOSED = 18,
};

enum channel { CHANNEL_INPUT = 0, CHANNEL_OUTPUT = 1, CHANNEL_ERROR = 2 };

enum operation {
  OP_SETUP = 1,
  OP_EXEC,
  OP_READ_FILE,
  OP_WRITE_FILE,
  OP_STAT,
  OP_LIST,
  OP_MKDIR,
  OP_REMOVE,
  OP_RENAME,
  OP_CHMOD,
  OP_CHOWN,
  OP_SYMLINK,
  OP_READ_TAR,
  OP_WRITE_TAR,
  OP_CONNECT,
  OP_SHUTDOWN,
};

enum outcome { OUTCOME_OK = 0, OUTCOME_FAILED = 1 };

enum failure {
  FAIL_SYSTEM = 1,
  FAIL_COMMAND_NOT_FOUND,
  FAIL_COMMAND_NOT_EXECUTABLE,
  FAIL_USER_NOT_FOUND,
  FAIL_WORKING_DIRECTORY,
  FAIL_ARCHIVE,
  FAIL_SETUP,
  FAIL_REFUSED,
  FAIL_CANCELLED,
};

#endif
