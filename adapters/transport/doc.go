// Package transport carries messages to a peer over TCP, TLS, UDP or a Unix
// socket and says what became of them.
//
// A Stream gathers the frames of many batches into one write and calls a batch
// delivered once the peer's kernel has acknowledged all of its bytes: on Linux
// the SIOCOUTQ ioctl tells how many bytes of a socket are unsent or
// unacknowledged, so what was written less that number has arrived. On other
// systems the number cannot be had, and what was written counts as delivered.
//
// This is as much as TCP can tell. A peer that ends with data unread in its
// socket throws that data away though its kernel had acknowledged it; only a
// protocol with acknowledgements of its own can do better.
//
// Over a Unix socket the same question is answered by what the peer has read,
// and a batch is delivered only then: a peer that ends with data unread gets
// that data again.
//
// A Datagram sends one message in each datagram. A message counts as
// delivered when the kernel has taken it, so it arrives at most once.
package transport
