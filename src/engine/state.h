/* The engine's state, shared by its files: which samples run (engine.c), which blocks of the cache they hold
 * (cache.c), the forward passes that they go through (passes.c), the life of one sequence (sequence.c), what is
 * told of it in the end (output.c). */
#ifndef TPO_ENGINE_STATE_H
#define TPO_ENGINE_STATE_H

#include "backend/ops.h"
#include "base/buf.h"
#include "engine/blocks.h"
#include "tpo/engine.h"

/* Blocks of one pool that someone holds: those at [begin, end) of its row of the table. In a window's pool those
 * before are -1, given back as the window left them, and those behind are the held ones again and again. */
struct holding {
  int32_t *blocks;
  int begin, end;
};

/* A request whose samples are being made. Its prefix, the prompt without its last token, is computed once;
 * each sample begins by feeding the last prompt token itself, so its first logits come from a row like any
 * other. */
struct group {
  struct group *next;
  const struct tpo_request *request;
  uint64_t prompt_key;
  int prefix;    /* tokens to prefill: n_prompt - 1 */
  int prefilled; /* tokens whose keys and values are in the cache, or in the pass being built */
  bool ready;    /* the whole prefix is in the cache */
  int longest;   /* tokens that prompt and output can come to together */
  int started;   /* samples begun */
  int finished;  /* samples given to the client */
  int n_blocks;  /* of the prefix */
  /* Until all samples have begun; blocks [n_blocks] are the group's memory. */
  struct holding held[TPO_REACHES];
};

enum phase { PHASE_THOUGHT, PHASE_RESPONSE };

/* One sample being generated. */
struct sequence {
  struct group *group; /* NULL: the slot is free */
  int k;
  int max_tokens;
  int position;                     /* tokens in the cache */
  struct holding held[TPO_REACHES]; /* blocks [max_blocks] are rows of the engine's tables; */
  int n_blocks;                     /* so many of them are in use */
  int32_t *feed; /* tokens to run next: the last one drawn, and after it an inserted marker */
  int n_feed, feed_capacity;
  int ahead; /* its row of logits in the pass that was built last, while that one's result is not known; -1 */
  int n_tokens;
  int32_t *tokens; /* [token_capacity] */
  float *logprobs;
  uint8_t *inserted;
  size_t token_capacity;
  enum phase phase;
  int phase_tokens; /* tokens drawn in this phase */
  int n_thought;
  struct tpo_buf text; /* what the engine's begun has + what the tokens say */
  size_t phase_text;   /* where the present phase's text begins in `text` */
  /* Once it has ended: why, and the bytes of `text` before a stop string, or SIZE_MAX. */
  enum tpo_finish finish;
  size_t text_end;
  uint32_t *seen; /* bitmap of the vocabulary for the repetition penalty; NULL when it is off */
  int32_t *seen_tokens;
  int n_seen;
};

/* A pass that was handed to the backend. */
struct flight {
  bool active; /* its results are not taken yet */
  int n_logits;
  int *slots; /* [slots] whose sample each row of logits is for; -1: nobody's any more */
};

struct tpo_engine {
  struct tpo_model *model;
  struct tpo_backend *backend;
  const struct tpo_tokenizer *tokenizer;
  const char *section; /* of the configuration, for messages */
  const struct tpo_sampling_config *sampling;
  const struct tpo_thought_config *thought; /* NULL: none */
  uint64_t seed;
  uint32_t iteration;
  int vocab, context;
  int block_tokens, prefill_chunk, slots;
  size_t kv_bytes;

  struct tpo_ids end_ids;
  struct tpo_ids marker_ids; /* the response marker as tokens, inserted when a thought's budget ends */
  struct tpo_ids spoken_ids; /* control tokens that say their names, since markers hold them */
  struct tpo_buf begun;      /* what each sample's text begins with */
  bool has_marker;
  size_t longest_stop;

  struct tpo_kv_cache *cache;
  struct tpo_blocks blocks[TPO_REACHES]; /* n is 0, and the table NULL, where the model has no such layers */
  int max_blocks;                        /* of a sequence: width of the tables */
  /* [slots + slots, max_blocks]: sequences, then groups being prefilled */
  int32_t *table[TPO_REACHES];
  struct sequence *sequences;        /* [slots] */
  struct group *groups;              /* oldest first */
  const struct tpo_request *waiting; /* pulled, but there is no room for it yet */
  bool exhausted;

  int *running; /* [n_running] busy slots, those of one group side by side: their rows share a prefix */
  int n_running;

  /* The pass being built. */
  int n_rows, row_capacity, n_seqs;
  int32_t *row_ids, *row_from, *row_seq, *row_pos;
  int32_t *longest;                 /* [2 slots] of the tables' rows */
  bool speculative;                 /* some row's token is still being drawn */
  int32_t *logit_rows;              /* [slots] */
  struct tpo_sample_params *params; /* [slots] */

