/* SPDX-License-Identifier: Apache-2.0
 *
 * Describes a picture: describe MODEL PICTURE
 *
 *   cc describe.c -o describe $(pkg-config --cflags --libs fastvlm)
 */
#include <fastvlm/fastvlm.h>
#include <stdio.h>

static int failed(void) {
  fprintf(stderr, "describe: %s\n", fastvlm_last_error());
  if (*fastvlm_last_hint() != '\0') fprintf(stderr, "hint: %s\n", fastvlm_last_hint());
  return 2;
}

/* Counts the tokens of the answer on one line. */
static int on_progress(fastvlm_stage stage, int64_t tokens, void* user_data) {
  (void)user_data;
  if (stage == FASTVLM_STAGE_TOKEN) fprintf(stderr, "\r%lld tokens", (long long)tokens);
  return 0;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: %s MODEL PICTURE\n", argv[0]);
    return 1;
  }
  fastvlm_request request = {0};
  request.struct_size = sizeof request;
  request.on_progress = on_progress;

  fastvlm_model* model = NULL;
  fastvlm_session* session = NULL;
  fastvlm_result* result = NULL;
  int status = 0;
  if (fastvlm_model_load(argv[1], NULL, &model) != FASTVLM_OK ||
      fastvlm_session_new(model, &session) != FASTVLM_OK ||
      fastvlm_describe_file(session, argv[2], &request, &result) != FASTVLM_OK) {
    status = failed();
  } else {
    fprintf(stderr, "\n");
    printf("%s\n", fastvlm_result_text(result));
    fprintf(stderr, "main focus: %s\n", fastvlm_result_section(result, "main_focus"));
  }
  fastvlm_result_free(result);
  fastvlm_session_free(session);
  fastvlm_model_free(model);
  return status;
}
