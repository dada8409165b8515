/* The ustar header (POSIX.1-2017, pax, "ustar Interchange Format") and the limits of both tar sides. */
#ifndef TAR_FORMAT_H
#define TAR_FORMAT_H

#define TAR_BLOCK 512

struct tar_header {
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
  char magic[6], version[2], uname[32], gname[32], major[8], minor[8], prefix[155], padding[12];
};

_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "a header is one block");

#define XATTR_RECORD "SCHILY.xattr."

#endif
