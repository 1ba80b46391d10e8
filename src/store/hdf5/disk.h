/* The disk under an HDF5 file, which remembers what went wrong on it. The library tells a failed read like
 * damage, and after a failed write it can neither flush its caches nor close the file, and crashes when the
 * process ends. So it reads and writes through this: the first error's number is kept, and once a write has
 * failed every later one is taken as done, so that the library ends well and the caller tells the reason. */
#ifndef TPO_STORE_HDF5_DISK_H
#define TPO_STORE_HDF5_DISK_H

#include <hdf5.h>
#include <stdbool.h>

struct tpo_h5_disk;

/* Takes fd, open for what the library will do with it. NULL when memory is short; fd is closed then. */
struct tpo_h5_disk *tpo_h5_disk_open(int fd);
/* The file that H5Fopen or H5Fcreate opens with this access list is that of `disk`, whatever name they are
 * given. False: the library refuses. */
bool tpo_h5_disk_use(struct tpo_h5_disk *disk, hid_t access);
/* errno of the first read or write that failed; 0: none has, or disk is NULL. */
int tpo_h5_disk_error(const struct tpo_h5_disk *disk);
int tpo_h5_disk_fd(const struct tpo_h5_disk *disk); /* borrowed */
/* Nothing more is written: the file is to be removed. */
void tpo_h5_disk_give_up(struct tpo_h5_disk *disk);
/* Closes fd, once the library has let go of the file too. -1 with errno set: what was written may not be
 * there. disk may be NULL. */
int tpo_h5_disk_close(struct tpo_h5_disk *disk);

#endif
