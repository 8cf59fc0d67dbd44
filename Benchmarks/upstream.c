// A fast MCP upstream for the benchmark: Streamable HTTP on a loopback port of the kernel's choice, one thread, epoll,
// keep-alive and pipelining. It prints the port, then answers until it is killed.
//
// Both protocol eras on any path; a request is modern when its MCP-Protocol-Version says 2026-07-28. The id and the
// echoed text go back as the bytes that came in. `GET /counts` tells how many calls and lists were answered. Chunked
// request bodies are refused.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_REQUEST = 1 << 20, TOOLS = 10 };

typedef struct { const char *start, *end; } Span;
typedef struct { char *bytes; size_t length, capacity; } Buffer;
typedef struct { int socket, watchingWrites, closing; size_t sent; Buffer in, out; } Connection;

static const Span NONE = {NULL, NULL};
static Buffer tools, result;
static unsigned long listsAnswered, callsAnswered;

// Buffers

static void reserve(Buffer *b, size_t more) {
    if (b->length + more <= b->capacity) return;
    b->capacity = 2 * (b->length + more);
    if (!(b->bytes = realloc(b->bytes, b->capacity))) abort();
}

static void append(Buffer *b, const char *bytes, size_t length) {
    reserve(b, length);
    memcpy(b->bytes + b->length, bytes, length);
    b->length += length;
}

static void text(Buffer *b, const char *s) { append(b, s, strlen(s)); }
static void span(Buffer *b, Span s) { append(b, s.start, s.end - s.start); }
static int is(Span s, const char *literal) {
    size_t n = strlen(literal);
    return s.start && (size_t)(s.end - s.start) == n && !memcmp(s.start, literal, n);
}

// JSON: finding a member of an object without being misled by strings or deeper levels

static const char *blank(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')) p++;
    return p;
}

// Where the value that starts at `p` ends, or NULL when it does not end.
static const char *valueEnd(const char *p, const char *end) {
    int depth = 0;
    do {
        if (p >= end) return NULL;
        char c = *p++;
        if (c == '"') {
            while (p < end && *p != '"') p += *p == '\\' ? 2 : 1;
            if (p++ >= end) return NULL;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            depth--;
        } else if (depth == 0) {  // a number or a word
            while (p < end && !strchr(",}] \t\r\n", *p)) p++;
        }
    } while (depth > 0);
    return p;
}

static Span member(Span object, const char *key) {
    const char *end = object.end, *p = object.start ? blank(object.start, end) : end;
    if (p == end || *p != '{') return NONE;
    do {
        const char *name = blank(p + 1, end), *nameEnd;
        if (name >= end || *name != '"' || !(nameEnd = valueEnd(name, end))) return NONE;
        p = blank(nameEnd, end);
        if (p >= end || *p != ':') return NONE;
        Span value = {blank(p + 1, end), NULL};
        if (!(value.end = valueEnd(value.start, end))) return NONE;
        if (is((Span){name + 1, nameEnd - 1}, key)) return value;
        p = blank(value.end, end);
    } while (p < end && *p == ',');
    return NONE;
}

// MCP

static void describeTools(void) {
    static const char *const names[TOOLS] = {"echo", "search", "fetch", "list_files", "read_file",
                                             "write_file", "run_query", "send_message", "create_ticket", "summarize"};
    text(&tools, "\"tools\":[");
    for (int i = 0; i < TOOLS; i++) {
        text(&tools, i ? ",{\"name\":\"" : "{\"name\":\"");
        text(&tools, names[i]);
        text(&tools, "\",\"description\":\"Takes one text argument and returns it unchanged as a single text block. The words are here "
                     "to give the description the length that descriptions of real tools have: a sentence or two about what it is for.\","
                     "\"inputSchema\":{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\",\"description\":\"what to return\"}},"
                     "\"required\":[\"text\"]}}");
    }
    text(&tools, "]");
}

// Leaves `"result":…` or `"error":…` for the request in `result`.
static void dispatch(Span method, Span params, int modern) {
    static const char *const MODERN = ",\"resultType\":\"complete\"", *const CACHE = ",\"ttlMs\":60000,\"cacheScope\":\"public\"";
    result.length = 0;
    if (is(method, "\"tools/call\"") && is(member(params, "name"), "\"echo\"")) {
        Span echoed = member(member(params, "arguments"), "text");
        if (!echoed.start || *echoed.start != '"') {
            text(&result, "\"error\":{\"code\":-32602,\"message\":\"text must be a string\"}");
            return;
        }
        callsAnswered++;
        text(&result, "\"result\":{\"content\":[{\"type\":\"text\",\"text\":");
        span(&result, echoed);
        text(&result, "}]");
        if (modern) text(&result, MODERN);
    } else if (is(method, "\"tools/list\"")) {
        listsAnswered++;
        text(&result, "\"result\":{");
        append(&result, tools.bytes, tools.length);
        if (modern) text(&result, MODERN), text(&result, CACHE);
    } else if (is(method, "\"server/discover\"")) {
        text(&result, "\"result\":{\"supportedVersions\":[\"2026-07-28\",\"2025-11-25\",\"2025-06-18\"],"
                      "\"capabilities\":{\"tools\":{}},\"_meta\":{\"io.modelcontextprotocol/serverInfo\":"
                      "{\"name\":\"fast-upstream\",\"version\":\"1\"}}");
        text(&result, MODERN);
        text(&result, CACHE);
    } else if (is(method, "\"initialize\"")) {
        Span asked = member(params, "protocolVersion");
        text(&result, "\"result\":{\"protocolVersion\":");
        if (is(asked, "\"2025-06-18\"")) span(&result, asked);
        else text(&result, "\"2025-11-25\"");
        text(&result, ",\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"fast-upstream\",\"version\":\"1\"}");
    } else if (is(method, "\"ping\"")) {
        text(&result, "\"result\":{");
    } else if (is(method, "\"tools/call\"")) {
        text(&result, "\"error\":{\"code\":-32602,\"message\":\"only echo can be called\"}");
        return;
    } else {
        text(&result, "\"error\":{\"code\":-32601,\"message\":\"method not found\"}");
        return;
    }
    text(&result, "}");
}