  /* Passes whose results are not taken yet: the one built last, and for a while the one before it. */
  struct flight flights[2];
  int newest;     /* which of them was built last */
  bool record;    /* passes may be recorded */
  bool run_ahead; /* two may be under way */
  /* [slots] tokens, then their [slots] log-probabilities: on the host, and in the backend's memory, where a
   * pass's draws replace those of the pass before. */
  void *drawn;
  void *device_drawn;
  struct tpo_buf ended_text; /* of the sample that is given to the client */
  float *penalised;          /* [slots, vocab] when the repetition penalty is on */
  int32_t *penalty_items;    /* device: rows, then tokens */
  size_t penalty_capacity;

  struct tpo_engine_stats stats;
};

/* sequence.c */
int sequence_init(struct tpo_engine *e, struct sequence *s, struct tpo_error *err);
void sequence_destroy(struct sequence *s);
int sequence_start(struct tpo_engine *e, struct sequence *s, struct group *g, int k, struct tpo_error *err);
/* Takes the token that was drawn. 1: the sequence has ended; 0: it goes on; negative: error. */
int sequence_accept(struct tpo_engine *e, struct sequence *s, int32_t token, float logprob,
                    const struct tpo_engine_client *client, struct tpo_error *err);
/* For the token after the next `ahead` ones. */
struct tpo_sample_params sequence_params(const struct tpo_engine *e, const struct sequence *s, int ahead);
/* False where the sample is sure to end with the token being drawn, or to be fed more than that token next,
 * whichever it is. */
bool sequence_goes_on(const struct tpo_engine *e, const struct sequence *s);

/* The bytes that a token says (borrowed), *len of them; special ones say nothing, but for those that are in spoken
 * (may be NULL), which say their names. */
const char *token_bytes(const struct tpo_tokenizer *tokenizer, const struct tpo_ids *spoken, int32_t token,
                        size_t *len);

/* output.c */
/* How many of the last of n tokens, whose bytes end `text_len` bytes into the text, reach behind byte `end`, or
 * stand behind it without saying anything. */
int tokens_behind(const struct tpo_tokenizer *tokenizer, const struct tpo_ids *spoken, const int32_t *tokens,
                  int n, size_t text_len, size_t end);
/* What a sequence that has ended gives to the client; the next one's takes the place of the text. */
int sequence_output(struct tpo_engine *e, const struct sequence *s, struct tpo_output *out,
                    struct tpo_error *err);

/* cache.c */
/* Tokens that one sample of a request may come to hold in the cache. */
int64_t cache_sequence_tokens(const struct tpo_engine *e, const struct tpo_request *request);
/* Makes the cache when the first request is known, and a larger one when a request comes that would not fit
 * even alone; no sample is running then. */
int cache_make(struct tpo_engine *e, const struct tpo_request *request, struct tpo_error *err);
void cache_drop(struct tpo_engine *e);
/* Room for the request's samples in the tables and in the buffers of a pass. */
int cache_fit(struct tpo_engine *e, const struct tpo_request *request, struct tpo_error *err);
/* Whether the request's prefix and one of its samples have room beside one more sample of each other group that
 * has any to start, so that none waits forever. */
enum cache_room {
  CACHE_ROOM,
  CACHE_FULL,     /* not now */
  CACHE_TOO_SMALL /* not while the others are there */
};
enum cache_room cache_room(const struct tpo_engine *e, const struct tpo_request *request);
bool cache_has_room_for_sample(const struct tpo_engine *e, const struct group *g);
/* A group takes its prefix's blocks; gives back those that no sample will attend to, once they are computed; and
 * the others, which its samples then hold alone. */
int cache_begin_prefix(struct tpo_engine *e, struct group *g, struct tpo_error *err);
void cache_end_prefix(struct tpo_engine *e, struct group *g);
void cache_release_prefix(struct tpo_engine *e, struct group *g);
/* A sample gets its rows of blocks: the prefix's full blocks shared, its last partial one copied, the rest new;
 * gives back shared ones that its window has left; and all. */
void cache_begin_sample(struct tpo_engine *e, struct sequence *s, const struct group *g);
void cache_advance_sample(struct tpo_engine *e, struct sequence *s);
void cache_end_sample(struct tpo_engine *e, struct sequence *s);

/* passes.c */
int passes_init(struct tpo_engine *e, struct tpo_error *err);
void passes_destroy(struct tpo_engine *e);
/* What a pass holds at most. */
struct tpo_pass_limits passes_limits(const struct tpo_engine *e);
/* Hands the next pass to the backend and takes the results that are due: of this pass, or, when running
 * ahead, of the one before it. */
int passes_advance(struct tpo_engine *e, const struct tpo_engine_client *client, struct tpo_error *err);
/* Waits for what is under way. Its results must have become nobody's. */
int passes_drain(struct tpo_engine *e, struct tpo_error *err);

/* engine.c */
/* Gives a finished sample to the client and frees its slot. */
int finish_sample(struct tpo_engine *e, int slot, const struct tpo_engine_client *client,
                  struct tpo_error *err);

#endif
