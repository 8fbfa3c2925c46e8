/* A VGA camera at 30 Hz on Cyclone DDS for C, and what the node says it took in of its pictures.

       camera DOMAIN SECONDS

   Ends with 1 where the node was not found or did not receive every picture. Of pictures that wait for its engine the
   newest wins, so a busy machine takes in fewer than it receives. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dds/dds.h"
#include "messages.h"

enum { WIDTH = 640, HEIGHT = 480, BYTES = 3 * WIDTH * HEIGHT, HZ = 30, ARRAYS = 16 };

typedef sensor_msgs_msg_dds__Image_ Image;
typedef diagnostic_msgs_msg_dds__DiagnosticArray_ DiagnosticArray;
typedef diagnostic_msgs_msg_dds__DiagnosticStatus_ DiagnosticStatus;

static const char *const INPUT = "input images.front";

/* Entities and codes are negative where the call failed. */
static dds_entity_t checked(int32_t made, const char *what) {
  if (made < 0) {
    fprintf(stderr, "camera: %s: %s\n", what, dds_strretcode(-made));
    exit(1);
  }
  return made;
}

static dds_entity_t writer(dds_entity_t participant) {
  dds_qos_t *qos = dds_create_qos();
  dds_qset_reliability(qos, DDS_RELIABILITY_BEST_EFFORT, 0);
  dds_qset_history(qos, DDS_HISTORY_KEEP_LAST, 5);
  dds_entity_t topic =
      checked(dds_create_topic(participant, &sensor_msgs_msg_dds__Image__desc, "rt/images/front", NULL, NULL), "topic");
  dds_entity_t made = checked(dds_create_writer(participant, topic, qos, NULL), "writer");
  dds_delete_qos(qos);
  return made;
}

static dds_entity_t reader(dds_entity_t participant) {
  dds_qos_t *qos = dds_create_qos();
  dds_qset_reliability(qos, DDS_RELIABILITY_RELIABLE, DDS_SECS(1));
  dds_qset_history(qos, DDS_HISTORY_KEEP_LAST, ARRAYS);
  dds_entity_t topic = checked(
      dds_create_topic(participant, &diagnostic_msgs_msg_dds__DiagnosticArray__desc, "rt/diagnostics", NULL, NULL),
      "topic");
  dds_entity_t made = checked(dds_create_reader(participant, topic, qos, NULL), "reader");
  dds_delete_qos(qos);
  return made;
}

/* Whether the node listens to the camera. */
static int is_heard(dds_entity_t camera) {
  dds_publication_matched_status_t status;
  checked(dds_get_publication_matched_status(camera, &status), "matched status");
  return status.current_count > 0;
}

/* Pictures that reached the node, and those that its engine took in. */
typedef struct {
  long received, accepted;
} Counts;

static long value_of(const DiagnosticStatus *status, const char *key) {
  for (uint32_t i = 0; i < status->values._length; i++) {
    if (strcmp(status->values._buffer[i].key, key) == 0) return atol(status->values._buffer[i].value);
  }
  return -1;
}

/* By the node's newest report; `known` where there is no new one. */
static Counts counts(dds_entity_t diagnostics, Counts known) {
  void *samples[ARRAYS] = {NULL};
  dds_sample_info_t infos[ARRAYS];
  int count = checked(dds_take(diagnostics, samples, infos, ARRAYS, ARRAYS), "take");
  for (int i = 0; i < count; i++) {
    const DiagnosticArray *array = samples[i];
    for (uint32_t j = 0; infos[i].valid_data && j < array->status._length; j++) {
      const DiagnosticStatus *status = &array->status._buffer[j];
      size_t length = strlen(status->name), tail = strlen(INPUT);
      if (length < tail || strcmp(status->name + length - tail, INPUT) != 0) continue;
      known = (Counts){value_of(status, "received_count"), value_of(status, "accepted_count")};
    }
  }
  if (count > 0) checked(dds_return_loan(diagnostics, samples, count), "return loan");
  return known;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: camera DOMAIN SECONDS\n");
    return 2;
  }
  dds_entity_t participant =
      checked(dds_create_participant((dds_domainid_t)strtoul(argv[1], NULL, 10), NULL, NULL), "participant");
  dds_entity_t camera = writer(participant), diagnostics = reader(participant);
  for (int tenths = 0; !is_heard(camera); tenths++) {
    if (tenths == 300) {
      fprintf(stderr, "camera: nobody listens to /images/front after 30 s\n");
      return 1;
    }
    dds_sleepfor(DDS_MSECS(100));
  }
  /* The node knows the camera a moment after the camera knows the node. */
  dds_sleepfor(DDS_SECS(1));

  static uint8_t pixels[BYTES];
  Image image = {.height = HEIGHT, .width = WIDTH, .encoding = "rgb8", .step = 3 * WIDTH};
  image.header.frame_id = "front";
  image.data._buffer = pixels;
  image.data._length = image.data._maximum = BYTES;
  long sent = 0, wanted = HZ * atol(argv[2]);
  Counts taken = {0, 0};
  for (dds_time_t start = dds_time(); sent < wanted; sent++) {
    dds_time_t due = start + sent * DDS_NSECS_IN_SEC / HZ, now = dds_time();
    if (due > now) dds_sleepfor(due - now);
    now = dds_time();
    image.header.stamp.sec = (int32_t)(now / DDS_NSECS_IN_SEC);
    image.header.stamp.nanosec = (uint32_t)(now % DDS_NSECS_IN_SEC);
    memset(pixels, (int)(sent % 251), BYTES);
    checked(dds_write(camera, &image), "write");
    taken = counts(diagnostics, taken);
  }
  /* The report comes once a second. */
  for (int tenths = 0; tenths < 50 && taken.received < sent; tenths++) {
    dds_sleepfor(DDS_MSECS(100));
    taken = counts(diagnostics, taken);
  }
  printf("%ld pictures of %d x %d at %d Hz sent, %ld received, %ld taken in by the engine\n", sent, WIDTH, HEIGHT, HZ,
         taken.received, taken.accepted);
  return taken.received == sent ? 0 : 1;
}
