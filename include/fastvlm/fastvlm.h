/* SPDX-License-Identifier: Apache-2.0
 *
 * Describing pictures with FastVLM, for programs in C and whatever can call C.
 *
 *   fastvlm_model *model = NULL;
 *   fastvlm_session *session = NULL;
 *   fastvlm_result *result = NULL;
 *   if (fastvlm_model_load("models/demo", NULL, &model) == FASTVLM_OK &&
 *       fastvlm_session_new(model, &session) == FASTVLM_OK &&
 *       fastvlm_describe_file(session, "cat.jpg", NULL, &result) == FASTVLM_OK) {
 *     puts(fastvlm_result_text(result));
 *   } else {
 *     fprintf(stderr, "%s\n%s\n", fastvlm_last_error(), fastvlm_last_hint());
 *   }
 *   fastvlm_result_free(result);
 *   fastvlm_session_free(session);
 *   fastvlm_model_free(model);
 *
 * Texts are UTF-8 and end with a zero byte. A pointer that a function returns belongs to the handle
 * that it was asked of and lives as long, unless it says otherwise. Null and wrong arguments give
 * FASTVLM_USAGE and never a crash; *_free takes a null.
 *
 * Threads: a model, a result and a cancel token may be used by any number of threads at once. A
 * session is one timeline: one call at a time, from whichever thread; a second call meanwhile is
 * refused with FASTVLM_USAGE. Sessions of one model share its weights and its threads, and answers
 * that are made at the same time share passes over the weights. Handles may be freed in any order,
 * each when no call that was given it is going on. Callbacks come on the thread that called.
 *
 * Growing: structs that a caller fills in begin with struct_size, its own sizeof; fields are only
 * ever added at the end, and zero always means the usual. Fields that this library does not know
 * are refused unless they are zero. Every function keeps its meaning within a major version.
 */
#ifndef FASTVLM_FASTVLM_H
#define FASTVLM_FASTVLM_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define FASTVLM_API __attribute__((visibility("default")))
#else
#define FASTVLM_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fastvlm_status {
  FASTVLM_OK = 0,
  FASTVLM_USAGE = 1,       /* what was asked makes no sense: a null, a value out of range */
  FASTVLM_NOT_FOUND = 2,   /* a file, tensor, key or name is missing */
  FASTVLM_INVALID = 3,     /* data that is there is wrong: truncated, inconsistent, no picture */
  FASTVLM_UNSUPPORTED = 4, /* valid, but not something that this library handles */
  FASTVLM_IO = 5,          /* the operating system refused a read */
  FASTVLM_LIMIT = 6,       /* a limit guards against it: memory, pixels, the model's context */
  FASTVLM_INTERRUPTED = 7, /* a cancel token or a callback asked to stop */
  FASTVLM_INTERNAL = 8     /* a bug of this library; please report it */
} fastvlm_status;

/* Of the last call of this thread that did not return FASTVLM_OK: what is wrong (file, key,
 * expected, found) and what to do next, each one line, empty where there is none. They live until
 * the next such call. */
FASTVLM_API const char* fastvlm_last_error(void);
FASTVLM_API const char* fastvlm_last_hint(void);

/* "not-found" and so on; "unknown" for other numbers. Lives for ever. */
FASTVLM_API const char* fastvlm_status_name(fastvlm_status status);

/* "0.1.0", of the library that is running. Lives for ever. */
FASTVLM_API const char* fastvlm_version(void);

/* ---- Models ---------------------------------------------------------------------------------- */

typedef struct fastvlm_model fastvlm_model;

typedef enum fastvlm_precision {
  FASTVLM_PRECISION_AUTO = 0, /* the fastest that keeps the tower's tokens, docs/ACCURACY.md */
  FASTVLM_PRECISION_FP32 = 1,
  FASTVLM_PRECISION_BF16 = 2,
  FASTVLM_PRECISION_INT8 = 3
} fastvlm_precision;

