import type { AbiDescription } from "./layout.ts";

/** System call arguments and flags that src/sys/linux uses. */
export const linuxX64: AbiDescription = {
  output: "linux.x64.generated.ts",
  headers: [
    "fcntl.h",
    "sys/mman.h",
    "linux/memfd.h",
    "sys/eventfd.h",
    "sys/epoll.h",
    "poll.h",
    "signal.h",
    "sys/prctl.h",
  ],
  structs: [
    { name: "pollfd", fields: ["fd", "events", "revents"] },
    { name: "epoll_event", fields: ["events", "data.fd"] },
  ],
  constants: [
    ...["O_RDONLY", "O_WRONLY", "O_RDWR", "O_CREAT", "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW"],
    ...["PROT_NONE", "PROT_READ", "PROT_WRITE"],
    ...["MAP_SHARED", "MAP_PRIVATE", "MAP_FIXED", "MAP_ANONYMOUS", "MAP_NORESERVE", "MAP_POPULATE"],
    ...["MADV_DONTNEED", "MADV_WILLNEED", "MADV_HUGEPAGE", "MADV_DONTDUMP", "MADV_MERGEABLE"],
    ...["MADV_RANDOM", "MADV_POPULATE_WRITE", "POSIX_FADV_DONTNEED"],
    "MFD_CLOEXEC",
    ...["EFD_CLOEXEC", "EFD_NONBLOCK"],
    ...["POLLIN", "POLLOUT", "POLLERR", "POLLHUP", "POLLNVAL"],
    ...["EPOLL_CLOEXEC", "EPOLL_CTL_ADD", "EPOLL_CTL_DEL", "EPOLLIN"],
    ...["SIG_BLOCK", "SIG_SETMASK", "SIGURG"],
    ...["PR_SET_NAME"],
  ],
};
