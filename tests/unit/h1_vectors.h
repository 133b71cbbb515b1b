/*
 * Requests that HTTP implementations are known to understand differently, and what the strict
 * parser makes of them.
 */
#ifndef TESTS_H1_VECTORS_H
#define TESTS_H1_VECTORS_H

#include "http/h1.h"

struct h1_vector {
	const char *what;
	enum h1_result head;
	enum h1_result body; /* of a chunked body, if the head is good */
	slice bytes;
};

/* In static tables a slice is initialised without its type name. */
#define BYTES(literal) \
	{ \
		literal, sizeof(literal) - 1 \
	}
#define GET(rest) BYTES("GET / HTTP/1.1\r\n" rest)
#define POST(rest) BYTES("POST / HTTP/1.1\r\nHost: a\r\n" rest)
#define CHUNKS(rest) POST("Transfer-Encoding: chunked\r\n\r\n" rest)

static const struct h1_vector h1_vectors[] = {
	{"plain request", H1_DONE, H1_DONE, GET("Host: a\r\n\r\n")},
	{"body with a length", H1_DONE, H1_DONE, POST("Content-Length: 3\r\n\r\nabc")},
	{"chunked body", H1_DONE, H1_DONE, CHUNKS("3\r\nabc\r\n0\r\n\r\n")},
	{"chunk extension and trailer field", H1_DONE, H1_DONE,
	 CHUNKS("3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n")},
	{"line feeds alone end all lines", H1_BAD_SYNTAX, H1_DONE,
	 BYTES("GET / HTTP/1.1\nHost: a\n\n")},
	{"line feed alone ends a field line", H1_BAD_SYNTAX, H1_DONE, GET("Host: a\nX: b\r\n\r\n")},
	{"carriage return inside a value", H1_BAD_SYNTAX, H1_DONE,
	 GET("Host: a\r\nX: b\rc\r\n\r\n")},
	{"carriage return alone ends a field line", H1_BAD_SYNTAX, H1_DONE,
	 GET("Host: a\r\nX: b\rContent-Length: 3\r\n\r\nabc")},
	{"head ends CR LF CR", H1_BAD_SYNTAX, H1_DONE, GET("Host: a\r\n\rX: y\r\n\r\n")},
	{"folded field line", H1_BAD_SYNTAX, H1_DONE, GET("Host: a\r\nX: b\r\n c\r\n\r\n")},
	{"folded Transfer-Encoding", H1_BAD_SYNTAX, H1_DONE,
	 POST("Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n")},
	{"space before the colon", H1_BAD_SYNTAX, H1_DONE, POST("Content-Length : 3\r\n\r\nabc")},
	{"space before the first field name", H1_BAD_SYNTAX, H1_DONE, GET(" Host: a\r\n\r\n")},
	{"space before Content-Length", H1_BAD_SYNTAX, H1_DONE,
	 POST(" Content-Length: 3\r\n\r\nabc")},
	{"empty field name", H1_BAD_SYNTAX, H1_DONE, GET("Host: a\r\n: x\r\n\r\n")},
	{"NUL in a value", H1_BAD_SYNTAX, H1_DONE,
	 GET("Host: a\r\nX: b\0"
	     "c\r\n\r\n")},
	{"control in a value", H1_BAD_SYNTAX, H1_DONE,
	 GET("Host: a\r\nX: b\001"
	     "c\r\n\r\n")},
	{"length, then chunked", H1_BAD_FRAMING, H1_DONE,
	 POST("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")},
	{"chunked, then length", H1_BAD_FRAMING, H1_DONE,
	 POST("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n")},
	{"two different lengths", H1_BAD_FRAMING, H1_DONE,
	 POST("Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")},
	{"list of equal lengths", H1_BAD_FRAMING, H1_DONE, POST("Content-Length: 3, 3\r\n\r\nabc")},
	{"length with a plus", H1_BAD_FRAMING, H1_DONE, POST("Content-Length: +3\r\n\r\nabc")},
	{"negative length", H1_BAD_FRAMING, H1_DONE, POST("Content-Length: -1\r\n\r\nabc")},
	{"hexadecimal length", H1_BAD_FRAMING, H1_DONE, POST("Content-Length: 0x3\r\n\r\nabc")},
	{"empty length", H1_BAD_FRAMING, H1_DONE, POST("Content-Length: \r\n\r\n")},
	{"two numbers in a length", H1_BAD_FRAMING, H1_DONE,
	 POST("Content-Length: 3 4\r\n\r\nabc")},
	{"length of more than 64 bits", H1_BAD_FRAMING, H1_DONE,
	 POST("Content-Length: 18446744073709551619\r\n\r\nabc")},
	{"coding identity", H1_BAD_CODING, H1_DONE, POST("Transfer-Encoding: identity\r\n\r\n")},
	{"coding that ends in chunked", H1_BAD_CODING, H1_DONE,
	 POST("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n")},
	{"chunked is not the last coding", H1_BAD_FRAMING, H1_DONE,
	 POST("Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n")},
	{"chunked and identity in two lines", H1_BAD_FRAMING, H1_DONE,
	 POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n")},
	{"chunked is not the only coding", H1_BAD_CODING, H1_DONE,
	 POST("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")},
	{"chunked on HTTP/1.0", H1_BAD_FRAMING, H1_DONE,
	 BYTES("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")},
	{"no Host", H1_BAD_HOST, H1_DONE, GET("X: a\r\n\r\n")},
	{"two Hosts", H1_BAD_HOST, H1_DONE, GET("Host: a\r\nHost: b\r\n\r\n")},
	{"two spaces in the request line", H1_BAD_SYNTAX, H1_DONE,
	 BYTES("GET  / HTTP/1.1\r\nHost: a\r\n\r\n")},
	{"tab in the request line", H1_BAD_SYNTAX, H1_DONE,
	 BYTES("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n")},
	{"space in the target", H1_BAD_SYNTAX, H1_DONE,
	 BYTES("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n")},
	{"byte over 0x7f in the target", H1_BAD_SYNTAX, H1_DONE,
	 BYTES("GET /\xff"
	       " HTTP/1.1\r\nHost: a\r\n\r\n")},
	{"minor version 9", H1_DONE, H1_DONE, BYTES("GET / HTTP/1.9\r\nHost: a\r\n\r\n")},
	{"major version 2", H1_BAD_VERSION, H1_DONE, BYTES("GET / HTTP/2.0\r\nHost: a\r\n\r\n")},
	{"no version", H1_BAD_SYNTAX, H1_DONE, BYTES("GET /\r\n")},
	{"unknown method", H1_DONE, H1_DONE, BYTES("FOO / HTTP/1.1\r\nHost: a\r\n\r\n")},
	{"method in lower case", H1_DONE, H1_DONE, BYTES("get / HTTP/1.1\r\nHost: a\r\n\r\n")},
	{"line feed alone after a chunk size", H1_DONE, H1_BAD_SYNTAX,
	 CHUNKS("3\nabc\r\n0\r\n\r\n")},
	{"line feed alone after chunk data", H1_DONE, H1_BAD_SYNTAX, CHUNKS("3\r\nabc\n0\r\n\r\n")},
	{"chunk size with 0x", H1_DONE, H1_BAD_SYNTAX, CHUNKS("0x3\r\nabc\r\n0\r\n\r\n")},
	{"chunk size with letters after it", H1_DONE, H1_BAD_SYNTAX,
	 CHUNKS("3xyz\r\nabc\r\n0\r\n\r\n")},
	{"chunk size with a space after it", H1_DONE, H1_BAD_SYNTAX,
	 CHUNKS("3 \r\nabc\r\n0\r\n\r\n")},
	{"line feed alone after an extension", H1_DONE, H1_BAD_SYNTAX,
	 CHUNKS("3;a\nabc\r\n0\r\n\r\n")},
	{"carriage return inside an extension", H1_DONE, H1_BAD_SYNTAX,
	 CHUNKS("3;a\rb\r\nabc\r\n0\r\n\r\n")},
	{"chunk size of more than 64 bits", H1_DONE, H1_BAD_SYNTAX,
	 CHUNKS("10000000000000003\r\nabc\r\n0\r\n\r\n")},
	{"chunk data is longer than its size", H1_DONE, H1_BAD_SYNTAX,
	 CHUNKS("3\r\nabcXX0\r\n\r\n")},
	{"line feed alone ends the trailer", H1_DONE, H1_BAD_SYNTAX, CHUNKS("0\r\n\n")},
	{"trailer line without a colon", H1_DONE, H1_BAD_SYNTAX, CHUNKS("0\r\nnocolon\r\n\r\n")},
};

#undef CHUNKS
#undef POST
#undef GET

#endif
