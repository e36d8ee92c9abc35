/* Sends frames into one virtio-user port and counts what comes out of the other.
 *
 *   generator EAL-OPTIONS -- FLOWS SIZE SECONDS KIND
 *
 * KIND: `flows`   FLOWS different UDP flows between two stations, one after the other
 *       `new`     every frame is a flow that was not there before (UDP ports and addresses)
 *       `macs`    every frame comes from a new station
 *       `rules`   FLOWS flows over 10.0.0.0/8 and 1,000 ports, for tables of rules
 *       `answered` as `flows`; each was answered from the other port before, so that it is a connection
 *       `tunnel`  as `flows`, through a switch that lets nothing come back
 *
 * One core sends and receives in turns, and leaves the rings alone for a moment when they are full: a sender that
 * hammers a full ring takes its cache lines from the switch. Prints one line of JSON. Both stations announce themselves
 * first, so that a learning switch knows them.
 */
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BURST 32
#define RING 1024
#define WARM_SECONDS 1

static struct rte_mempool *pool;

static void fail(const char *what) {
    fprintf(stderr, "generator: %s\n", what);
    exit(1);
}

static void start(uint16_t port) {
    struct rte_eth_conf configuration;
    memset(&configuration, 0, sizeof configuration);
    if (rte_eth_dev_configure(port, 1, 1, &configuration) || rte_eth_tx_queue_setup(port, 0, RING, 0, NULL) ||
        rte_eth_rx_queue_setup(port, 0, RING, 0, NULL, pool) || rte_eth_dev_start(port))
        fail("a port can't be started");
}

static void put16(uint8_t *at, uint16_t value) {
    at[0] = value >> 8;
    at[1] = value;
}

static void put32(uint8_t *at, uint32_t value) {
    put16(at, value >> 16);
    put16(at + 2, value);
}

/* Ethernet, IPv4, UDP; the checksum of IPv4 is right, that of UDP is left out. */
static void write_frame(uint8_t *frame, uint16_t size, int backwards, uint64_t flow, const char *kind) {
    static const uint8_t stations[2][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};
    memset(frame, 0, 64);
    memcpy(frame, stations[!backwards], 6);
    memcpy(frame + 6, stations[backwards], 6);
    if (!strcmp(kind, "macs"))
        put32(frame + 8, (uint32_t)flow + 16);
    put16(frame + 12, 0x0800);
    uint8_t *ip = frame + 14;
    ip[0] = 0x45;
    put16(ip + 2, size - 14);
    ip[8] = 64;
    ip[9] = 17;
    uint32_t source = 0x0a000000 + (uint32_t)(flow & 0xffff), destination = 0x0b000001;
    uint16_t from = 1024 + (flow >> 16), to = 53;
    if (backwards && !strcmp(kind, "answered")) {
        uint32_t address = source;
        source = destination;
        destination = address;
        to = from;
        from = 53;
    }
    if (!strcmp(kind, "rules")) {
        source = 0x0a000000 + (uint32_t)((flow * 2654435761u) & 0xffffff);
        destination = 0x0b000000 + (uint32_t)(flow % 10000);
        to = (uint16_t)(flow % 1000);
    }
    put32(ip + 12, source);
    put32(ip + 16, destination);
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2)
        sum += ip[i] << 8 | ip[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    put16(ip + 10, ~(sum + (sum >> 16)));
    put16(ip + 20, from);
    put16(ip + 22, to);
    put16(ip + 24, size - 34);
}

/* Throws away what came, for a while. */
static void drain(unsigned microseconds) {
    struct rte_mbuf *burst[BURST];
    for (unsigned waited = 0; waited < microseconds; waited += 100) {
        for (int port = 0; port < 2; port++)
            rte_pktmbuf_free_bulk(burst, rte_eth_rx_burst(port, 0, burst, BURST));
        rte_delay_us_block(100);
    }
}

/* Sends each flow once, and its answer, twice: the second time the switch knows the connection. */
static void answer(uint64_t flows, uint16_t size) {
    struct rte_mbuf *burst[BURST];
    for (uint64_t first = 0; first < 2 * flows; first += BURST)
        for (int port = 0; port < 2; port++) {
            if (rte_pktmbuf_alloc_bulk(pool, burst, BURST))
                fail("no memory for frames");
            for (int i = 0; i < BURST; i++) {
                burst[i]->data_len = burst[i]->pkt_len = size;
                write_frame(rte_pktmbuf_mtod(burst[i], uint8_t *), size, port, (first + i) % flows, "answered");
            }
            uint16_t out = rte_eth_tx_burst(port, 0, burst, BURST);
            rte_pktmbuf_free_bulk(burst + out, BURST - out);
            drain(2000);
        }
}

