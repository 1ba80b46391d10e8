/* Opens a tokenizer from a folder, a GGUF file or a checkpoint, and answers what is asked of it. */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/utf8.h"
#include "tpo/store.h"

enum { MAX_FILE_BYTES = 512 << 20 };

const char *const tpo_tokenizer_file_names[TPO_N_FILES] = {"tokenizer.json", "tokenizer_config.json",
                                                           "generation_config.json",
                                                           "special_tokens_map.json", "chat_template.jinja"};

/* Whether an added token is the model's token of that id as well, of which text is made whatever else it is:
 * not a special one, or one that is a single symbol, without which its byte or character would be lost. Text
 * is not made of other special tokens, whatever the merges say. */
static bool is_text_too(const struct tpo_tokenizer *tok, const char *name, size_t len,
                        struct tpo_added_token token, struct tpo_buf *work)
{
  if ((size_t)token.id >= tok->vocab.n) return false;
  const struct tpo_token *own = &tok->vocab.tokens[token.id];
  enum tpo_token_kind kind = tpo_token_read(tok->bpe.byte_level, work, &name, &len);
  if (work->failed || kind == TPO_TOKEN_LITERAL || tpo_token_text_kind(own) != kind || own->len != len ||
      memcmp(own->bytes, name, len) != 0)
    return false;
  uint32_t cp;
  return !token.special || len == 1 ||
         (!tok->bpe.byte_level && tpo_utf8_decode((const uint8_t *)name, len, &cp) == (int)len);
}

int tpo_tokenizer_add(struct tpo_tokenizer *tok, const char *name, size_t len, struct tpo_added_token token,
                      struct tpo_error *err)
{
  int kind = token.special ? TPO_TOKEN_CONTROL : TPO_TOKEN_USER;
  int status = TPO_OK;
  struct tpo_buf work = {0};
  if (is_text_too(tok, name, len, token, &work))
    tpo_vocab_mark(&tok->vocab, token.id, kind);
  else
    status = tpo_vocab_set(&tok->vocab, token.id, name, len, kind, tok->place, err);
  tpo_buf_free(&work);
  if (status == TPO_OK) status = tpo_added_put(&tok->specials, name, len, token, err);
  if (status < 0 || !token.normalized)
    return status < 0 ? status : tpo_added_put(&tok->added, name, len, token, err);
  struct tpo_buf buffers[2] = {{0}};
  status = tpo_normalize(&tok->normalizer, &name, &len, true, buffers, err);
  if (status == TPO_OK) status = tpo_added_put(&tok->added_normalized, name, len, token, err);
  tpo_buf_free(&buffers[0]);
  tpo_buf_free(&buffers[1]);
  return status;
}

static int show_spaces(struct tpo_tokenizer *tok, struct tpo_token *token, struct tpo_error *err)
{
  if (!memmem(token->bytes, token->len, TPO_META, 3)) return TPO_OK;
  char *shown = tpo_arena_memdup(&tok->vocab.arena, token->bytes, token->len);
  if (!shown) return tpo_fail(err, TPO_E_MEMORY, "%s: no memory for the vocabulary", tok->place);
  size_t n = 0;
  for (size_t i = 0; i < token->len;) {
    bool space = token->len - i >= 3 && memcmp(token->bytes + i, TPO_META, 3) == 0;
    shown[n++] = space ? ' ' : token->bytes[i];
    i += space ? 3 : 1;
  }
  token->shown = shown;
  token->shown_len = (uint32_t)n;
  return TPO_OK;
}

int tpo_tokenizer_finish(struct tpo_tokenizer *tok, struct tpo_error *err)
{
  memset(tok->bpe.byte_ids, 0xff, sizeof tok->bpe.byte_ids);
  for (size_t id = 0; id < tok->vocab.n; id++) {
    struct tpo_token *token = &tok->vocab.tokens[id];
    int wanted = tok->bpe.byte_level ? TPO_TOKEN_NORMAL : TPO_TOKEN_BYTE;
    int kind = tpo_token_text_kind(token);
    bool single = kind == wanted && token->len == 1;
    int32_t *byte_id = single ? &tok->bpe.byte_ids[(uint8_t)token->bytes[0]] : NULL;
    if (single && (*byte_id < 0 || token->kind == wanted)) *byte_id = (int32_t)id;
    if (!tok->visible_space || (kind != TPO_TOKEN_NORMAL && token->kind != TPO_TOKEN_USER)) continue;
    int status = show_spaces(tok, token, err);
    if (status < 0) return status;
  }
  return TPO_OK;
}

