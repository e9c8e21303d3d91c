// Package rsptest is the other end of the GDB Remote Serial Protocol, for
// tests: a stub that follows a script.
//
// It fakes no machine. It checks that the client sends the packets that the
// script expects, in order, and answers with what the script says, damaged in
// whatever way the script says. Its framing is its own, so that it cannot
// share a mistake with package rsp.
//
// A script is a Go value, or text with one step a line:
//
//	# comment
//	-> PAYLOAD     the client must send this packet; it is acknowledged
//	-> \x03        the client must send an interrupt
//	<- PAYLOAD     send this packet
//	raw BYTES      send these bytes as they are
//	rle            the next <- is run-length encoded
//	damage N       the next <- is first sent N times with a wrong checksum,
//	               each of which the client must refuse with -
//	nack N         the next -> is refused N times and must be sent again
//	noack          the next -> is swallowed: no +
//	pause NAME     go on when the test calls Release(NAME)
//	delay DURATION go on after that time
//	drop           close the connection
//
// Payloads and bytes may contain \xNN and \\. This is also the form of the log
// that rsp.Options.Log receives, so a log of a real session replays as it is.
//
// A client may send packets together before it reads; the stub's answers wait
// for nothing but their place in the script.
package rsptest