int main(int count, char **arguments) {
    int used = rte_eal_init(count, arguments);
    if (used < 0 || count - used != 5)
        fail("usage: generator EAL-OPTIONS -- FLOWS SIZE SECONDS KIND");
    arguments += used;
    uint64_t flows = strtoull(arguments[1], NULL, 10);
    uint16_t size = (uint16_t)atoi(arguments[2]);
    double seconds = atof(arguments[3]);
    const char *kind = arguments[4];
    int every_new = !strcmp(kind, "new") || !strcmp(kind, "macs");
    pool = rte_pktmbuf_pool_create("pool", 16383, 256, 0, 2176, rte_socket_id());
    if (!pool)
        fail("no memory for frames");
    start(0);
    start(1);
    struct rte_eth_link link;
    uint64_t hertz = rte_get_tsc_hz(), patience = rte_rdtsc() + 20 * hertz;
    do {
        rte_delay_us_block(1000);
        rte_eth_link_get_nowait(0, &link);
        int up = link.link_status;
        rte_eth_link_get_nowait(1, &link);
        if (up && link.link_status)
            break;
    } while (rte_rdtsc() < patience);
    struct rte_mbuf *burst[BURST];
    /* Both stations announce themselves until a frame has come through each way. */
    int heard[2] = {!strcmp(kind, "tunnel"), 0};
    patience = rte_rdtsc() + 20 * hertz;
    while (!(heard[0] && heard[1])) {
        for (int port = 0; port < 2; port++) {
            struct rte_mbuf *one = rte_pktmbuf_alloc(pool);
            if (one) {
                one->data_len = one->pkt_len = size;
                write_frame(rte_pktmbuf_mtod(one, uint8_t *), size, port, 0, strcmp(kind, "answered") ? "flows" : kind);
                if (!rte_eth_tx_burst(port, 0, &one, 1))
                    rte_pktmbuf_free(one);
            }
        }
        rte_delay_us_block(1000);
        for (int port = 0; port < 2; port++) {
            uint16_t got = rte_eth_rx_burst(port, 0, burst, BURST);
            heard[port] |= got > 0;
            rte_pktmbuf_free_bulk(burst, got);
        }
        if (rte_rdtsc() > patience)
            fail("nothing comes through the switch");
    }
    if (!strcmp(kind, "answered"))
        answer(flows, size);
    uint64_t sent = 0, received = 0, full = 0, flow = 0, began = 0, ends = 0;
    uint64_t warm = rte_rdtsc() + WARM_SECONDS * hertz;
    for (;;) {
        uint64_t now = rte_rdtsc();
        if (!began && now >= warm) {
            began = now;
            ends = now + (uint64_t)(seconds * hertz);
            sent = received = full = 0;
        }
        if (began && now >= ends)
            break;
        if (!rte_pktmbuf_alloc_bulk(pool, burst, BURST)) {
            for (int i = 0; i < BURST; i++) {
                burst[i]->data_len = burst[i]->pkt_len = size;
                write_frame(rte_pktmbuf_mtod(burst[i], uint8_t *), size, 0, flow, kind);
                if (++flow == flows && !every_new)
                    flow = 0;
            }
            uint16_t out = rte_eth_tx_burst(0, 0, burst, BURST);
            sent += out;
            if (out < BURST) {
                full++;
                if (!every_new)
                    flow = (flow + flows - (BURST - out) % flows) % flows;
                rte_pktmbuf_free_bulk(burst + out, BURST - out);
            }
            if (out == 0)
                rte_delay_us_block(3);
        }
        for (int again = 0; again < 2; again++) {
            uint16_t got = rte_eth_rx_burst(1, 0, burst, BURST);
            received += got;
            rte_pktmbuf_free_bulk(burst, got);
        }
    }
    double took = (double)(ends - began) / hertz;
    printf("{\"sent\": %.0f, \"received\": %.0f, \"mpps\": %.4f, \"offered\": %.4f, \"full\": %.0f}\n", (double)sent,
           (double)received, received / took / 1e6, sent / took / 1e6, (double)full);
    return 0;
}
