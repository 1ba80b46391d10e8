/* A model's files, hashed in samples, and those of a program. */
#include "judge/identity.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"

static int add_file(struct tpo_hash *hash, const char *name, const char *path, struct tpo_error *err)
{
  char hex[33];
  int status = tpo_hash_sampled(path, hex, err);
  tpo_hash_add(hash, name, strlen(name) + 1);
  if (status == 0) tpo_hash_add(hash, hex, sizeof hex);
  return status;
}

/* What a model folder is read for; a description or a licence beside it changes nothing. */
static bool is_of_model(const char *name)
{
  static const char *const ends[] = {".json", ".safetensors", ".jinja", ".model"};
  const char *end = strrchr(name, '.');
  if (*name == '.') return false;
  for (size_t i = 0; end && i < sizeof ends / sizeof *ends; i++)
    if (strcmp(end, ends[i]) == 0) return true;
  return false;
}

static int add_folder(struct tpo_hash *hash, const char *folder, struct tpo_error *err)
{
  struct dirent **names;
  char path[4096];
  int n = scandir(folder, &names, NULL, alphasort), status = 0;
  if (n < 0) return tpo_fail(err, TPO_E_IO, "%s: the folder can't be read: %s", folder, strerror(errno));
  for (int i = 0; i < n; i++) {
    if (status == 0 && is_of_model(names[i]->d_name)) {
      status = tpo_path_join(path, sizeof path, folder, names[i]->d_name, err);
      if (status == 0 && tpo_is_regular(path)) status = add_file(hash, names[i]->d_name, path, err);
    }
    free(names[i]);
  }
  free(names);
  return status;
}

static int identify(const char *what, const char *path, struct tpo_buf *out, struct tpo_error *err)
{
  char hex[33];
  struct tpo_hash hash;
  int status = tpo_hash_begin(&hash, err);
  if (status < 0) return status;
  status = tpo_is_dir(path) ? add_folder(&hash, path, err) : add_file(&hash, "", path, err);
  tpo_hash_end(&hash, hex);
  tpo_buf_printf(out, "judge %s %s: %s\n", what, path, hex);
  return status;
}

int judge_identify_model(const char *path, struct tpo_buf *out, struct tpo_error *err)
{
  return identify("model", path, out, err);
}

int judge_identify_program(const char *path, struct tpo_buf *out, struct tpo_error *err)
{
  return identify("program", path, out, err);
}
