/* `tpo --version`: what this program is and what it was built with. */
#include <elf.h>
#include <hdf5.h>
#include <jansson.h>
#include <link.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include <xxhash.h>
#include <yaml.h>
#include <zlib.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "tpo/backend.h"
#include "tpo/judge.h"

/* "10.42 2022-12-11" becomes "10.42". */
static void pcre2_version(char out[64])
{
  out[0] = '\0';
  if (pcre2_config(PCRE2_CONFIG_VERSION, NULL) <= 64) pcre2_config(PCRE2_CONFIG_VERSION, out);
  out[strcspn(out, " ")] = '\0';
}

/* "Open MPI v4.1.4" */
static void mpi_version(char out[MPI_MAX_LIBRARY_VERSION_STRING])
{
  int len;
  MPI_Get_library_version(out, &len);
  out[strcspn(out, ",\n")] = '\0';
}

char *version_build(void)
{
  struct tpo_buf text = {0};
  tpo_buf_printf(&text, "%s, %s, flags %s", TPO_BUILD_TYPE, TPO_COMPILER, TPO_BUILD_FLAGS);
  return tpo_buf_take(&text);
}

char *version_libraries(void)
{
  char mpi[MPI_MAX_LIBRARY_VERSION_STRING], pcre2[64];
  struct tpo_buf text = {0};
  mpi_version(mpi);
  pcre2_version(pcre2);
  tpo_buf_printf(&text, "%s, PCRE2 %s, utf8proc %s", mpi, pcre2, utf8proc_version());
  return tpo_buf_take(&text);
}

/* Notes are a header, a name and a description, the last two filled up to 4 bytes. */
static void find_note(const char *notes, size_t len, struct tpo_buf *hex)
{
  for (size_t at = 0; at + sizeof(ElfW(Nhdr)) <= len;) {
    ElfW(Nhdr) note;
    memcpy(&note, notes + at, sizeof note);
    size_t name = at + sizeof note, id = name + (note.n_namesz + 3) / 4 * 4;
    at = id + (note.n_descsz + 3) / 4 * 4;
    if (at > len) return;
    if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4 || memcmp(notes + name, "GNU", 4) != 0) continue;
    for (size_t i = 0; i < note.n_descsz; i++) tpo_buf_printf(hex, "%02x", (unsigned char)notes[id + i]);
    return;
  }
}

/* The first that it is called for is the program itself. */
static int find_build_id(struct dl_phdr_info *info, size_t size, void *hex)
{
  (void)size;
  for (int i = 0; i < info->dlpi_phnum; i++)
    if (info->dlpi_phdr[i].p_type == PT_NOTE)
      find_note((const char *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr), info->dlpi_phdr[i].p_memsz,
                hex);
  return 1;
}

char *version_build_id(void)
{
  struct tpo_buf hex = {0};
  dl_iterate_phdr(find_build_id, &hex);
  if (hex.len == 0) tpo_buf_puts(&hex, "none");
  return tpo_buf_take(&hex);
}

void print_version(void)
{
  unsigned major, minor, release, xxhash = XXH_versionNumber();
  char mpi[MPI_MAX_LIBRARY_VERSION_STRING], pcre2[64];
  H5get_libversion(&major, &minor, &release);
  mpi_version(mpi);
  pcre2_version(pcre2);
  char *build = version_build();
  printf("tpo %s\nbuild: %s\nbackends: %s\njudges: %s\n", tpo_version(), build ? build : "",
         tpo_backend_list(), tpo_judge_kinds());
  free(build);
  printf("libraries: HDF5 %u.%u.%u, %s, Jansson %s, PCRE2 %s, "
         "libyaml %s, utf8proc %s, xxHash %u.%u.%u, zlib %s\n",
         major, minor, release, mpi, JANSSON_VERSION, pcre2, yaml_get_version_string(), utf8proc_version(),
         xxhash / 10000, xxhash / 100 % 100, xxhash % 100, zlibVersion());
}
