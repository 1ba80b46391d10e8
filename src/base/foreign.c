/* First bytes of formats that data sets are published in. */
#include <string.h>
#include "base/foreign.h"

#define PANDAS(reader)                                                                                       \
  "; convert: python3 -c 'import pandas; pandas." reader                                                     \
  "(\"FILE\").to_json(\"FILE.jsonl\", orient=\"records\", lines=True)'"
#define UNPACK(program) "; unpack it first: " program

struct format {
  const char *magic;
  size_t len;
  const char *name, *advice;
};

#define FORMAT(magic, name, advice)                                                                          \
  {                                                                                                          \
    magic, sizeof magic - 1, name, advice                                                                    \
  }
static const struct format formats[] = {
    FORMAT("PAR1", "a Parquet file", PANDAS("read_parquet")),
    FORMAT("ARROW1", "an Arrow file", PANDAS("read_feather")),
    FORMAT("\x28\xb5\x2f\xfd", "compressed with zstd", UNPACK("zstd -d FILE")),
    FORMAT("\xfd"
           "7zXZ",
           "compressed with xz", UNPACK("xz -dk FILE")),
    FORMAT("BZh", "compressed with bzip2", UNPACK("bzip2 -dk FILE")),
    FORMAT("\x04\x22\x4d\x18", "compressed with lz4", UNPACK("lz4 -d FILE")),
    FORMAT("PK\x03\x04", "a zip archive", UNPACK("unzip FILE")),
    FORMAT("7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK("7z x FILE")),
    FORMAT("\x89HDF\r\n\x1a\n", "an HDF5 file",
           "; write its rows as JSON Lines with h5py (pairs of tpo are read from a regular file, not from a "
           "pipe)"),
    FORMAT("SQLite format 3", "an SQLite database",
           "; convert: sqlite3 -json FILE 'select * from TABLE' | jq -c '.[]'"),
    FORMAT("GGUF", "a GGUF file, which holds a model", ""),
    FORMAT("TPOJRNL1", "part of a journal of unfinished work",
           "; the command that began it goes on with --resume"),
    FORMAT("version https://git-lfs", "a pointer of Git LFS, and not the file that it stands for",
           "; fetch that: git lfs pull"),
    FORMAT("\xff\xfe", "text in UTF-16", "; convert: iconv -f UTF-16 -t UTF-8 FILE"),
    FORMAT("\xfe\xff", "text in UTF-16", "; convert: iconv -f UTF-16 -t UTF-8 FILE"),
    FORMAT("<!DOCTYPE", "a web page", "; download the file itself"),
    FORMAT("<!doctype", "a web page", "; download the file itself"),
    FORMAT("<html", "a web page", "; download the file itself"),
};

static size_t skip_space(const char *bytes, size_t at, size_t n)
{
  while (at < n && strchr(" \t\r\n", bytes[at]) && bytes[at]) at++;
  return at;
}

/* JSON that is not a value a line: an array of rows, or an object laid out over several lines. */
static bool is_array(const char *bytes, size_t n)
{
  size_t at = n >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
  at = skip_space(bytes, at, n);
  if (at == n || bytes[at] != '[') return false;
  at = skip_space(bytes, at + 1, n);
  return at < n && bytes[at] == '{';
}

static bool is_laid_out(const char *bytes, size_t n)
{
  size_t at = n >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
  at = skip_space(bytes, at, n);
  if (at == n || bytes[at] != '{') return false;
  size_t next = skip_space(bytes, at + 1, n);
  return next < n && memchr(bytes + at, '\n', next - at) != NULL;
}

/* A first line like `instruction,output`: column names that are known, with commas between. */
static bool is_comma_separated(const char *bytes, size_t n)
{
  static const char *const names[] = {"instruction", "prompt", "messages", "chosen", "question"};
  size_t at = n >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
  const char *newline = memchr(bytes, '\n', n);
  size_t end = newline ? (size_t)(newline - bytes) : n;
  if (at >= end || bytes[at] == '{' || memchr(bytes, '\t', end) || !memchr(bytes, ',', end)) return false;
  while (at < end) {
    const char *comma = memchr(bytes + at, ',', end - at);
    size_t to = comma ? (size_t)(comma - bytes) : end;
    size_t from = at, last = to;
    while (from < last && strchr("\" \r", bytes[from]) && bytes[from]) from++;
    while (last > from && strchr("\" \r", bytes[last - 1]) && bytes[last - 1]) last--;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
      if (strlen(names[i]) == last - from && memcmp(names[i], bytes + from, last - from) == 0) return true;
    at = to + 1;
  }
  return false;
}

static int refuse(const char *path, const char *what, const char *advice, struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_INPUT, "%s: is %s; JSON Lines are expected, plain or gzip%s",
                  strcmp(path, "-") == 0 ? "standard input" : path, what, advice);
}

int tpo_lines_refuse_foreign(struct tpo_lines *lines, struct tpo_error *err)
{
  const char *bytes;
  size_t n;
  int status = tpo_lines_peek(lines, &bytes, &n, err);
  if (status < 0) return status;
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
    if (n >= formats[i].len && memcmp(bytes, formats[i].magic, formats[i].len) == 0)
      return refuse(lines->path, formats[i].name, formats[i].advice, err);
  if (is_array(bytes, n))
    return refuse(lines->path, "a JSON array", "; convert: jq -c '.[]' FILE > FILE.jsonl", err);
  if (is_laid_out(bytes, n))
    return refuse(lines->path, "JSON whose objects take several lines",
                  ", an object a line; convert: jq -c . FILE > FILE.jsonl", err);
  if (is_comma_separated(bytes, n)) return refuse(lines->path, "comma-separated", PANDAS("read_csv"), err);
  return 0;
}
