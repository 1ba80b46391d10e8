/* The tiny models of all families (tests/model/make_families.py). */
#ifndef TPO_TESTS_FAMILY_FOLDERS_H
#define TPO_TESTS_FAMILY_FOLDERS_H

#include <stdio.h>

#define FAMILY_FOLDERS TPO_SOURCE_DIR "/tests/model/fixtures/families/"

/* A family more is a line here. */
static const char *const families[] = {
    "llama_yarn", "mistral_window", "qwen2_tied", "qwen2_window_yarn", "qwen3",   "gemma2",
    "gemma3",     "phi3_longrope",  "olmo2",      "granite",           "smollm3", "gemma",
};
enum { FAMILIES = sizeof families / sizeof *families };

/* Until the next call. */
static inline const char *family_folder(int family)
{
  static char path[512];
  snprintf(path, sizeof path, FAMILY_FOLDERS "%s", families[family]);
  return path;
}

#endif