typedef struct fastvlm_model_options {
  size_t struct_size;
  const char* vision_tower; /* file or folder, for an export without its tower */
  const char* adapter;      /* folder of a LoRA adapter that is added to the weights */
  const char* drafts;       /* table of guesses; null: the model's, if any; "none": no guesses */
  double adapter_strength;  /* times the adapter's own scale; 0: 1 */
  int64_t memory_limit;     /* bytes that must do, 0: no limit. Tower and language model take turns
                               if both do not fit; what fits neither way is FASTVLM_LIMIT */
  int32_t precision;        /* a fastvlm_precision */
  int32_t threads;          /* that compute, the caller among them; 0: one a core */
} fastvlm_model_options;

/* Reads a checkpoint folder (config.json, weights, tokenizer). `options` may be null. On success
 * *model is to be freed; otherwise it is null. */
FASTVLM_API fastvlm_status fastvlm_model_load(const char* folder,
                                              const fastvlm_model_options* options,
                                              fastvlm_model** model);
FASTVLM_API void fastvlm_model_free(fastvlm_model* model);

/* What is odd about the model's files, a line each; "" when nothing is. */
FASTVLM_API const char* fastvlm_model_warnings(const fastvlm_model* model);

/* ---- Sessions and requests ------------------------------------------------------------------- */

typedef struct fastvlm_session fastvlm_session;

/* The session keeps what it needs of the model, which may be freed before it. */
FASTVLM_API fastvlm_status fastvlm_session_new(const fastvlm_model* model,
                                               fastvlm_session** session);
FASTVLM_API void fastvlm_session_free(fastvlm_session* session);

/* Stops descriptions from any thread. It stays cancelled until it is reset: requests that are given
 * it later end at once. One that is going on ends before its next token, or after the vision tower
 * if the picture is being looked at. A token must outlive the calls that were given it. */
typedef struct fastvlm_cancel_token fastvlm_cancel_token;
FASTVLM_API fastvlm_status fastvlm_cancel_token_new(fastvlm_cancel_token** token);
FASTVLM_API void fastvlm_cancel_token_free(fastvlm_cancel_token* token);
FASTVLM_API void fastvlm_cancel(fastvlm_cancel_token* token);
FASTVLM_API void fastvlm_cancel_token_reset(fastvlm_cancel_token* token);

/* Callbacks return 0 to go on; anything else ends the description with FASTVLM_INTERRUPTED. They
 * must not throw, nor use the session that called them. */

/* A piece of the answer: whole characters, `length` bytes, with a zero byte behind them. All pieces
 * together are the text of the result. Sections come when they are finished. */
typedef int (*fastvlm_text_callback)(const char* piece, size_t length, void* user_data);

typedef enum fastvlm_stage {
  FASTVLM_STAGE_PICTURE_READ = 1, /* decoded, upright */
  FASTVLM_STAGE_PICTURE_SEEN = 2, /* the vision tower is done */
  FASTVLM_STAGE_PROMPT_READ = 3,  /* the answer begins */
  FASTVLM_STAGE_TOKEN = 4         /* once for each further token of the model */
} fastvlm_stage;

/* `tokens`: those of the model so far; 0 before FASTVLM_STAGE_TOKEN. Headers of sections, which the
 * library writes itself, are not among them. */
typedef int (*fastvlm_progress_callback)(fastvlm_stage stage, int64_t tokens, void* user_data);

typedef struct fastvlm_request {
  size_t struct_size;
  const char* prompt;     /* the question, or seven_point, describe, no_objects; null: seven_point,
                             whose answer always has its seven sections */
  const char* tags;       /* objects to mention, "person (left), dog"; null: none */
  const char* image_name; /* in messages and JSON; null: the file's name, or "picture" */
  int64_t max_tokens;     /* the longest answer; 0: 256 */
  double temperature;     /* 0: always the likeliest token */
  double top_p;           /* draw among the likeliest of this mass; 0: all */
  int32_t top_k;          /* draw among the k likeliest; 0: all */
  int32_t free;           /* not 0: the model writes as it likes, headers too */
  uint64_t seed;          /* of the draws */
  fastvlm_text_callback on_text;
  fastvlm_progress_callback on_progress;
  void* user_data; /* handed to both callbacks */
  const fastvlm_cancel_token* cancel;
} fastvlm_request;

