package rsp

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
)

// QEMU reads at most half its packet size, 0x800 bytes, with one m.
const maxRead = 0x800

// maxBatch bounds the m packets written at once, so that neither side's
// socket buffer fills: 16 replies are 64 KiB.
const maxBatch = 16

// A Range is a piece of memory to read or write: as many bytes as Buf holds.
type Range struct {
	Addr uint64
	Buf  []byte
}

// ReadMemory fills buf from the guest's memory, as the selected thread sees
// it: through its page tables, if it has any. When part of it cannot be read
// the error is an ErrFault, and buf is not to be used.
func (c *Client) ReadMemory(ctx context.Context, addr uint64, buf []byte) error {
	return c.ReadRanges(ctx, []Range{{addr, buf}})
}

// ReadRanges reads several pieces of memory in as few round trips as possible.
// It ends at the first that cannot be read.
func (c *Client) ReadRanges(ctx context.Context, ranges []Range) error {
	const op = "read memory"
	if err := c.takeHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.give()
	most := min(maxRead, c.packetSize/2)
	var reqs []*request
	var pieces [][]byte
	flush := func() error {
		err := c.readPieces(ctx, op, reqs, pieces)
		reqs, pieces = reqs[:0], pieces[:0]
		return err
	}
	for _, r := range ranges {
		for done := 0; done < len(r.Buf); done += most {
			piece := r.Buf[done:min(done+most, len(r.Buf))]
			reqs = append(reqs, ask(fmt.Sprintf("m%x,%x", r.Addr+uint64(done), len(piece))))
			pieces = append(pieces, piece)
			if len(reqs) == maxBatch {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}

func (c *Client) readPieces(ctx context.Context, op string, reqs []*request, pieces [][]byte) error {
	if len(reqs) == 0 {
		return nil
	}
	if err := c.exchange(ctx, reqs...); err != nil {
		return opError(op, reqs[0].payload, err)
	}
	for i, r := range reqs {
		if err := readPiece(r, pieces[i]); err != nil {
			return opError(op, r.payload, err)
		}
	}
	return nil
}

// readPiece takes a piece of memory from the answer to an m packet.
func readPiece(r *request, piece []byte) error {
	if err := replyError(r.reply); err != nil {
		return err
	}
	if len(r.reply) != 2*len(piece) {
		return fmt.Errorf("%w of %d bytes, want %d", unexpected(r.reply), len(r.reply)/2, len(piece))
	}
	_, err := hex.Decode(piece, r.reply)
	return err
}

// ReadPhysical fills the pieces from the guest's physical memory, devices included.
func (c *Client) ReadPhysical(ctx context.Context, ranges []Range) error {
	const op = "read physical memory"
	if err := c.takeHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.give()
	most := min(maxRead, c.packetSize/2)
	reqs := []*request{ask("Qqemu.PhyMemMode:1")}
	var pieces [][]byte
	// The modes are at the ends of the first and the last batch; what is between
	// them answers with memory.
	flush := func() error {
		err := c.exchange(ctx, reqs...)
		for _, r := range reqs {
			if err != nil {
				break
			}
			if r.payload[0] == 'Q' {
				err = okError(r.reply)
				continue
			}
			err = readPiece(r, pieces[0])
			pieces = pieces[1:]
		}
		reqs, pieces = reqs[:0], nil
		return opError(op, "", err)
	}
	var err error
	for _, r := range ranges {
		for done := 0; done < len(r.Buf) && err == nil; done += most {
			piece := r.Buf[done:min(done+most, len(r.Buf))]
			reqs = append(reqs, ask(fmt.Sprintf("m%x,%x", r.Addr+uint64(done), len(piece))))
			pieces = append(pieces, piece)
			if len(reqs) >= maxBatch {
				err = flush()
			}
		}
	}
	reqs = append(reqs, ask("Qqemu.PhyMemMode:0"))
	return errors.Join(err, flush())
}

// FlushTLB makes QEMU forget which pages its vCPUs have translated. A watchpoint that
// crosses a page does that when it is set (cpu_watchpoint_insert in
// system/watchpoint.c), and is taken away at once.
func (c *Client) FlushTLB(ctx context.Context) error {
	const op = "flush the TLB"
	if err := c.takeHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.give()
	const across = "2,fff,2" // writes to the last byte of the first page and the one after it
	reqs := []*request{ask("Z" + across), ask("z" + across)}
	err := c.exchange(ctx, reqs...)
	for i := 0; i < len(reqs) && err == nil; i++ {
		err = okError(reqs[i].reply)
	}
	return opError(op, "", err)
}

// maxWrites bounds the M packets written at once.
const maxWrites = 64

// WritePhysical fills the guest's physical memory, which no page table and no
// breakpoint stands between (Qqemu.PhyMemMode in QEMU's gdbstub).
func (c *Client) WritePhysical(ctx context.Context, ranges []Range) error {
	const op = "write physical memory"
	if err := c.takeHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.give()
	c.cached = nil
	most := (c.packetSize - len("Mffffffffffffffff,ffff:")) / 2
	reqs := []*request{ask("Qqemu.PhyMemMode:1")}
	flush := func() error {
		err := c.exchange(ctx, reqs...)
		for i := 0; i < len(reqs) && err == nil; i++ {
			err = okError(reqs[i].reply)
		}
		reqs = reqs[:0]
		return opError(op, "", err)
	}
	var err error
	for _, r := range ranges {
		for done := 0; done < len(r.Buf) && err == nil; done += most {
			piece := r.Buf[done:min(done+most, len(r.Buf))]
			reqs = append(reqs, ask(fmt.Sprintf("M%x,%x:%x", r.Addr+uint64(done), len(piece), piece)))
			if len(reqs) == maxWrites {
				err = flush()
			}
		}
	}
	reqs = append(reqs, ask("Qqemu.PhyMemMode:0"))
	return errors.Join(err, flush())
}
