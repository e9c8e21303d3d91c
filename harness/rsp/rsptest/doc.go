// Package rsptest is the other end of the GDB Remote Serial Protocol, for
// tests: a stub that follows a script.
//
// It simulates no machine. It checks that the client sends the packets that the
// script expects, in order, and sends the script's answers, damaged where the script
// says so. It has its own code for framing, so that it cannot share a mistake with
// package rsp.
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
//	pause NAME     wait until the test calls Release(NAME)
//	delay DURATION wait for that time
//	drop           close the connection
//
// Payloads and bytes may contain \xNN and \\. rsp.Options.Log receives the same
// form, so the log of a real session can be replayed unchanged.
//
// A client may send several packets before it reads. The stub answers them in the
// order of the script.
package rsptest