// HTTP

static void answer(Buffer *out, const char *status, size_t length) {
    char head[160];
    static const char *const FORMAT = "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n";
    append(out, head, snprintf(head, sizeof head, FORMAT, status, length));
}

static void post(Buffer *out, Span body, int modern) {
    static const char *const OPEN = "{\"jsonrpc\":\"2.0\",\"id\":";
    Span method = member(body, "method"), id = member(body, "id");
    if (!method.start || !id.start) {
        answer(out, method.start ? "202 Accepted" : "400 Bad Request", 0);
        return;
    }
    dispatch(method, member(body, "params"), modern);
    answer(out, "200 OK", strlen(OPEN) + (id.end - id.start) + 1 + result.length + 1);
    text(out, OPEN);
    span(out, id);
    text(out, ",");
    append(out, result.bytes, result.length);
    text(out, "}");
}

static void counts(Buffer *out) {
    char body[80];
    int n = snprintf(body, sizeof body, "{\"tools/list\":%lu,\"tools/call\":%lu}", listsAnswered, callsAnswered);
    answer(out, "200 OK", n);
    append(out, body, n);
}

static Span header(const char *line, const char *end, const char *name) {
    size_t n = strlen(name);
    while (line < end) {
        const char *next = memmem(line, end - line, "\r\n", 2);
        if (!next) next = end;
        if ((size_t)(next - line) > n && line[n] == ':' && !strncasecmp(line, name, n)) return (Span){blank(line + n + 1, next), next};
        line = next + 2;
    }
    return NONE;
}

// Answers every request that has arrived whole and leaves the rest in `in`.
static void serve(Connection *c) {
    size_t done = 0;
    while (!c->closing) {
        const char *request = c->in.bytes + done, *end = c->in.bytes + c->in.length;
        const char *headEnd = memmem(request, end - request, "\r\n\r\n", 4);
        if (!headEnd) break;
        Span length = header(request, headEnd, "content-length");
        size_t bodyLength = length.start ? strtoul(length.start, NULL, 10) : 0;
        if (bodyLength > MAX_REQUEST) c->closing = 1;
        if (bodyLength > (size_t)(end - headEnd - 4)) break;
        Span body = {headEnd + 4, headEnd + 4 + bodyLength};
        if (header(request, headEnd, "transfer-encoding").start) {
            answer(&c->out, "411 Length Required", 0);
            c->closing = 1;
        } else if (!strncmp(request, "POST ", 5)) {
            post(&c->out, body, is(header(request, headEnd, "mcp-protocol-version"), "2026-07-28"));
        } else if (!strncmp(request, "GET /counts ", 12)) {
            counts(&c->out);
        } else {
            answer(&c->out, "405 Method Not Allowed", 0);
        }
        if (is(header(request, headEnd, "connection"), "close")) c->closing = 1;
        done = body.end - c->in.bytes;
    }
    if (c->in.length - done > MAX_REQUEST) c->closing = 1;
    memmove(c->in.bytes, c->in.bytes + done, c->in.length - done);
    c->in.length -= done;
}

// Reads and writes what the socket takes; false when the connection is over.
static int advance(int poll, Connection *c) {
    for (;;) {
        reserve(&c->in, 16384);
        ssize_t n = read(c->socket, c->in.bytes + c->in.length, c->in.capacity - c->in.length);
        if (n == 0 || (n < 0 && errno != EAGAIN)) return 0;
        if (n > 0) c->in.length += n;
        if (n < 0 || c->in.length < c->in.capacity) break;
    }
    serve(c);
    while (c->sent < c->out.length) {
        ssize_t n = send(c->socket, c->out.bytes + c->sent, c->out.length - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) return 0;
        if (n < 0) break;
        c->sent += n;
    }
    int waiting = c->sent < c->out.length;
    if (!waiting) c->sent = c->out.length = 0;
    if (waiting != c->watchingWrites) {
        struct epoll_event e = {.events = EPOLLIN | (waiting ? EPOLLOUT : 0), .data.ptr = c};
        epoll_ctl(poll, EPOLL_CTL_MOD, c->socket, &e);
        c->watchingWrites = waiting;
    }
    return waiting || !c->closing;
}

static void admit(int poll, int listener) {
    int one = 1, socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket < 0) return;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    Connection *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->socket = socket;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poll, EPOLL_CTL_ADD, socket, &e);
}

static void dismiss(Connection *c) {
    close(c->socket);
    free(c->in.bytes);
    free(c->out.bytes);
    free(c);
}

int main(void) {
    describeTools();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int poll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[64], e = {.events = EPOLLIN, .data.ptr = NULL};
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1024)
        || getsockname(listener, (struct sockaddr *)&address, &length) || epoll_ctl(poll, EPOLL_CTL_ADD, listener, &e)) {
        perror("upstream");
        return 1;
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(poll, events, 64, -1);
        for (int i = 0; i < n; i++) {
            if (!events[i].data.ptr) admit(poll, listener);
            else if (!advance(poll, events[i].data.ptr)) dismiss(events[i].data.ptr);
        }
    }
}
