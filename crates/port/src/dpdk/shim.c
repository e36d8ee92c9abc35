/* What of DPDK's interface is inline or a structure, as plain functions. Numbers, strings and opaque pointers only. */

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

/* A part of a frame; dpdk/sys.rs has the same. */
struct netloom_part {
  uint8_t *data;
  struct rte_mbuf *next;
  uint32_t length;
  uint32_t total;
};

/* What a port counted; dpdk/sys.rs has the same. */
struct netloom_statistics {
  uint64_t received, sent, missed, receive_errors, send_errors, no_buffer;
};

int netloom_dpdk_error(void) { return rte_errno; }

const char *netloom_dpdk_words(int error) { return rte_strerror(error); }

int netloom_dpdk_start(int count, char **words) { return rte_eal_init(count, words) < 0 ? -1 : 0; }

int netloom_dpdk_register(void) { return rte_thread_register(); }

void netloom_dpdk_unregister(void) { rte_thread_unregister(); }

struct rte_mempool *netloom_dpdk_pool(const char *name, unsigned count, uint16_t room) {
  return rte_pktmbuf_pool_create(name, count, 256, 0, room, SOCKET_ID_ANY);
}

void netloom_dpdk_pool_free(struct rte_mempool *pool) { rte_mempool_free(pool); }

/* Finds the device that these words name, made by its driver now; a negative number of errno without. */
int netloom_dpdk_probe(const char *words, uint16_t *port) {
  struct rte_dev_iterator iterator;
  uint16_t found;
  int done = rte_dev_probe(words);
  if (done < 0) return done;
  RTE_ETH_FOREACH_MATCHING_DEV(found, words, &iterator) {
    *port = found;
    rte_eth_iterator_cleanup(&iterator);
    return 0;
  }
  return -ENODEV;
}

/* Queues, rings, and off it goes. */
int netloom_dpdk_configure(uint16_t port, uint16_t queues, uint16_t *descriptors, struct rte_mempool *pool) {
  struct rte_eth_conf configuration;
  struct rte_eth_dev_info info;
  uint16_t receive = *descriptors, send = *descriptors, queue;
  int done = rte_eth_dev_info_get(port, &info);
  if (done < 0) return done;
  if (queues > info.max_rx_queues || queues > info.max_tx_queues) return -ERANGE;
  memset(&configuration, 0, sizeof configuration);
  if (queues > 1 && info.flow_type_rss_offloads != 0) {
    configuration.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    configuration.rx_adv_conf.rss_conf.rss_hf =
        info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
  }
  if (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS)
    configuration.txmode.offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
  done = rte_eth_dev_configure(port, queues, queues, &configuration);
  if (done < 0) return done;
  done = rte_eth_dev_adjust_nb_rx_tx_desc(port, &receive, &send);
  if (done < 0) return done;
  for (queue = 0; queue < queues; queue++) {
    done = rte_eth_rx_queue_setup(port, queue, receive, SOCKET_ID_ANY, NULL, pool);
    if (done < 0) return done;
    done = rte_eth_tx_queue_setup(port, queue, send, SOCKET_ID_ANY, NULL);
    if (done < 0) return done;
  }
  *descriptors = receive > send ? receive : send;
  done = rte_eth_dev_start(port);
  if (done < 0) return done;
  /* A device of no addresses has no such mode. */
  rte_eth_promiscuous_enable(port);
  return 0;
}

/* How many segments a frame to be sent may have. */
uint16_t netloom_dpdk_segments(uint16_t port) {
  struct rte_eth_dev_info info;
  if (rte_eth_dev_info_get(port, &info) < 0 || !(info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS)) return 1;
  return info.tx_desc_lim.nb_seg_max ? info.tx_desc_lim.nb_seg_max : 64;
}

int netloom_dpdk_is_up(uint16_t port) {
  struct rte_eth_link link;
  memset(&link, 0, sizeof link);
  if (rte_eth_link_get_nowait(port, &link) < 0) return 1;
  return link.link_status == RTE_ETH_LINK_UP;
}

int netloom_dpdk_driver(uint16_t port, char *into, unsigned size) {
  struct rte_eth_dev_info info;
  int done = rte_eth_dev_info_get(port, &info);
  if (done < 0) return done;
  strncpy(into, info.driver_name ? info.driver_name : "", size - 1);
  into[size - 1] = 0;
  return 0;
}

int netloom_dpdk_statistics(uint16_t port, struct netloom_statistics *told) {
  struct rte_eth_stats stats;
  int done = rte_eth_stats_get(port, &stats);
  if (done < 0) return done;
  told->received = stats.ipackets;
  told->sent = stats.opackets;
  told->missed = stats.imissed;
  told->receive_errors = stats.ierrors;
  told->send_errors = stats.oerrors;
  told->no_buffer = stats.rx_nombuf;
  return 0;
}

/* Ends a port and takes its device away. */
void netloom_dpdk_close(uint16_t port) {
  struct rte_eth_dev_info info;
  struct rte_device *device = rte_eth_dev_info_get(port, &info) < 0 ? NULL : info.device;
  rte_eth_dev_stop(port);
  rte_eth_dev_close(port);
  if (device) rte_dev_remove(device);
}

uint16_t netloom_dpdk_receive(uint16_t port, uint16_t queue, struct rte_mbuf **into, uint16_t count) {
  return rte_eth_rx_burst(port, queue, into, count);
}

uint16_t netloom_dpdk_send(uint16_t port, uint16_t queue, struct rte_mbuf **from, uint16_t count) {
  return rte_eth_tx_burst(port, queue, from, count);
}

void netloom_dpdk_look(struct rte_mbuf *buffer, struct netloom_part *part) {
  part->data = rte_pktmbuf_mtod(buffer, uint8_t *);
  part->next = buffer->next;
  part->length = rte_pktmbuf_data_len(buffer);
  part->total = rte_pktmbuf_pkt_len(buffer);
}

void netloom_dpdk_free(struct rte_mbuf **buffers, unsigned count) { rte_pktmbuf_free_bulk(buffers, count); }

/* A buffer of so many octets, in several segments if need be. `most` is how many there may be. */
struct rte_mbuf *netloom_dpdk_buffer(struct rte_mempool *pool, uint32_t octets, uint16_t most) {
  struct rte_mbuf *first = rte_pktmbuf_alloc(pool), *last = first;
  uint16_t segments = 1;
  if (!first) return NULL;
  for (;;) {
    uint16_t room = rte_pktmbuf_tailroom(last), part = octets < room ? octets : room;
    last->data_len = part;
    octets -= part;
    first->pkt_len += part;
    if (octets == 0) return first;
    if (segments == most) break;
    last->next = rte_pktmbuf_alloc(pool);
    if (!last->next) break;
    last = last->next;
    segments++;
    first->nb_segs = segments;
  }
  rte_pktmbuf_free(first);
  return NULL;
}