static int complete_generation(struct tpo_tokenizer *tok, const char *folder, struct tpo_error *err)
{
  char config[4096];
  int status = tpo_path_join(config, sizeof config, folder, "config.json", err);
  return status < 0 ? status : tpo_tokenizer_complete_generation(tok, config, err);
}

static int read_folder(struct tpo_tokenizer *tok, const char *path, struct tpo_error *err)
{
  for (int i = 0; i < TPO_N_FILES; i++) {
    char name[4096];
    int status = tpo_path_join(name, sizeof name, path, tpo_tokenizer_file_names[i], err);
    if (status == 0) status = tpo_look_for(name, err);
    if (status < 0) return status;
    if (status == 0) continue;
    struct tpo_buf bytes = {0};
    status = tpo_read_file(name, MAX_FILE_BYTES, &bytes, err);
    if (status < 0) {
      tpo_buf_free(&bytes);
      return status;
    }
    tok->files[i].len = bytes.len;
    tok->files[i].bytes = tpo_buf_take(&bytes);
    if (!tok->files[i].bytes) return tpo_fail(err, TPO_E_MEMORY, "%s: no memory to read it", name);
  }
  int status = complete_generation(tok, path, err);
  if (status == 0) status = tpo_tokenizer_gather_templates(tok, path, err);
  if (status < 0) return status;
  if (tok->files[TPO_FILE_TOKENIZER].bytes) return tpo_tokenizer_load_files(tok, err);
  return tpo_fail(err, TPO_E_USAGE, "%s: the folder has no tokenizer.json, which the tokenizer is read from",
                  path);
}

static int read_checkpoint(struct tpo_tokenizer *tok, const char *path, struct tpo_error *err)
{
  struct tpo_checkpoint *checkpoint;
  int status = tpo_checkpoint_open(&checkpoint, path, err);
  if (status < 0) return status;
  for (int i = 0; i < TPO_N_FILES && status >= 0; i++) {
    char name[64] = "tokenizer/";
    strcat(name, tpo_tokenizer_file_names[i]);
    status = tpo_checkpoint_get_blob(checkpoint, name, &tok->files[i].bytes, &tok->files[i].len, err);
  }
  tpo_checkpoint_close(checkpoint);
  if (status < 0) return status;
  if (tok->files[TPO_FILE_TOKENIZER].bytes) return tpo_tokenizer_load_files(tok, err);
  return tpo_fail(err, TPO_E_INPUT, "%s: the checkpoint holds no tokenizer/tokenizer.json", path);
}

/* What the file is, told by its first bytes. */
static int load_file(struct tpo_tokenizer *tok, const char *path, struct tpo_error *err)
{
  struct tpo_map map;
  int status = tpo_map_open(&map, path, err);
  if (status < 0) return status;
  bool gguf = map.size >= 4 && memcmp(map.data, "GGUF", 4) == 0;
  bool hdf5 = map.size >= 4 && memcmp(map.data, "\x89HDF", 4) == 0;
  tpo_map_close(&map);
  if (gguf) return tpo_tokenizer_load_gguf(tok, path, err);
  if (hdf5) return read_checkpoint(tok, path, err);
  return tpo_fail(err, TPO_E_USAGE, "%s: neither a model folder nor a GGUF file nor a checkpoint", path);
}

int tpo_tokenizer_open(struct tpo_tokenizer **out, const char *path, struct tpo_error *err)
{
  *out = NULL;
  struct tpo_tokenizer *tok = tpo_calloc(1, sizeof *tok, err);
  if (!tok) return TPO_E_MEMORY;
  tok->bos = tok->eos = tok->unk = tok->pad = tok->bpe.unk = -1;
  tok->place = strdup(path);
  tok->names = json_object();
  int status = tok->place && tok->names ? TPO_OK : tpo_fail(err, TPO_E_MEMORY, "%s: no memory", path);
  if (status == TPO_OK) status = tpo_is_dir(path) ? read_folder(tok, path, err) : load_file(tok, path, err);
  if (status < 0) {
    tpo_tokenizer_close(tok);
    return status;
  }
  *out = tok;
  return TPO_OK;
}

