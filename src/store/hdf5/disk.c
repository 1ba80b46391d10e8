/* A file driver for HDF5 over one descriptor, which keeps the number of the first error. */
#include "store/hdf5/disk.h"
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct tpo_h5_disk {
  int fd;
  int error;
  bool ignores_writes;
  int users; /* who opened it, and each file of the library that lies on it */
};

/* What the library holds. */
struct file {
  H5FD_t base; /* the library's, first */
  struct tpo_h5_disk *disk;
  haddr_t eoa, eof; /* end of what is allocated, and of what is written */
};

/* What an access list holds. */
struct choice {
  struct tpo_h5_disk *disk;
};

static int release(struct tpo_h5_disk *disk)
{
  if (--disk->users > 0) return 0;
  int result = close(disk->fd);
  free(disk);
  return result;
}

static H5FD_t *file_open(const char *name, unsigned flags, hid_t access, haddr_t max_address)
{
  (void)name, (void)flags, (void)max_address;
  const struct choice *choice = H5Pget_driver_info(access);
  struct stat info;
  if (!choice || fstat(choice->disk->fd, &info) < 0) return NULL;
  struct file *file = calloc(1, sizeof *file);
  if (!file) return NULL;
  file->disk = choice->disk;
  file->disk->users++;
  file->eof = (haddr_t)info.st_size;
  return &file->base;
}

static herr_t file_close(H5FD_t *base)
{
  struct file *file = (struct file *)base;
  release(file->disk);
  free(file);
  return 0;
}

/* As the library's own driver over descriptors has it, so that files are laid out as it would. */
static herr_t file_query(const H5FD_t *base, unsigned long *flags)
{
  (void)base;
  *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
           H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

static haddr_t file_eoa(const H5FD_t *base, H5FD_mem_t type)
{
  (void)type;
  return ((const struct file *)base)->eoa;
}

static herr_t file_set_eoa(H5FD_t *base, H5FD_mem_t type, haddr_t address)
{
  (void)type;
  ((struct file *)base)->eoa = address;
  return 0;
}

static haddr_t file_eof(const H5FD_t *base, H5FD_mem_t type)
{
  (void)type;
  return ((const struct file *)base)->eof;
}

static herr_t file_read(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t size, void *out)
{
  (void)type, (void)transfer;
  struct tpo_h5_disk *disk = ((struct file *)base)->disk;
  for (uint8_t *bytes = out; size > 0;) {
    ssize_t got = pread(disk->fd, bytes, size, (off_t)at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      if (!disk->error) disk->error = errno;
      return -1;
    }
    if (got == 0) { /* past the end, where the library expects zeros */
      memset(bytes, 0, size);
      return 0;
    }
    bytes += got;
    at += (haddr_t)got;
    size -= (size_t)got;
  }
  return 0;
}

static void fail_write(struct tpo_h5_disk *disk)
{
  if (!disk->error) disk->error = errno;
  disk->ignores_writes = true;
}

static herr_t file_write(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t size,
                         const void *data)
{
  (void)type, (void)transfer;
  struct file *file = (struct file *)base;
  if (at + size > file->eof) file->eof = at + size;
  for (const uint8_t *bytes = data; size > 0 && !file->disk->ignores_writes;) {
    ssize_t written = pwrite(file->disk->fd, bytes, size, (off_t)at);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      fail_write(file->disk);
      break;
    }
    bytes += written;
    at += (haddr_t)written;
    size -= (size_t)written;
  }
  return 0;
}

static herr_t file_truncate(H5FD_t *base, hid_t transfer, hbool_t closing)
{
  (void)transfer, (void)closing;
  struct file *file = (struct file *)base;
  if (file->eoa == file->eof) return 0;
  if (!file->disk->ignores_writes && ftruncate(file->disk->fd, (off_t)file->eoa) < 0) fail_write(file->disk);
  file->eof = file->eoa;
  return 0;
}

static const H5FD_class_t driver = {
#ifdef H5FD_CLASS_VERSION /* since HDF5 1.14 */
    .version = H5FD_CLASS_VERSION,
    .value = 0x7470, /* of the numbers that are left to programs */
#endif
    .name = "tpo",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_WEAK,
    .fapl_size = sizeof(struct choice),
    .open = file_open,
    .close = file_close,
    .query = file_query,
    .get_eoa = file_eoa,
    .set_eoa = file_set_eoa,
    .get_eof = file_eof,
    .read = file_read,
    .write = file_write,
    .truncate = file_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

struct tpo_h5_disk *tpo_h5_disk_open(int fd)
{
  struct tpo_h5_disk *disk = calloc(1, sizeof *disk);
  if (!disk) {
    close(fd);
    return NULL;
  }
  disk->fd = fd;
  disk->users = 1;
  return disk;
}

bool tpo_h5_disk_use(struct tpo_h5_disk *disk, hid_t access)
{
  struct choice choice = {disk};
  hid_t id = H5FDregister(&driver);
  bool is_set = id >= 0 && H5Pset_driver(access, id, &choice) >= 0;
  if (id >= 0) H5FDunregister(id); /* the list has its own hold on it */
  return is_set;
}

int tpo_h5_disk_error(const struct tpo_h5_disk *disk)
{
  return disk ? disk->error : 0;
}

int tpo_h5_disk_fd(const struct tpo_h5_disk *disk)
{
  return disk->fd;
}

void tpo_h5_disk_give_up(struct tpo_h5_disk *disk)
{
  disk->ignores_writes = true;
}

int tpo_h5_disk_close(struct tpo_h5_disk *disk)
{
  return disk ? release(disk) : 0;
}
