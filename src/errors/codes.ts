/**
 * Every stable error code, with the situation it names. `docs/errors.md` explains each to users; the docs check
 * fails when the two lists differ.
 *
 * @example
 * ```ts
 * console.log(errorCodes.NO_SPACE); // The disk is full
 * ```
 */
export const errorCodes = {
  INVALID_ARGUMENT: "An option or argument has an unusable value",
  INVALID_REFERENCE: "An image reference cannot be read",
  IMAGE_NOT_FOUND: "No such image in the store or registry",
  IMAGE_IN_USE: "The image is used by a machine",
  REGISTRY_AUTH: "The registry refused the credentials, or wants some",
  REGISTRY_UNAVAILABLE: "The registry cannot be reached or keeps failing",
  REGISTRY_PROTOCOL: "The registry answered something the protocol does not allow",
  PLATFORM_MISMATCH: "The image has no variant for the wanted platform",
  DIGEST_MISMATCH: "Content does not match its digest",
  ARCHIVE_INVALID: "An archive or layer is damaged or hostile; the entry is named",
  ROOTFS_LIMIT: "A file of the image is more than the root file system's format can hold; the path is named",
  UNSUPPORTED_MEDIA: "A media type or compression is not supported",
  NO_SPACE: "The disk is full",
  PERMISSION_DENIED: "The system refused access",
  KERNEL_NOT_FOUND: "No guest kernel can be found or fetched",
  AGENT_NOT_BUILT: "The guest agent binary is missing and cannot be built",
  ENGINE_UNAVAILABLE: "No engine is usable here, or the wanted one is not",
  UNSUPPORTED: "The chosen engine or platform cannot do this",
  BOOT_FAILED: "The machine did not come up",
  BOOT_TIMEOUT: "The guest agent did not answer in time",
  GUEST_PANIC: "The guest kernel panicked; the console's last lines are attached",
  MACHINE_NOT_FOUND: "No machine has this name or id",
  MACHINE_NOT_RUNNING: "The machine is not running",
  MACHINE_RUNNING: "The machine runs, and this needs one that has ended",
  MACHINE_EXITED: "The machine stopped while it was being used",
  NAME_IN_USE: "Another machine, or another snapshot, has this name",
  POOL_TIMEOUT: "No machine of the pool became free in time",
  POOL_CLOSED: "The pool is closed, or closing",
  LEASE_ENDED: "A machine was used after its lease had ended",
  AGENT_PROTOCOL: "The guest agent broke the protocol",
  COMMAND_NOT_FOUND: "The command does not exist in the guest",
  COMMAND_NOT_EXECUTABLE: "The command exists in the guest but cannot be executed",
  USER_NOT_FOUND: "The user or group does not exist in the guest",
  WORKING_DIRECTORY: "The working directory cannot be entered in the guest",
  EXEC_FAILED: "A checked command exited with a non-zero status or by a signal",
  OUTPUT_LIMIT: "A command printed more than may be collected",
  TIMEOUT: "An operation took longer than its limit",
  ABORTED: "The caller aborted the operation",
  FILE_ERROR: "A file operation failed in the guest; `errno` says why",
  CONNECTION_REFUSED: "Nothing in the guest accepts connections on the port",
  CONNECTION_LOST: "A connection into the guest broke off",
  PORT_IN_USE: "A host port to publish is taken",
  SNAPSHOT_NOT_FOUND: "No snapshot has this name or id",
  SNAPSHOT_INVALID: "A snapshot is damaged, incomplete or was altered",
  SNAPSHOT_MISMATCH: "A snapshot does not fit this version, host or machine; the message says what differs",
  SNAPSHOT_IN_USE: "The snapshot is used by a machine, or another snapshot is built on it",
  NATIVE_CALL_FAILED: "A system call failed in a way nothing above it expected",
  HYPERVISOR: "The hypervisor refused or failed a request",
  GUEST_FAULT: "The guest handed over an address or value outside its bounds",
  INTERNAL: "A fault in supermachine itself",
} as const;

/** One of the stable error codes. */
export type ErrorCode = keyof typeof errorCodes;