void tpo_tokenizer_close(struct tpo_tokenizer *tok)
{
  if (!tok) return;
  tpo_vocab_free(&tok->vocab);
  tpo_bpe_free(&tok->bpe);
  tpo_normalizer_free(&tok->normalizer);
  tpo_pretokenizer_free(&tok->pre);
  tpo_added_free(&tok->added);
  tpo_added_free(&tok->added_normalized);
  tpo_added_free(&tok->specials);
  tpo_ids_free(&tok->prefix);
  tpo_ids_free(&tok->suffix);
  tpo_ids_free(&tok->ends);
  for (int i = 0; i < TPO_N_FILES; i++) free(tok->files[i].bytes);
  json_decref(tok->names);
  free(tok->chat_template);
  free(tok->tool_template);
  free(tok->merges);
  free(tok->place);
  free(tok);
}

int tpo_tokenizer_size(const struct tpo_tokenizer *tok)
{
  return (int)tok->vocab.n;
}

int tpo_tokenizer_check_vocab(const struct tpo_tokenizer *tok, int vocab_size, struct tpo_error *err)
{
  if (tok->vocab.n <= (size_t)vocab_size) return TPO_OK;
  return tpo_fail(err, TPO_E_INPUT, "%s: the tokenizer has %zu tokens, the model's vocabulary only %d",
                  tok->place, tok->vocab.n, vocab_size);
}

int32_t tpo_tokenizer_bos(const struct tpo_tokenizer *tok)
{
  return tok->bos;
}
int32_t tpo_tokenizer_eos(const struct tpo_tokenizer *tok)
{
  return tok->eos;
}

bool tpo_tokenizer_is_silent(const struct tpo_tokenizer *tok, int32_t id)
{
  const struct tpo_token *token = &tok->vocab.tokens[id];
  if (token->kind != TPO_TOKEN_CONTROL) return false;
  bool ends = id == tok->bos || id == tok->eos;
  for (size_t i = 0; i < tok->ends.n; i++) ends = ends || tok->ends.ids[i] == id;
  return ends || tpo_token_text_kind(token) == TPO_TOKEN_ABSENT;
}

const char *tpo_tokenizer_token(const struct tpo_tokenizer *tok, int32_t id, size_t *len, bool *special)
{
  if (id < 0 || (size_t)id >= tok->vocab.n || tok->vocab.tokens[id].kind == TPO_TOKEN_ABSENT) return NULL;
  const struct tpo_token *token = &tok->vocab.tokens[id];
  if (len) *len = token->shown_len;
  if (special) *special = tpo_tokenizer_is_silent(tok, id);
  return token->shown;
}

const char *tpo_tokenizer_kind(const struct tpo_tokenizer *tok, int32_t id)
{
  static const char *const names[] = {
      [TPO_TOKEN_ABSENT] = NULL,  [TPO_TOKEN_NORMAL] = "text", [TPO_TOKEN_CONTROL] = "control",
      [TPO_TOKEN_USER] = "added", [TPO_TOKEN_BYTE] = "byte",   [TPO_TOKEN_LITERAL] = "text"};
  if (id < 0 || (size_t)id >= tok->vocab.n) return NULL;
  const struct tpo_token *token = &tok->vocab.tokens[id];
  bool part = token->kind == TPO_TOKEN_NORMAL && !tpo_utf8_valid(token->bytes, token->len, NULL);
  return part ? "byte" : names[token->kind];
}

int32_t tpo_tokenizer_find(const struct tpo_tokenizer *tok, const char *name)
{
  const struct tpo_added_token *token = tpo_added_find(&tok->specials, name, strlen(name));
  return token ? token->id : -1;
}

int tpo_tokenizer_each_file(const struct tpo_tokenizer *tok,
                            int (*fn)(void *arg, const char *name, const char *bytes, size_t len,
                                      struct tpo_error *err),
                            void *arg, struct tpo_error *err)
{
  for (int i = 0; i < TPO_N_FILES; i++) {
    struct tpo_buf made = {0};
    const char *bytes = tok->files[i].bytes;
    size_t len = tok->files[i].len;
    int status = TPO_OK;
    if (tok->gguf_pre) {
      status = tpo_gguf_write_file(tok, i, &made, err);
      bytes = made.data;
      len = made.len;
    }
    if (status == TPO_OK && bytes) status = fn(arg, tpo_tokenizer_file_names[i], bytes, len, err);
    tpo_buf_free(&made);
    if (status < 0) return status;
  }
  return TPO_OK;
}
