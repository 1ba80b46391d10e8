/* `tpo --version`: what this program is and what it was built with. */
#include <hdf5.h>
#include <jansson.h>
#include <mpi.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>
#include <xxhash.h>
#include <yaml.h>
#include <zlib.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

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

void print_version(void)
{
  unsigned major, minor, release, xxhash = XXH_versionNumber();
  char mpi[MPI_MAX_LIBRARY_VERSION_STRING], pcre2[64];
  int len;
  H5get_libversion(&major, &minor, &release);
  MPI_Get_library_version(mpi, &len);
  mpi[strcspn(mpi, ",\n")] = '\0';
  pcre2_version(pcre2);
  printf("tpo %s\nbuild: %s, %s, flags %s\nbackends: %s\njudges: %s\n", tpo_version(), TPO_BUILD_TYPE,
         TPO_COMPILER, TPO_BUILD_FLAGS, tpo_backend_list(), tpo_judge_kinds());
  printf("libraries: HDF5 %u.%u.%u, %s, Jansson %s, PCRE2 %s, "
         "libyaml %s, utf8proc %s, xxHash %u.%u.%u, zlib %s\n",
         major, minor, release, mpi, JANSSON_VERSION, pcre2, yaml_get_version_string(), utf8proc_version(),
         xxhash / 10000, xxhash / 100 % 100, xxhash % 100, zlibVersion());
}