typedef struct fastvlm_result fastvlm_result;

/* Describes a picture: a file, a file's bytes in memory (JPEG, PNG, WebP, BMP, GIF; HEIC and AVIF
 * where the library was built with them), or upright pixels, red, green and blue a byte each, rows
 * from the top, `stride` bytes from one to the next (0: no gap). `request` may be null. On success
 * *result is to be freed; otherwise it is null. */
FASTVLM_API fastvlm_status fastvlm_describe_file(fastvlm_session* session, const char* path,
                                                 const fastvlm_request* request,
                                                 fastvlm_result** result);
FASTVLM_API fastvlm_status fastvlm_describe_bytes(fastvlm_session* session, const void* bytes,
                                                  size_t size, const fastvlm_request* request,
                                                  fastvlm_result** result);
FASTVLM_API fastvlm_status fastvlm_describe_rgb(fastvlm_session* session, const uint8_t* pixels,
                                                int32_t width, int32_t height, size_t stride,
                                                const fastvlm_request* request,
                                                fastvlm_result** result);

/* ---- Results --------------------------------------------------------------------------------- */

FASTVLM_API void fastvlm_result_free(fastvlm_result* result);

/* The whole answer, without blanks at its ends; null only for a null. */
FASTVLM_API const char* fastvlm_result_text(const fastvlm_result* result);

/* Sections in their order; key "main_focus", title "Main Focus". Null: no such section, or of
 * the text, that the answer (a free one) does not have it. */
FASTVLM_API size_t fastvlm_result_section_count(const fastvlm_result* result);
FASTVLM_API const char* fastvlm_result_section_key(const fastvlm_result* result, size_t index);
FASTVLM_API const char* fastvlm_result_section_title(const fastvlm_result* result, size_t index);
FASTVLM_API const char* fastvlm_result_section_text(const fastvlm_result* result, size_t index);
FASTVLM_API const char* fastvlm_result_section(const fastvlm_result* result, const char* key);

/* Why the answer ends: "stop", the model ended it; "length", max_tokens were reached; "loop", it
 * only repeated itself. Null only for a null. */
FASTVLM_API const char* fastvlm_result_finish_reason(const fastvlm_result* result);

typedef struct fastvlm_timings {
  size_t struct_size;
  double picture_seconds;     /* made fit for the tower */
  double vision_seconds;      /* tower and projector */
  double prompt_seconds;      /* read by the language model, the picture's tokens included */
  double answer_seconds;      /* from there to the end */
  double first_token_seconds; /* the first three together */
  double tokens_per_second;   /* of the answer after its first token; 0: nothing to measure */
  int64_t prompt_tokens;      /* the picture's included */
  int64_t answer_tokens;
} fastvlm_timings;

/* Fills in the fields that *timings has by its struct_size, which the caller sets. */
FASTVLM_API fastvlm_status fastvlm_result_timings(const fastvlm_result* result,
                                                  fastvlm_timings* timings);

enum {
  FASTVLM_JSON_PRETTY = 1, /* over several lines, else on one */
  FASTVLM_JSON_TIMINGS = 2 /* with what differs from run to run */
};

/* The result as one JSON object, docs/caption.schema.json, the form that `fastvlm caption --json`
 * prints; `flags` are FASTVLM_JSON_* added up. *json is to be freed with fastvlm_string_free. The
 * first call for a model reads its weight files, for their digest. */
FASTVLM_API fastvlm_status fastvlm_result_json(const fastvlm_result* result, uint32_t flags,
                                               char** json);
FASTVLM_API void fastvlm_string_free(char* text);

#ifdef __cplusplus
}
#endif

#endif
